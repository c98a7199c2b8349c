"""Repositories of outgoing webhooks, for their senders; the caller owns the transaction."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Select, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from database.webhooks.models import IS_PENDING, WebhookDelivery, WebhookEndpoint
from domain.webhooks.outgoing import DeliveryStatus


class PendingWork(NamedTuple):
    """Work that is left for an endpoint.

    Args:
        resource_count: Resources with pending deliveries.
        next_attempt_at: When the next attempt is due; None if one is due at once or none is left.
    """

    resource_count: int
    next_attempt_at: datetime | None


class WebhookDeliveryRepository:
    """Sends: reads what is due, and stores what came of it, within one session."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def due(
        self, webhook_endpoint_id: UUID, now: datetime, limit: int
    ) -> Sequence[WebhookDelivery]:
        """Return deliveries that are due: of each resource the first pending one, if it is due."""
        first = aliased(WebhookDelivery, _firsts(webhook_endpoint_id).subquery())
        is_due = or_(first.next_attempt_at.is_(None), first.next_attempt_at <= now)
        statement = select(first).where(is_due).order_by(first.created_at).limit(limit)
        return (await self._session.scalars(statement)).all()

    async def pending_work(self, webhook_endpoint_id: UUID, now: datetime) -> PendingWork:
        """Return what is left for an endpoint; what is due at once counts as due now."""
        first = _firsts(webhook_endpoint_id).subquery()
        next_attempt_at = func.min(func.coalesce(first.c.next_attempt_at, now))
        row = await self._session.execute(select(func.count(), next_attempt_at).select_from(first))
        return PendingWork(*row.one())

    async def settle(
        self,
        webhook_delivery_id: UUID,
        status: DeliveryStatus,
        *,
        response_status: int | None,
        error: str | None,
        next_attempt_at: datetime | None = None,
        delivered_at: datetime | None = None,
    ) -> None:
        """Store the outcome of an attempt at a pending delivery."""
        await self._session.execute(
            update(WebhookDelivery)
            .where(WebhookDelivery.webhook_delivery_id == webhook_delivery_id, IS_PENDING)
            .values(
                delivery_status=status,
                attempt_count=WebhookDelivery.attempt_count + 1,
                response_status=response_status,
                last_error=error,
                next_attempt_at=next_attempt_at,
                delivered_at=delivered_at,
            )
            .execution_options(synchronize_session=False),
        )


class WebhookOutboxRepository:
    """Finds deliveries that no workflow was told of, and deletes old ones, within one session."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def unannounced(self, limit: int) -> Sequence[tuple[UUID, UUID]]:
        """Return deliveries that no workflow was told of: endpoint and delivery."""
        statement = (
            select(WebhookDelivery.webhook_endpoint_id, WebhookDelivery.webhook_delivery_id)
            .where(~WebhookDelivery.is_announced)
            .order_by(WebhookDelivery.created_at)
            .limit(limit)
        )
        return [(row[0], row[1]) for row in await self._session.execute(statement)]

    async def mark_announced(self, webhook_delivery_ids: Collection[UUID]) -> None:
        """Store that the workflow was told of deliveries."""
        await self._session.execute(
            update(WebhookDelivery)
            .where(WebhookDelivery.webhook_delivery_id.in_(webhook_delivery_ids))
            .values(is_announced=True)
            .execution_options(synchronize_session=False),
        )

    async def prune(self, older_than: timedelta, limit: int) -> int:
        """Delete old deliveries that are settled, or that no active endpoint waits for.

        Returns:
            Number of deleted deliveries.
        """
        is_awaited = (
            select(WebhookEndpoint.webhook_endpoint_id)
            .where(
                WebhookEndpoint.webhook_endpoint_id == WebhookDelivery.webhook_endpoint_id,
                WebhookEndpoint.is_active,
            )
            .exists()
        )
        old = (
            select(WebhookDelivery.webhook_delivery_id)
            .where(WebhookDelivery.created_at < func.now() - older_than, ~(IS_PENDING & is_awaited))
            .limit(limit)
        )
        statement = (
            delete(WebhookDelivery)
            .where(WebhookDelivery.webhook_delivery_id.in_(old.scalar_subquery()))
            .returning(WebhookDelivery.webhook_delivery_id)
            .execution_options(synchronize_session=False)
        )
        return len((await self._session.scalars(statement)).all())


def _firsts(webhook_endpoint_id: UUID) -> Select[WebhookDelivery]:
    """Return the statement for the first pending delivery of each resource."""
    return (
        select(WebhookDelivery)
        .where(WebhookDelivery.webhook_endpoint_id == webhook_endpoint_id, IS_PENDING)
        .ext(distinct_on(WebhookDelivery.resource_id))
        .order_by(WebhookDelivery.resource_id, WebhookDelivery.seq)
    )
