"""All SQL about the inbox. Never commits: the caller owns the transaction."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import NamedTuple, cast
from uuid import UUID

import lz4.frame
from sqlalchemy import ColumnElement, Table, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import Subscription, WebhookEvent
from database.paging import Page, newest_first
from domain.webhooks import Owner, Reference, WebhookEventStatus

# Reason: an insert into the table, not the class, goes out as one pipelined `executemany`.
_TABLE = cast("Table", WebhookEvent.__table__)
_RECEIVED = WebhookEvent.webhook_event_status == WebhookEventStatus.RECEIVED


class IncomingEvent(NamedTuple):
    """An event as it came in."""

    stripe_event_id: str
    event_type: str
    body: bytes


def packed(body: bytes) -> bytes:
    """Compress a body for its column."""
    return bytes(lz4.frame.compress(body))


def unpacked(body: bytes) -> bytes:
    """Return the body that a column holds.

    Raises:
        RuntimeError: The column holds something else.
    """
    return bytes(lz4.frame.decompress(body))


class WebhookEventRepository:
    """Reads and writes `webhook_events` within one session."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, events: Sequence[IncomingEvent]) -> None:
        """Store events, in one round trip; those that are there already stay as they are."""
        rows = [
            {
                "stripe_event_id": event.stripe_event_id,
                "event_type": event.event_type,
                "body": packed(event.body),
            }
            # Reason: in one order everywhere, or two batches with the same events block each other.
            for event in sorted(events)
        ]
        connection = await self._session.connection()
        await connection.execute(insert(_TABLE).on_conflict_do_nothing(), rows)

    async def claim(self, limit: int, lease: timedelta) -> Sequence[WebhookEvent]:
        """Take events that are due, counting an attempt; others may take them after the lease."""
        due = (
            select(WebhookEvent.webhook_event_id)
            .where(_RECEIVED, WebhookEvent.next_attempt_at <= func.now())
            .order_by(WebhookEvent.next_attempt_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        statement = (
            update(WebhookEvent)
            .where(WebhookEvent.webhook_event_id.in_(due.scalar_subquery()))
            .values(
                next_attempt_at=func.now() + lease,
                attempt_count=WebhookEvent.attempt_count + 1,
            )
            .returning(WebhookEvent)
            .execution_options(synchronize_session=False)
        )
        return (await self._session.scalars(statement)).all()

    async def owners(self, references: Collection[Reference]) -> Sequence[Owner]:
        """Return every subscription that one of the references names, by either id."""
        ours = {reference.subscription_id for reference in references} - {None}
        theirs = {reference.stripe_subscription_id for reference in references} - {None}
        statement = select(
            Subscription.subscription_id,
            Subscription.user_id,
            Subscription.stripe_subscription_id,
        ).where(
            or_(
                Subscription.subscription_id.in_(ours),
                Subscription.stripe_subscription_id.in_(theirs),
            ),
        )
        rows = await self._session.execute(statement)
        return [Owner.model_validate(row._asdict()) for row in rows]

    async def settle(
        self,
        webhook_event_ids: Collection[UUID],
        status: WebhookEventStatus,
        *,
        subscription_id: UUID | None = None,
        error: str | None = None,
    ) -> None:
        """Say what became of events; what somebody else settled meanwhile stays as it is."""
        is_delivered = status is WebhookEventStatus.DELIVERED
        await self._update(
            WebhookEvent.webhook_event_id.in_(webhook_event_ids) & _RECEIVED,
            webhook_event_status=status,
            subscription_id=subscription_id,
            last_error=error,
            delivered_at=func.now() if is_delivered else None,
        )

    async def postpone(self, webhook_event_ids: Collection[UUID], error: str) -> None:
        """Try events again after 1, 2, 4 … 60 seconds, by the attempts made."""
        seconds = func.least(60, func.power(2, func.least(WebhookEvent.attempt_count, 7) - 1))
        await self._update(
            WebhookEvent.webhook_event_id.in_(webhook_event_ids) & _RECEIVED,
            next_attempt_at=func.now() + seconds * timedelta(seconds=1),
            last_error=error,
        )

    async def redeliver(self, webhook_event_id: UUID) -> WebhookEvent | None:
        """Make an event due again, whatever became of it; None if there is no such event."""
        await self._update(
            WebhookEvent.webhook_event_id == webhook_event_id,
            webhook_event_status=WebhookEventStatus.RECEIVED,
            attempt_count=0,
            last_error=None,
            delivered_at=None,
            next_attempt_at=func.now(),
        )
        return await self.get(webhook_event_id)

    async def types_of(self, stripe_event_ids: Collection[str]) -> dict[str, str]:
        """Return the types of events by Stripe's id; unknown ids are left out."""
        statement = select(WebhookEvent.stripe_event_id, WebhookEvent.event_type).where(
            WebhookEvent.stripe_event_id.in_(stripe_event_ids),
        )
        return {
            row.stripe_event_id: row.event_type for row in await self._session.execute(statement)
        }

    async def get(self, webhook_event_id: UUID) -> WebhookEvent | None:
        """Return an event, or None."""
        return await self._session.get(WebhookEvent, webhook_event_id)

    async def list(
        self,
        event_type: str | None,
        status: WebhookEventStatus | None,
        limit: int,
        cursor: str | None,
    ) -> Page[WebhookEvent]:
        """Return one page of events, newest first; None filters nothing."""
        statement = select(WebhookEvent)
        if event_type is not None:
            statement = statement.where(WebhookEvent.event_type == event_type)
        if status is not None:
            statement = statement.where(WebhookEvent.webhook_event_status == status)
        place = (WebhookEvent.received_at, WebhookEvent.webhook_event_id)
        return await newest_first(self._session, statement, place, limit, cursor)

    async def _update(self, where: ColumnElement[bool], **values: object) -> None:
        await self._session.execute(
            update(WebhookEvent)
            .where(where)
            .values(**values)
            .execution_options(synchronize_session=False),
        )
