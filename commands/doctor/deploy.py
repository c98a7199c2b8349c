"""The three signs of a bad deploy, for `doctor`: no pollers, frozen workers, failing tasks."""

from datetime import timedelta
from typing import Any

import httpx
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from adapters.temporal.failing_tasks import count_failing_workflows, find_failing_workflows
from adapters.temporal.task_queues import FRESH, read_pollers
from bootstrap.clients import connect_temporal
from commands.doctor.findings import CheckDoubtfulError, CheckFailedError
from config import Settings

SHOWN_COUNT = 5
TIMEOUT_SECONDS = 8.0


async def check_task_queues(settings: Settings, fresh: timedelta = FRESH) -> str:
    """Check that a worker polls each task queue.

    Args:
        settings: Settings of Temporal.
        fresh: How long ago a worker may have polled.

    Returns:
        The number of task queues, as a line.

    Raises:
        CheckFailedError: No worker polls a task queue.
    """
    pollers = await read_pollers(await _connect(settings))
    missing = [
        f"{each.task_queue} ({each.kind} tasks)"
        for each in pollers
        if not any(poller.is_polling(fresh) for poller in each.pollers)
    ]
    if missing:
        raise CheckFailedError(
            f"no worker polls {', '.join(missing)}: start a worker (`python worker.py`), or look "
            "into the log of the one that ended"
        )
    return f"{len({each.task_queue for each in pollers})}, each polled by a worker"


async def check_workers(
    settings: Settings,
    facts: dict[str, Any] | None = None,
    fresh: timedelta = FRESH,
) -> str:
    """Check that no worker is frozen.

    Args:
        settings: Settings of Temporal.
        facts: Content of `stack.json`, which has the worker's address, if a stack is checked.
        fresh: How long ago a worker may have polled.

    Returns:
        The number of workers, as a line.

    Raises:
        CheckFailedError: A worker has stopped polling, or says that it is not ready.
        CheckDoubtfulError: There is no worker.
    """
    identities: dict[str, bool] = {}
    for queue in await read_pollers(await _connect(settings)):
        for poller in queue.pollers:
            is_polling = poller.is_polling(fresh)
            identities[poller.identity] = identities.get(poller.identity, True) and is_polling
    frozen = sorted(identity for identity, is_polling in identities.items() if not is_polling)
    if frozen:
        raise CheckFailedError(
            f"{', '.join(frozen)} stopped polling without signing off: frozen or killed; restart it"
        )
    if facts is not None and "worker" in facts:
        await _check_readiness(str(facts["worker"]))
    if not identities:
        raise CheckDoubtfulError("none is polling")
    return f"{len(identities)} polling"


async def check_workflow_tasks(settings: Settings) -> str:
    """Check that no workflow stands still because its workflow tasks fail.

    Args:
        settings: Settings of Temporal.

    Returns:
        "none fails".

    Raises:
        CheckFailedError: Workflow tasks fail; the workflows are named.
    """
    client = await _connect(settings)
    try:
        failing = await find_failing_workflows(client, SHOWN_COUNT)
        count = await count_failing_workflows(client) if failing else 0
    except RPCError as error:
        if error.status is not RPCStatusCode.INVALID_ARGUMENT:
            raise
        return "not told by this server, which is older than Temporal 1.30"
    if not failing:
        return "none fails"
    named = ", ".join(f"{each.workflow_id} ({each.cause})" for each in failing)
    more = f" and {count - len(failing)} more" if count > len(failing) else ""
    raise CheckFailedError(
        f"they fail in {count} workflows, such as {named}{more}: deploy the release that these "
        "workflows began with, or one that replays them (`python cli.py replay ID`)"
    )


async def _connect(settings: Settings) -> Client:
    try:
        return await connect_temporal(settings)
    except RuntimeError as error:
        raise CheckFailedError(f"{settings.temporal.address} does not answer") from error


async def _check_readiness(address: str) -> None:
    async with httpx.AsyncClient(base_url=address, timeout=TIMEOUT_SECONDS) as worker:
        try:
            reply = await worker.get("/health/ready")
            checks = reply.json()["checks"]
        except (httpx.HTTPError, ValueError, KeyError) as error:
            raise CheckFailedError(f"{address} does not answer: restart the worker") from error
    down = [f"{name} ({check['detail']})" for name, check in checks.items() if check["detail"]]
    if down:
        raise CheckFailedError(f"{address} is not ready: {', '.join(down)}; restart the worker")
