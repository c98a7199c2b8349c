"""Stores what a reconciliation found, and counts it."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from database.reconciliation.reconciliations import ReconciliationRepository
from domain.reconciliation.messages import ReconciliationIds, Repair
from observability.metrics import RECONCILIATION_REPAIRS


async def record_repairs(
    session: AsyncSession, ids: ReconciliationIds, repairs: Sequence[Repair]
) -> int:
    """Store findings in the caller's transaction, and count those that are new.

    Args:
        session: Session of the transaction that also holds what was done.
        ids: The reconciliation.
        repairs: What was found and done.

    Returns:
        Number of findings that were not stored before.
    """
    kinds = await ReconciliationRepository(session).add(ids, repairs)
    for kind in kinds:
        RECONCILIATION_REPAIRS.labels(kind).inc()
    return len(kinds)
