"""The composition root of the worker: settings -> adapters -> activities -> workers.

Run: `python worker.py [--queue billing --queue stripe]`. Without `--queue` it serves all of them.
"""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import structlog
from stripe import StripeClient
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import UnsandboxedWorkflowRunner, Worker, WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from activities.agents.approvals import ApprovalActivities
from activities.agents.completion import EndingActivities
from activities.agents.conversation_queue import LineActivities
from activities.agents.model_calls import StepActivities
from activities.agents.retrieval import RetrievalActivities
from activities.agents.runs import AgentDeskActivities
from activities.agents.tool_calls import ToolActivities
from activities.interceptors import ActivityInterceptor
from activities.knowledge import DocumentActivities
from activities.notifications import MailActivities
from activities.payment_retries.charges import ChargeActivities
from activities.payment_retries.payment_retries import RetryActivities
from activities.payments.customer_sync import CustomerSyncActivities
from activities.payments.payment_methods import CardActivities, SetupIntentActivities
from activities.payments.payments import (
    PaymentActivities,
    PaymentCancelActivities,
    PaymentRowActivities,
)
from activities.payments.refunds import RefundActivities
from activities.plans import CatalogActivities
from activities.subscriptions.commands import SubscriptionCommandActivities
from activities.subscriptions.last_resort import LastResortActivities
from activities.subscriptions.subscriptions import SubscriptionActivities, SubscriptionRowActivities
from adapters.chroma import open_chroma
from adapters.email import Mailer
from adapters.embeddings import Embedder, open_embedder
from adapters.llm.gateway import Models, open_models
from adapters.llm.pricing import Prices
from adapters.status_server import Page, Pages, serving_status
from adapters.stripe.cards import StripeCards
from adapters.stripe.catalog import StripeCatalog
from adapters.stripe.client import open_client
from adapters.stripe.customers import StripeCustomers
from adapters.stripe.invoices import StripeInvoices
from adapters.stripe.payments import StripePayments
from adapters.stripe.refunds import StripeRefunds
from adapters.stripe.setup_intents import StripeSetupIntents
from adapters.stripe.subscriptions import StripeSubscriptions
from adapters.web_fetcher import PageFetcher
from config import ServingSettings, Settings
from database.session import Sessions, make_engine, make_sessions
from domain.llm.routing import ModelNames
from domain.workflow_names import AGENTS, BILLING, MODELS, STRIPE, TOOLS
from observability import METRICS_CONTENT_TYPE, configure_logging, make_runtime, render_metrics
from services.agents.lost_runs import LostRuns
from services.agents.model_attempts import Attempts
from services.agents.run_closing import RunClosing
from services.agents.token_stream import RunStream
from services.agents.tools.effects import tool_effects
from services.agents.usage import AgentMeans
from services.knowledge.passages import PassageStore
from services.knowledge.search import Library
from services.payment_retries.attempt_reservations import AttemptBook
from services.payment_retries.card_offers import CardOffers
from services.payment_retries.charged_cards import ChargedCards
from services.payment_retries.charging import Charging
from services.payments.commands import PaymentDesk
from services.payments.refund_reservations import RefundBook
from services.payments.stripe_sync import PaymentView
from services.releases import release_of, retry_parked_of_other_releases
from services.subscriptions.stripe_sync import SubscriptionDesk
from workflows.agents.agent_run import AgentRunWorkflow
from workflows.knowledge.ingest_document import IngestDocumentWorkflow
from workflows.payment_retries.payment_retry import PaymentRetryWorkflow
from workflows.payments.payment import PaymentWorkflow
from workflows.stripe_operation import StripeErrandWorkflow
from workflows.subscriptions.subscription import SubscriptionWorkflow

log = structlog.get_logger(__name__)

PROJECT = Path(__file__).resolve().parent

Activities = dict[str, list[Callable[..., Any]]]

