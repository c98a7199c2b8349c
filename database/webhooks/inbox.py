"""Repository of the webhook inbox for the dispatcher; the caller owns the transaction."""

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple, cast
from uuid import UUID

from sqlalchemy import ARRAY, Table, Uuid, bindparam, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from database.accounts.models import User
from database.payments.models import Payment
from database.payments.payments import PaymentRepository
from database.plans.plans import PlanRepository
from database.subscriptions.models import Subscription
from database.webhooks.models import WebhookEvent
from database.webhooks.webhook_events import packed
from domain.webhooks.event_types import Handler
from domain.webhooks.events import EventOwner, EventReference, WebhookEventStatus

# Reason: an insert into the table, not the class, is sent as one pipelined `executemany`.
_TABLE = cast("Table", WebhookEvent.__table__)
# How long a subscription that was nobody's is not looked up again when an event of it comes.
FOREIGN_FOR = timedelta(hours=1)
_RECEIVED = WebhookEvent.webhook_event_status == WebhookEventStatus.RECEIVED


class IncomingEvent(NamedTuple):
    """A webhook event to store.

    Args:
        stripe_event_id: Stripe's id of the event, under which it is stored.
        event_type: Type of the event.
        body: Body as received.
        flaw: Why the event can never be processed, so that it is stored as failed; None if it can.
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
# Columns of possible owners of an event: our id, the user's id, Stripe's id.
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
    """Stores, claims and settles `webhook_events` within one session."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, events: Sequence[IncomingEvent]) -> None:
        """Store events in one round trip; events that are already stored stay unchanged."""
        # Reason: two batches with the same events could deadlock if their orders differed.
        ordered = sorted(events, key=lambda event: event.stripe_event_id)
        rows = [_row(event) for event in ordered]
        connection = await self._session.connection()
        await connection.execute(insert(_TABLE).on_conflict_do_nothing(), rows)

    async def claim(self, limit: int, lease: timedelta) -> Sequence[WebhookEvent]:
        """Claim events that are due and count an attempt; after the lease they are due again."""
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

    async def owners(self, references: Collection[EventReference]) -> Sequence[EventOwner]:
        """Return all subscriptions, payments, users and plans that references name."""
        found: list[EventOwner] = []
        for handler, columns in _OWNERS.items():
            matching = [reference for reference in references if reference.handler is handler]
            found += await self._owners(handler, columns, matching) if matching else ()
        meter_ids = {
            each.stripe_id
            for each in references
            if each.handler is Handler.METER and each.stripe_id is not None
        }
        if meter_ids:
            plans = await PlanRepository(self._session).of_meters(meter_ids)
            found += [
                EventOwner(handler=Handler.METER, our_id=plan_id, user_id=None, stripe_id=meter_id)
                for plan_id, meter_id in plans
            ]
        return found

    async def _owners(
        self,
        handler: Handler,
        columns: _OwnerColumns,
        references: Collection[EventReference],
    ) -> Sequence[EventOwner]:
        ours = {reference.our_id for reference in references} - {None}
        theirs = {reference.stripe_id for reference in references} - {None}
        our_id, user_id, stripe_id = columns
        statement = select(our_id, user_id, stripe_id).where(
            or_(our_id.in_(ours), stripe_id.in_(theirs)),
        )
        return [
            EventOwner(handler=handler, our_id=row[0], user_id=row[1], stripe_id=row[2])
            for row in await self._session.execute(statement)
        ]

    async def lock_intents(self, stripe_payment_intent_ids: Collection[str]) -> None:
        """Lock payment intents until the transaction ends."""
        # Reason: an event without a payment and the insert of its payment must not miss each other.
        for intent_id in sorted(stripe_payment_intent_ids):
            await PaymentRepository(self._session).lock_intent(intent_id)

    async def await_payment(self, webhook_event_id: UUID, stripe_payment_intent_id: str) -> None:
        """Set an event aside until a payment with its payment intent is stored."""
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
        error: str | None = None,
    ) -> None:
        """Store the final status of events that are not settled yet, and have no owner."""
        await self._update(
            webhook_event_ids,
            webhook_event_status=status,
            **_ids_of(None),
            last_error=error,
            delivered_at=None,
        )

    async def postpone(self, webhook_event_ids: Collection[UUID], error: str) -> None:
        """Postpone events by 1, 2, 4 … 60 seconds, depending on the attempts so far."""
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


async def mark_delivered(
    session: AsyncSession, delivered: Mapping[EventOwner, Sequence[UUID]]
) -> None:
    """Store in one round trip that events were delivered, unless they are settled.

    Args:
        session: Session of the caller's transaction.
        delivered: Our ids of the events, by owner.
    """
    statement = (
        update(_TABLE)
        .where(
            _TABLE.c.webhook_event_id == func.any(bindparam("ids", type_=ARRAY(Uuid))),
            _RECEIVED,
        )
        .values(
            webhook_event_status=WebhookEventStatus.DELIVERED,
            subscription_id=bindparam("owning_subscription_id"),
            payment_id=bindparam("owning_payment_id"),
            last_error=None,
            delivered_at=func.now(),
        )
    )
    rows = [
        {"ids": [*ids], **{f"owning_{name}": each for name, each in _ids_of(owner).items()}}
        for owner, ids in delivered.items()
    ]
    if rows:
        connection = await session.connection()
        await connection.execute(statement, rows)


async def known_as_foreign(
    session: AsyncSession, stripe_subscription_ids: Collection[str]
) -> set[str]:
    """Return those subscriptions at Stripe that were nobody's when an event of theirs came."""
    if not stripe_subscription_ids:
        return set()
    statement = select(WebhookEvent.awaited_stripe_id).where(
        WebhookEvent.awaited_stripe_id.in_(stripe_subscription_ids),
        WebhookEvent.received_at > func.now() - FOREIGN_FOR,
    )
    return {str(found) for found in await session.scalars(statement)}


async def settle_awaiting_owner(
    session: AsyncSession,
    stripe_event_ids: Collection[str],
    stripe_subscription_id: str,
    subscription_id: UUID | None,
) -> None:
    """Settle events that waited for the owner of their subscription.

    Args:
        session: Session of the caller's transaction.
        stripe_event_ids: The events.
        stripe_subscription_id: The subscription.
        subscription_id: Our id of it; None if it is nobody's, and its events are ignored.
    """
    is_owned = subscription_id is not None
    status = WebhookEventStatus.DELIVERED if is_owned else WebhookEventStatus.IGNORED
    await session.execute(
        update(WebhookEvent)
        .where(WebhookEvent.stripe_event_id.in_(stripe_event_ids), _RECEIVED)
        .values(
            webhook_event_status=status,
            subscription_id=subscription_id,
            awaited_stripe_id=None if is_owned else stripe_subscription_id,
            last_error=None,
            delivered_at=func.now() if is_owned else None,
        ),
    )


async def deliver_awaiting(session: AsyncSession, stripe_payment_intent_id: str) -> None:
    """Make events due that waited for the payment of this intent."""
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


def _ids_of(owner: EventOwner | None) -> dict[str, UUID | None]:
    """Return the owner's id by column; without an owner, None for all columns."""
    ids: dict[str, UUID | None] = {"subscription_id": None, "payment_id": None}
    if owner is not None and owner.handler in _COLUMNS:
        ids[_COLUMNS[owner.handler]] = owner.our_id
    return ids
