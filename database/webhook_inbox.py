"""All SQL about events on their way from Stripe to a mailbox. Never commits."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import NamedTuple, cast
from uuid import UUID

from sqlalchemy import Table, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import Subscription, WebhookEvent
from database.webhook_events import packed
from domain.webhooks import Owner, Reference, WebhookEventStatus

# Reason: an insert into the table, not the class, goes out as one pipelined `executemany`.
_TABLE = cast("Table", WebhookEvent.__table__)
_RECEIVED = WebhookEvent.webhook_event_status == WebhookEventStatus.RECEIVED


class IncomingEvent(NamedTuple):
    """An event as it came in."""

    stripe_event_id: str
    event_type: str
    body: bytes


class WebhookInboxRepository:
    """Takes in and hands on `webhook_events` within one session."""

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
            webhook_event_ids,
            webhook_event_status=status,
            subscription_id=subscription_id,
            last_error=error,
            delivered_at=func.now() if is_delivered else None,
        )

    async def postpone(self, webhook_event_ids: Collection[UUID], error: str) -> None:
        """Try events again after 1, 2, 4 … 60 seconds, by the attempts made."""
        seconds = func.least(60, func.power(2, func.least(WebhookEvent.attempt_count, 7) - 1))
        await self._update(
            webhook_event_ids,
            next_attempt_at=func.now() + seconds * timedelta(seconds=1),
            last_error=error,
        )

    async def _update(self, webhook_event_ids: Collection[UUID], **values: object) -> None:
        await self._session.execute(
            update(WebhookEvent)
            .where(WebhookEvent.webhook_event_id.in_(webhook_event_ids), _RECEIVED)
            .values(**values)
            .execution_options(synchronize_session=False),
        )