# The one registry: a workflow that is not here does not run, and its histories are not replayed.
WORKFLOWS: tuple[type, ...] = (
    SubscriptionWorkflow,
    PaymentRetryWorkflow,
    PaymentWorkflow,
    StripeErrandWorkflow,
    AgentRunWorkflow,
    IngestDocumentWorkflow,
)
QUEUES = (BILLING, STRIPE, AGENTS, MODELS, TOOLS)
# What waits for outside systems serves activities only: it must not hold up any workflow.
_ACTIVITIES_ONLY = frozenset({STRIPE, MODELS, TOOLS})
PASSED_THROUGH = (
    "domain",
    "agents",
    "pydantic",
    "pydantic_core",
    "activities",
    "services",
    "adapters",
    "database",
    # What a LangGraph graph needs to run as workflow code.
    "langchain_core",
    "langgraph",
    "langsmith",
    "numpy",
)
STICKY_TIMEOUT = timedelta(seconds=1)
GRACEFUL_SECONDS = 2
HEARTBEAT_INTERVAL = timedelta(milliseconds=500)


@dataclass(frozen=True)
class Outside:
    """The outside systems, and what is shared by several activities."""

    temporal: Client
    stripe: StripeClient
    mailer: Mailer
    sessions: Sessions
    stream: RunStream
    models: Models
    names: ModelNames
    prices: Prices
    library: Library
    documents: DocumentActivities


def build_lost_runs(outside: Outside) -> LostRuns:
    """Wire what closes runs whose workflow has ended without them."""
    closing = RunClosing(outside.sessions, AgentMeans(outside.prices), outside.stream)
    return LostRuns(outside.temporal, outside.sessions, closing)


def build_activities(outside: Outside) -> Activities:
    """Wire every activity with what it needs.

    Args:
        outside: What there is.

    Returns:
        Activities by task queue.
    """
    return _build_billing(outside) | _build_agents(outside)


def _build_billing(outside: Outside) -> Activities:
    stripe, sessions = outside.stripe, outside.sessions
    subscriptions, invoices = StripeSubscriptions(stripe), StripeInvoices(stripe)
    customers = StripeCustomers(stripe)
    desk = SubscriptionDesk(subscriptions, invoices, customers, sessions)
    subscription = SubscriptionActivities(desk)
    rows = SubscriptionRowActivities(sessions)
    commands = SubscriptionCommandActivities(desk)
    last_resorts = LastResortActivities(desk, PaymentDesk(outside.temporal))
    stripe_cards, offers = StripeCards(stripe), CardOffers(invoices, sessions)
    retry = RetryActivities(invoices, stripe_cards, sessions)
    charged = ChargedCards(stripe_cards, subscriptions)
    charges = ChargeActivities(Charging(invoices, charged, AttemptBook(sessions)), invoices)
    cards = CardActivities(stripe_cards, customers, offers, sessions)
    customer = CustomerSyncActivities(customers, offers, sessions)
    setups = SetupIntentActivities(StripeSetupIntents(stripe), customers, sessions)
    catalog = CatalogActivities(StripeCatalog(stripe), sessions)
    mail = MailActivities(outside.mailer, sessions)
    payments = _build_payments(outside)
    return {
        BILLING: [
            rows.open_subscription,
            rows.park_subscription,
            retry.save_retry,
            mail.send_mail,
            *payments[BILLING],
        ],
        STRIPE: [
            subscription.create_subscription,
            subscription.refresh_subscription,
            commands.cancel_subscription,
            commands.change_payment_method,
            last_resorts.carry_out_last_resort,
            last_resorts.void_invoices,
            last_resorts.void_all_invoices,
            last_resorts.refund_payments,
            retry.open_retry,
            charges.charge_invoice,
            charges.look_at_invoice,
            cards.attach_payment_method,
            cards.set_default_payment_method,
            cards.detach_payment_method,
            customer.sync_customer,
            setups.create_setup_intent,
            catalog.create_plan,
            catalog.change_plan,
            *payments[STRIPE],
        ],
    }


def _build_payments(outside: Outside) -> Activities:
    customers, sessions = StripeCustomers(outside.stripe), outside.sessions
    payments, refunds = StripePayments(outside.stripe), StripeRefunds(outside.stripe)
    view = PaymentView(payments, refunds, customers, StripeCards(outside.stripe), sessions)
    payment, rows = PaymentActivities(view), PaymentRowActivities(sessions, view)
    return {
        BILLING: [rows.open_payment, rows.park_payment],
        STRIPE: [
            payment.pay,
            payment.look_at_payment,
            PaymentCancelActivities(view).cancel_payment,
            RefundActivities(view, RefundBook(sessions)).refund_payment,
        ],
    }


