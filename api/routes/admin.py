"""For whoever runs the system."""

import asyncio
from datetime import timedelta

from pydantic import BaseModel, ConfigDict, Field
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from api.deps import AdminDep, SessionsDep, TemporalDep
from api.http.routing import ApiRouter
from api.schemas.common import problems
from database.open_work import open_work, touched_workflow_ids
from database.session import Sessions

RPC_TIMEOUT = timedelta(seconds=5)
# Reason: whoever waits for silence asks often; work that nobody was told of for this long, and that
# wrote nothing, is waiting and not under way.
TOUCHED_WITHIN = timedelta(seconds=30)
ASKED_AT_ONCE = 100

router = ApiRouter(prefix="/admin", tags=["admin"])


class Quiet(BaseModel):
    """What is under way. All counts are 0 when it is quiet."""

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
                },
            ],
        },
    )

    is_quiet: bool
    inbox_count: int = Field(description="Webhook events received and not delivered yet.")
    hint_count: int = Field(
        description="Mailboxes, payment retries and payments told of something, or writing, "
        "in the last 30 s that have an activity or a decision pending in Temporal. Counted only "
        "once the other counts are 0, a hundred at a time until one of them has.",
    )
    command_count: int = Field(
        description="Subscriptions, payments and refunds that Stripe has not made yet, and POSTs "
        "with an Idempotency-Key of the last 20 s that have no answer.",
    )
    charge_count: int = Field(description="Payment retries that are charging, or whose try is due.")
    run_count: int = Field(
        description="Agents' runs at work or in line, and documents not ingested yet.",
    )


@router.get("/quiet", responses=problems(401, 403, 503))
async def get_quiet(_: AdminDep, sessions: SessionsDep, temporal: TemporalDep) -> Quiet:
    """Tell what is still under way, so that tests and deployments can wait for silence."""
    async with sessions() as session:
        work = await open_work(session)
    # Reason: asking Temporal is the dear part, and not needed to know that it is not quiet.
    hint_count = 0 if any(work) else await _busy_count(sessions, temporal)
    return Quiet(
        is_quiet=not any(work) and hint_count == 0, hint_count=hint_count, **work._asdict()
    )


async def _busy_count(sessions: Sessions, temporal: Client) -> int:
    """Count busy workflows among those just touched; 0 only if each of them was asked."""
    async with sessions() as session:
        ids = await touched_workflow_ids(session, TOUCHED_WITHIN)
    for first in range(0, len(ids), ASKED_AT_ONCE):
        some = ids[first : first + ASKED_AT_ONCE]
        busy_count = sum(await asyncio.gather(*[_is_busy(temporal, each) for each in some]))
        if busy_count:
            return busy_count
    return 0


async def _is_busy(temporal: Client, workflow_id: str) -> bool:
    """Tell whether a workflow has anything to do but wait."""
    handle = temporal.get_workflow_handle(workflow_id)
    try:
        seen = await handle.describe(rpc_timeout=RPC_TIMEOUT)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return False
        raise
    if seen.status is not WorkflowExecutionStatus.RUNNING:
        return False
    raw = seen.raw_description
    return bool(raw.pending_activities) or raw.HasField("pending_workflow_task")
