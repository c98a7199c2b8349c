"""Starts full reconciliations with Stripe, and waits for their rows."""

from uuid import UUID

from temporalio.client import Client

from adapters.temporal.calls import start_workflow_once
from api.starters.subscriptions import wait_for_row
from database.reconciliation.models import Reconciliation
from database.reconciliation.reconciliations import ReconciliationRepository
from database.session import Sessions
from domain.ids import reconciliation_workflow_id
from domain.reconciliation.messages import ReconciliationScope, ReconciliationStart
from workflows.reconciliation.reconciliation import ReconciliationWorkflow
from workflows.search_attributes import starting_attributes


async def start_reconciliation(
    temporal: Client, sessions: Sessions, reconciliation_id: UUID, user_id: UUID
) -> Reconciliation:
    """Start a full reconciliation, or continue a start that was interrupted.

    Args:
        temporal: Client of Temporal.
        sessions: Factory of database sessions.
        reconciliation_id: Id of the reconciliation; the same for the same idempotency key.
        user_id: Administrator who asks for it.

    Returns:
        The row.

    Raises:
        OutcomePendingError: No row was committed within 5 s; the start goes on.
    """

    async def read() -> Reconciliation | None:
        async with sessions() as session:
            return await ReconciliationRepository(session).get(reconciliation_id)

    if (row := await read()) is not None:
        return row
    await start_workflow_once(
        temporal,
        ReconciliationWorkflow.run,
        ReconciliationStart(scope=ReconciliationScope.FULL, reconciliation_id=reconciliation_id),
        workflow_id=reconciliation_workflow_id(reconciliation_id),
        summary=f"compare with Stripe, asked for by administrator {user_id}",
        search_attributes=starting_attributes(),
    )
    return await wait_for_row(read, lambda _: True, "reconciliation", reconciliation_id)
