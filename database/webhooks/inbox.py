"""All SQL about events on their way from Stripe to a mailbox. Never commits."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import NamedTuple, cast
from uuid import UUID

from sqlalchemy import Table, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from database.accounts.models import User
from database.payments.models import Payment
from database.payments.payments import PaymentRepository
from database.subscriptions.models import Subscription
from database.webhooks.models import WebhookEvent
from database.webhooks.webhook_events import packed
from domain.webhooks.events import Handler, Owner, Reference, WebhookEventStatus

# Reason: an insert into the table, not the class, goes out as one pipelined `executemany`.
_TABLE = cast("Table", WebhookEvent.__table__)
_RECEIVED = WebhookEvent.webhook_event_status == WebhookEventStatus.RECEIVED


class IncomingEvent(NamedTuple):
    """An event as it came in.

    Args:
        stripe_event_id: What it is stored under.
        event_type: What happened.
        body: The event as it came.
        flaw: Why it can never be processed: it is stored as failed; None if it can.
    """

    stripe_event_id: str
    event_type: str
    body: bytes
    flaw: str | None = None


_OwnerColumns = tuple[
    InstrumentedAttribute[UUID],
    InstrumentedAttribute[UUID],
    InstrumentedAttribute[str | None],
]
# Where what an event may belong to is found: by our id, its user, by Stripe's id.
_OWNERS: dict[Handler, _OwnerColumns] = {
    Handler.HINT: (
        Subscription.subscription_id,
        Subscription.user_id,
        Subscription.stripe_subscription_id,
    ),
    Handler.PAYMENT_HINT: (
        Payment.payment_id,
        Payment.user_id,
        Payment.stripe_payment_intent_id,
    ),
    Handler.CUSTOMER: (
        User.user_id,
        User.user_id,
        User.stripe_customer_id,
    ),
}


class WebhookInboxRepository:
    """Takes in and hands on `webhook_events` within one session."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, events: Sequence[IncomingEvent]) -> None:
        """Store events, in one round trip; those that are there already stay as they are."""
        # Reason: in one order everywhere, or two batches with the same events block each other.
        ordered = sorted(events, key=lambda event: event.stripe_event_id)
        rows = [_row(event) for event in ordered]
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
        """Return every subscription and payment that a reference names, by either id."""
        found: list[Owner] = []
        for handler, columns in _OWNERS.items():
            mine = [reference for reference in references if reference.handler is handler]
            found += await self._owners(handler, columns, mine) if mine else ()
        return found

    async def _owners(
        self,
        handler: Handler,
        columns: _OwnerColumns,
        references: Collection[Reference],
    ) -> Sequence[Owner]:
        ours = {reference.our_id for reference in references} - {None}
        theirs = {reference.stripe_id for reference in references} - {None}
        our_id, user_id, stripe_id = columns
        statement = select(our_id, user_id, stripe_id).where(
            or_(our_id.in_(ours), stripe_id.in_(theirs)),
        )
        return [
            Owner(handler=handler, our_id=row[0], user_id=row[1], stripe_id=row[2])
            for row in await self._session.execute(statement)
        ]

    async def lock_intents(self, stripe_payment_intent_ids: Collection[str]) -> None:
        """Let nobody else store these intents' payments until the transaction ends."""
        # Reason: a payment's row and an event that finds none must not miss each other.
        for intent_id in sorted(stripe_payment_intent_ids):
            await PaymentRepository(self._session).lock_intent(intent_id)

    async def await_payment(self, webhook_event_id: UUID, stripe_payment_intent_id: str) -> None:
        """Put an event aside until there is a payment of ours for its intent."""
        await self._update(
            [webhook_event_id],
            webhook_event_status=WebhookEventStatus.IGNORED,
            awaited_stripe_id=stripe_payment_intent_id,
            **_ids_of(None),
        )

    async def settle(
        self,
        webhook_event_ids: Collection[UUID],
        status: WebhookEventStatus,
        *,
        owner: Owner | None = None,
        error: str | None = None,
    ) -> None:
        """Say what became of events; what somebody else settled meanwhile stays as it is."""
        is_delivered = status is WebhookEventStatus.DELIVERED
        await self._update(
            webhook_event_ids,
            webhook_event_status=status,
            **_ids_of(owner),
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


async def deliver_awaiting(session: AsyncSession, stripe_payment_intent_id: str) -> None:
    """Let events about an intent be delivered that came before its payment was known."""
    await session.execute(
        update(WebhookEvent)
        .where(
            WebhookEvent.awaited_stripe_id == stripe_payment_intent_id,
            WebhookEvent.webhook_event_status == WebhookEventStatus.IGNORED,
        )
        .values(
            webhook_event_status=WebhookEventStatus.RECEIVED,
            awaited_stripe_id=None,
            next_attempt_at=func.now(),
        ),
    )


def _row(event: IncomingEvent) -> dict[str, object]:
    status = WebhookEventStatus.FAILED if event.flaw else WebhookEventStatus.RECEIVED
    return {
        "stripe_event_id": event.stripe_event_id,
        "event_type": event.event_type,
        "body": packed(event.body),
        "webhook_event_status": status,
        "last_error": event.flaw,
    }


_COLUMNS = {Handler.HINT: "subscription_id", Handler.PAYMENT_HINT: "payment_id"}


def _ids_of(owner: Owner | None) -> dict[str, UUID | None]:
    """Return whose event it is, by column; nobody's if it was redelivered in vain."""
    ids: dict[str, UUID | None] = {"subscription_id": None, "payment_id": None}
    if owner is not None and owner.handler in _COLUMNS:
        ids[_COLUMNS[owner.handler]] = owner.our_id
    return ids
