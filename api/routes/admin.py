"""Routes for administrators of the system."""

import asyncio
from datetime import timedelta

from pydantic import BaseModel, ConfigDict, Field
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from api.deps import AdminDep, SessionsDep, TemporalDep
from api.http.routing import ApiRouter
from api.openapi.problems import ADMIN_REQUIRED, TEMPORAL_DOWN, problems
from database.open_work import open_work, recently_active_workflow_ids
from database.session import Sessions

RPC_TIMEOUT = timedelta(seconds=5)
# Reason: clients poll until the system is idle. A workflow that got no hint and wrote nothing for
# this long is waiting, not working.
TOUCH_WINDOW = timedelta(seconds=30)
DESCRIBE_BATCH_SIZE = 100

router = ApiRouter(prefix="/admin", tags=["admin"])


class OpenWorkOut(BaseModel):
    """Work in progress. All counts are 0 when the system is idle."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "is_quiet": False,
                    "inbox_count": 2,
                    "hint_count": 0,
                    "command_count": 1,
                    "charge_count": 0,
                    "run_count": 0,
                    "usage_count": 0,
                    "delivery_count": 0,
                },
            ],
        },
    )

    is_quiet: bool
    inbox_count: int = Field(
        description="Webhook events that were received and are not delivered yet."
    )
    hint_count: int = Field(
        description="Subscriptions, payment retries and payments that got a hint or changed in the "
        "last 30 s, and whose workflow has a pending activity or workflow task. Counted only if "
        "the other counts are 0, in batches of 100 workflows up to the first batch that has any.",
    )
    command_count: int = Field(
        description="Subscriptions, payments and refunds that do not exist at Stripe yet, and "
        "POSTs with an `Idempotency-Key` of the last 20 s that have no answer yet.",
    )
    charge_count: int = Field(
        description="Payment retries that are charging, or whose attempt is due."
    )
    run_count: int = Field(
        description="Agent runs at work or queued, and documents that are not ingested yet.",
    )
    usage_count: int = Field(
        description="Usage that is not reviewed for alerts and overage yet, and overage that is "
        "not reported to Stripe yet.",
    )
    delivery_count: int = Field(
        description="Webhooks that active endpoints have not got yet, also those that wait for "
        "their next attempt."
    )


@router.get("/quiet", responses=problems(ADMIN_REQUIRED, TEMPORAL_DOWN))
async def get_open_work(_: AdminDep, sessions: SessionsDep, temporal: TemporalDep) -> OpenWorkOut:
    """Return what is still in progress, so that tests and deployments can wait for its end."""
    async with sessions() as session:
        work = await open_work(session)
    # Reason: Temporal is asked only if the tables show no open work, because that is expensive.
    hint_count = 0 if any(work) else await _busy_count(sessions, temporal)
    return OpenWorkOut(
        is_quiet=not any(work) and hint_count == 0, hint_count=hint_count, **work._asdict()
    )


async def _busy_count(sessions: Sessions, temporal: Client) -> int:
    """Count busy workflows, a batch at a time; 0 only if each touched workflow was asked."""
    async with sessions() as session:
        ids = await recently_active_workflow_ids(session, TOUCH_WINDOW)
    for first in range(0, len(ids), DESCRIBE_BATCH_SIZE):
        batch = ids[first : first + DESCRIBE_BATCH_SIZE]
        busy_count = sum(await asyncio.gather(*[_is_busy(temporal, each) for each in batch]))
        if busy_count:
            return busy_count
    return 0


async def _is_busy(temporal: Client, workflow_id: str) -> bool:
    """Return whether a workflow has a pending activity or workflow task."""
    handle = temporal.get_workflow_handle(workflow_id)
    try:
        execution = await handle.describe(rpc_timeout=RPC_TIMEOUT)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return False
        raise
    if execution.status is not WorkflowExecutionStatus.RUNNING:
        return False
    raw = execution.raw_description
    return bool(raw.pending_activities) or raw.HasField("pending_workflow_task")
