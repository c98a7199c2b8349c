"""Repository of reconciliations and their findings; the caller owns the transaction."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from database.paging import Page, newest_first
from database.reconciliation.models import ListedSubscription, Reconciliation, ReconciliationRepair
from domain.ids import derived_id
from domain.reconciliation.messages import (
    ReconciliationIds,
    ReconciliationScope,
    ReconciliationStatus,
    Repair,
)

KEPT_FOR = timedelta(days=90)


class ReconciliationRepository:
    """Reads and writes `reconciliations` and `reconciliation_repairs` within one session."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def open(self, ids: ReconciliationIds) -> None:
        """Store a reconciliation as running, unless it is already stored."""
        values = {
            "reconciliation_id": ids.reconciliation_id,
            "reconciliation_scope": ids.scope,
            "reconciliation_status": ReconciliationStatus.RUNNING,
            "workflow_id": ids.workflow_id,
        }
        await self._session.execute(
            insert(Reconciliation).values(values).on_conflict_do_nothing(),
        )

    async def add(self, ids: ReconciliationIds, repairs: Sequence[Repair]) -> Sequence[str]:
        """Store findings, and return the kinds of those that were not stored yet."""
        if not repairs:
            return ()
        await self.open(ids)
        rows = [_row(ids.reconciliation_id, repair) for repair in repairs]
        statement = insert(ReconciliationRepair).on_conflict_do_nothing()
        stored = await self._session.scalars(statement.returning(ReconciliationRepair.kind), rows)
        return stored.all()

    async def close(
        self,
        ids: ReconciliationIds,
        status: ReconciliationStatus,
        counts: dict[str, int],
        error_message: str | None,
    ) -> None:
        """Store the end of a reconciliation, with what it read and found, and forget old ones."""
        await self.open(ids)
        found = await self._session.execute(
            select(ReconciliationRepair.kind, func.count().label("found_count"))
            .where(ReconciliationRepair.reconciliation_id == ids.reconciliation_id)
            .group_by(ReconciliationRepair.kind),
        )
        by_kind = {row.kind: row.found_count for row in found}
        await self._session.execute(
            update(Reconciliation)
            .where(Reconciliation.reconciliation_id == ids.reconciliation_id)
            .values(
                reconciliation_status=status,
                counts_data=counts | by_kind,
                error_message=error_message,
                completed_at=func.now(),
            ),
        )
        await self._session.execute(
            delete(ListedSubscription).where(
                ListedSubscription.reconciliation_id == ids.reconciliation_id
            ),
        )
        await self._session.execute(
            delete(Reconciliation).where(Reconciliation.created_at < func.now() - KEPT_FOR),
        )

    async def get(self, reconciliation_id: UUID) -> Reconciliation | None:
        """Return a reconciliation, or None."""
        return await self._session.get(Reconciliation, reconciliation_id)

    async def latest_full(self) -> Reconciliation | None:
        """Return the newest full reconciliation that has ended, or None."""
        statement = (
            select(Reconciliation)
            .where(
                Reconciliation.reconciliation_scope == ReconciliationScope.FULL,
                Reconciliation.completed_at.is_not(None),
            )
            .order_by(Reconciliation.created_at.desc())
            .limit(1)
        )
        return await self._session.scalar(statement)

    async def repairs(self, reconciliation_id: UUID, limit: int) -> Sequence[ReconciliationRepair]:
        """Return the findings of a reconciliation, by kind and resource."""
        statement = (
            select(ReconciliationRepair)
            .where(ReconciliationRepair.reconciliation_id == reconciliation_id)
            .order_by(ReconciliationRepair.kind, ReconciliationRepair.resource_id)
            .limit(limit)
        )
        return (await self._session.scalars(statement)).all()

    async def list(
        self,
        scope: ReconciliationScope | None,
        status: ReconciliationStatus | None,
        limit: int,
        cursor: str | None,
    ) -> Page[Reconciliation]:
        """Return one page of reconciliations, newest first; filters that are None are ignored."""
        statement = select(Reconciliation)
        if scope is not None:
            statement = statement.where(Reconciliation.reconciliation_scope == scope)
        if status is not None:
            statement = statement.where(Reconciliation.reconciliation_status == status)
        sort_key = (Reconciliation.created_at, Reconciliation.reconciliation_id)
        return await newest_first(self._session, statement, sort_key, limit, cursor)


def _row(reconciliation_id: UUID, repair: Repair) -> dict[str, object]:
    return {
        "reconciliation_repair_id": derived_id(
            "reconciliation-repair", reconciliation_id, repair.kind, repair.resource_id
        ),
        "reconciliation_id": reconciliation_id,
        "kind": repair.kind,
        "resource_id": repair.resource_id,
        "action": repair.action,
        "before_data": repair.before,
        "after_data": repair.after,
    }