def _build_agents(outside: Outside) -> Activities:
    sessions, stream, documents = outside.sessions, outside.stream, outside.documents
    means = AgentMeans(outside.prices)
    desk = AgentDeskActivities(sessions)
    endings = EndingActivities(RunClosing(sessions, means, stream))
    line = LineActivities(sessions, build_lost_runs(outside))
    approvals = ApprovalActivities(sessions)
    attempts = Attempts(sessions, outside.names, means)
    steps = StepActivities(sessions, outside.models, attempts, stream)
    retrieval = RetrievalActivities(outside.library, sessions)
    effects = tool_effects(outside.library, PaymentDesk(outside.temporal), sessions)
    tools = ToolActivities(effects, sessions)
    return {
        AGENTS: [
            documents.fail_document,
            desk.open_run,
            desk.add_run_message,
            endings.close_run,
            line.take_turn,
            approvals.decide_approval,
            approvals.expire_approval,
        ],
        MODELS: [steps.think],
        TOOLS: [
            retrieval.retrieve,
            retrieval.remember_run,
            tools.run_tool,
            documents.fetch_document,
            documents.store_passages,
            documents.finish_document,
        ],
    }


def make_mailer(settings: Settings) -> Mailer:
    """Make the mailer that the settings describe."""
    mail = settings.mail
    return Mailer(
        mail.smtp_host,
        mail.smtp_port,
        mail.sender,
        # Reason: an empty variable means the same as none; a server without AUTH refuses a name.
        username=mail.username or None,
        password=mail.password.get_secret_value() if mail.username and mail.password else None,
        security=mail.tls,
    )


def _open_embedder(settings: Settings) -> AbstractAsyncContextManager[Embedder]:
    given = settings.embeddings
    return open_embedder(given.base_url, given.api_key.get_secret_value(), given.model)


def _documents(
    settings: Settings,
    passages: PassageStore,
    sessions: Sessions,
) -> DocumentActivities:
    limits = settings.documents
    fetcher = PageFetcher(limits.max_bytes, limits.allowed_private_hosts)
    is_masked = settings.is_card_number_guard_on
    return DocumentActivities(passages, fetcher, sessions, limits.max_bytes, is_masked=is_masked)


def workflow_runner(is_sandboxed: bool) -> WorkflowRunner:
    """Make the runner; ours and pydantic's modules are deterministic and pass through.

    Args:
        is_sandboxed: Whether to pay for the sandbox, which tests always do.

    Returns:
        A runner for workers and for replays.
    """
    if not is_sandboxed:
        return UnsandboxedWorkflowRunner()
    restrictions = SandboxRestrictions.default.with_passthrough_modules(*PASSED_THROUGH)
    return SandboxedWorkflowRunner(restrictions=restrictions)


@asynccontextmanager
async def running_workers(
    client: Client,
    settings: Settings,
    sessions: Sessions,
    queues: Sequence[str] = QUEUES,
    release: str | None = None,
) -> AsyncIterator[None]:
    """Serve task queues, one worker each; tests use this too, so they run what production runs.

    Args:
        client: Connected with `pydantic_data_converter`.
        settings: Where the outside systems are, and the tuning.
        sessions: The database.
        queues: Which queues to serve.
        release: Name of the release that runs; a digest of its source files by default.

    Yields:
        While the workers run; on the way out activities get a moment to finish.
    """
    release = release or release_of(PROJECT)
    async with AsyncExitStack() as stack:
        outside = await stack.enter_async_context(_outside(client, settings, sessions))
        activities = build_activities(outside)
        for queue in queues:
            worker = _worker(client, settings, queue, activities[queue], release)
            await stack.enter_async_context(worker)
        if BILLING in queues:
            retrying = retry_parked_of_other_releases(client, sessions, release)
            await stack.enter_async_context(_beside(retrying))
        if AGENTS in queues:
            await stack.enter_async_context(_beside(build_lost_runs(outside).watch()))
        yield


@asynccontextmanager
async def _beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Let something run beside; it is called off at the end."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


