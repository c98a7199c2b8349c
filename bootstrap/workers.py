"""Runs one worker for each task queue, with its activities and workflows."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker, WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from activities.interceptors import ActivityInterceptor
from activities.webhooks import WebhookActivities
from bootstrap.agents import agent_activities, build_lost_runs
from bootstrap.billing import billing_activities, build_metering
from bootstrap.resources import Activities, Resources, open_resources
from bootstrap.tools import load_agents, make_tool_catalog
from bootstrap.worker_health import RunningWorkers
from config import Settings
from database.session import Sessions
from domain.workflow_names import AGENTS, BILLING, MODELS, QUEUES, STRIPE, TOOLS, WORKFLOW_QUEUES
from services.agents.model_calls.answer_cache import prune_expired_answers
from services.agents.recovery.interrupted_runs import retry_interrupted_runs
from services.agents.tools.catalog import ToolCatalog
from services.releases import release_of, retry_parked_of_other_releases
from services.webhooks.announcements import WebhookAnnouncements
from services.webhooks.deliveries import WebhookDeliveries
from workflows.registry import WORKFLOWS
from workflows.start_end_log import StartEndLog

PROJECT = Path(__file__).resolve().parent.parent
PASSTHROUGH_MODULES = (
    "domain",
    "agents",
    "pydantic",
    "pydantic_core",
    "activities",
    "services",
    "adapters",
    "database",
    # Packages that a LangGraph graph needs to run as workflow code.
    "langchain_core",
    "langgraph",
    "langsmith",
    "numpy",
)
STICKY_TIMEOUT = timedelta(seconds=1)
GRACEFUL_SECONDS = 2
HEARTBEAT_INTERVAL = timedelta(milliseconds=500)


def build_activities(resources: Resources) -> Activities:
    """Build all activities.

    Args:
        resources: Clients and objects that the activities use.

    Returns:
        Activities by task queue.
    """
    activities = billing_activities(resources) | agent_activities(resources)
    deliveries = WebhookDeliveries(resources.webhooks, resources.sessions)
    activities[TOOLS].append(WebhookActivities(deliveries).deliver_webhooks)
    return activities


def workflow_runner(is_sandboxed: bool) -> WorkflowRunner:
    """Return the workflow runner, for workers and for replays.

    Args:
        is_sandboxed: Whether workflows run in Temporal's sandbox, which costs time; tests always
            use it. Modules in `PASSTHROUGH_MODULES` are deterministic and are not reloaded there.
    """
    if not is_sandboxed:
        return UnsandboxedWorkflowRunner()
    restrictions = SandboxRestrictions.default.with_passthrough_modules(*PASSTHROUGH_MODULES)
    return SandboxedWorkflowRunner(restrictions=restrictions)


@asynccontextmanager
async def run_workers(
    client: Client,
    settings: Settings,
    sessions: Sessions,
    queues: Sequence[str] = QUEUES,
    release: str | None = None,
    tools: ToolCatalog | None = None,
    dead_pid: int | None = None,
) -> AsyncIterator[RunningWorkers]:
    """Run one worker for each task queue, in production and in tests alike.

    Args:
        client: Client of Temporal with `pydantic_data_converter`.
        settings: Addresses of the outside systems, and the tuning of the workers.
        sessions: Sessions of the database.
        queues: Task queues to serve.
        release: Name of the running release; a digest of its source files by default.
        tools: Catalogue of the agents' tools; that of all sources by default.
        dead_pid: Worker process that died and that this one replaces; None if there is none.

    Yields:
        The running workers; at the end activities get `GRACEFUL_SECONDS` to finish.
    """
    release, tools = release or release_of(PROJECT), tools or make_tool_catalog(settings)
    load_agents(tools)
    async with AsyncExitStack() as stack:
        opening = open_resources(client, settings, sessions, tools)
        resources = await stack.enter_async_context(opening)
        activities = build_activities(resources)
        running = RunningWorkers({}, {})
        stack.callback(running.release_threads)
        for queue in queues:
            threads = running.add_threads(queue, settings.worker.concurrent_workflow_task_count)
            worker = _worker(client, settings, queue, activities[queue], threads, release)
            running.workers[queue] = await stack.enter_async_context(worker)
        for loop in _loops(resources, settings, queues, release, dead_pid):
            await stack.enter_async_context(_in_background(loop))
        yield running


def _loops(
    resources: Resources,
    settings: Settings,
    queues: Sequence[str],
    release: str,
    dead_pid: int | None,
) -> Iterator[Coroutine[Any, Any, None]]:
    """Yield what runs beside the workers of these queues until the process ends.

    Raises:
        InvalidInputError: A template of mails is broken.
    """
    client, sessions = resources.temporal, resources.sessions
    if BILLING in queues:
        resources.mails.check_templates()
        yield resources.mails.run()
        yield retry_parked_of_other_releases(client, sessions, release)
        yield WebhookAnnouncements(client, sessions).run()
    if STRIPE in queues and settings.worker.is_metering:
        yield build_metering(resources).run()
    if AGENTS in queues:
        yield build_lost_runs(resources).watch()
        yield resources.memories.run()
        yield prune_expired_answers(sessions)
    if MODELS in queues or TOOLS in queues:
        yield from (watch() for watch in resources.tools.watches)
    if AGENTS in queues and dead_pid is not None:
        yield retry_interrupted_runs(client, sessions, dead_pid)


@asynccontextmanager
async def _in_background(coroutine: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run a coroutine in the background, and cancel it at the end."""
    task = asyncio.create_task(coroutine)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


def _worker(
    client: Client,
    settings: Settings,
    queue: str,
    activities: list[Callable[..., Any]],
    workflow_threads: ThreadPoolExecutor | None,
    release: str,
) -> Worker:
    tuning, is_stripe = settings.worker, queue == STRIPE
    limit = settings.stripe.calls_per_second if is_stripe else None
    return Worker(
        client,
        task_queue=queue,
        workflows=WORKFLOWS if queue in WORKFLOW_QUEUES else (),
        workflow_task_executor=workflow_threads,
        activities=activities,
        interceptors=[ActivityInterceptor(release), StartEndLog()],
        workflow_runner=workflow_runner(tuning.is_sandboxed),
        max_cached_workflows=tuning.cached_workflow_count,
        max_concurrent_activities=tuning.concurrent_activity_count,
        max_concurrent_workflow_tasks=tuning.concurrent_workflow_task_count,
        max_task_queue_activities_per_second=limit,
        # Reason: after a crash the default keeps tasks in the dead worker's queue for 10 s.
        sticky_queue_schedule_to_start_timeout=STICKY_TIMEOUT,
        graceful_shutdown_timeout=timedelta(seconds=GRACEFUL_SECONDS),
        # Reason: a heartbeat's reply brings the cancellation, which must close a model's socket
        # at once.
        max_heartbeat_throttle_interval=HEARTBEAT_INTERVAL,
        # Reason: the SDK would read all loaded modules again to make one.
        build_id=release,
        # Reason: an activity that starts eagerly would bypass the queue's rate limit.
        disable_eager_activity_execution=True,
    )