@asynccontextmanager
async def _outside(
    client: Client,
    settings: Settings,
    sessions: Sessions,
) -> AsyncIterator[Outside]:
    """Open the clients of outside systems; they end after the workers that use them."""
    key, llm = settings.stripe.api_key.get_secret_value(), settings.llm
    prices = Prices(
        llm.provider,
        llm.prompt_cents_per_million,
        llm.completion_cents_per_million,
        llm.cached_cents_per_million,
        llm.cache_write_cents_per_million,
    )
    secret = llm.api_key.get_secret_value()
    async with (
        open_client(key, settings.stripe.api_base) as stripe,
        open_models(llm.provider, llm.base_url, secret, llm.timeout_seconds, prices) as models,
        open_chroma(settings.chroma_url) as chroma,
        _open_embedder(settings) as embedder,
        RunStream(sessions) as stream,
    ):
        yield Outside(
            temporal=client,
            stripe=stripe,
            mailer=make_mailer(settings),
            sessions=sessions,
            stream=stream,
            models=models,
            names=ModelNames(
                small=llm.small_model or llm.model,
                large=llm.model,
                fallback=llm.fallback_model,
            ),
            prices=prices,
            library=Library(chroma, embedder, sessions),
            documents=_documents(settings, PassageStore(chroma, embedder, sessions), sessions),
        )


def _worker(
    client: Client,
    settings: Settings,
    queue: str,
    activities: list[Callable[..., Any]],
    release: str,
) -> Worker:
    tuning, is_stripe = settings.worker, queue == STRIPE
    limit = settings.stripe.calls_per_second if is_stripe else None
    return Worker(
        client,
        task_queue=queue,
        workflows=() if queue in _ACTIVITIES_ONLY else WORKFLOWS,
        activities=activities,
        interceptors=[ActivityInterceptor(release)],
        workflow_runner=workflow_runner(tuning.is_sandboxed),
        max_cached_workflows=tuning.cached_workflow_count,
        max_concurrent_activities=tuning.concurrent_activity_count,
        max_concurrent_workflow_tasks=tuning.concurrent_workflow_task_count,
        max_task_queue_activities_per_second=limit,
        # Reason: after a crash the default keeps work on the dead worker's queue for 10 s.
        sticky_queue_schedule_to_start_timeout=STICKY_TIMEOUT,
        graceful_shutdown_timeout=timedelta(seconds=GRACEFUL_SECONDS),
        # Reason: a cancel comes back with a heartbeat, and a model's socket is to close at once.
        max_heartbeat_throttle_interval=HEARTBEAT_INTERVAL,
        # Reason: an activity that starts eagerly would slip past the queue's rate limit.
        disable_eager_activity_execution=True,
    )


async def connect(settings: Settings) -> Client:
    """Connect to Temporal.

    Args:
        settings: Where it is, and how to log in.

    Returns:
        A client that speaks pydantic.

    Raises:
        RuntimeError: It cannot be reached.
    """
    temporal = settings.temporal
    return await Client.connect(
        temporal.address,
        namespace=temporal.namespace,
        api_key=temporal.api_key.get_secret_value() if temporal.api_key else None,
        tls=temporal.is_tls,
        data_converter=pydantic_data_converter,
        runtime=make_runtime(),
    )


def _pages(client: Client) -> Pages:
    """Make what a worker shows on its port for monitoring."""

    async def health() -> Page:
        return Page(b'{"status":"ok"}')

    async def ready() -> Page:
        if await client.service_client.check_health():
            return Page(b'{"status":"ready"}')
        return Page(b'{"status":"down"}', status=503)

    async def metrics() -> Page:
        return Page(render_metrics(), METRICS_CONTENT_TYPE)

    return {"/health": health, "/health/ready": ready, "/metrics": metrics}


async def main(queues: Sequence[str]) -> None:
    """Serve until SIGTERM or SIGINT, then let running activities finish."""
    settings = ServingSettings()
    configure_logging(settings.log_level)
    engine = make_engine(settings.database_url, settings.database_pool_size)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        client = await connect(settings)
        async with running_workers(client, settings, make_sessions(engine), queues):
            log.info("worker_ready", queues=list(queues))
            async with serving_status(settings.status_host, settings.status_port, _pages(client)):
                await stop.wait()
    finally:
        await engine.dispose()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Run Perdure's worker.")
    parser.add_argument("--queue", action="append", choices=QUEUES, help="serve only this queue")
    arguments = parser.parse_args()
    code = 0
    try:
        asyncio.run(main(arguments.queue or QUEUES))
    except RuntimeError as error:
        log.error("worker_stopped", reason=str(error))  # noqa: TRY400 - one line, no trace
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    # Reason: the SDK sometimes aborts at interpreter exit (sdk-python#300).
    os._exit(code)
