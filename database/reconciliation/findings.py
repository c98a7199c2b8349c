"""Reads what reconciliation looks at: events, views, parked steps and cards."""

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Text, cast, exists, func, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from database.base import NOTHING_PARKED
from database.payment_retries.models import PaymentRetry
from database.payments.models import Payment, PaymentMethod
from database.reconciliation.models import ListedSubscription, ReconciliationRepair
from database.subscriptions.models import Subscription
from database.webhooks.models import WebhookEvent
from domain.parked_steps import ParkableResource
from domain.reconciliation.messages import RepairKind
from domain.subscriptions.lifecycle import FINAL
from domain.webhooks.events import WebhookEventStatus

_PARKABLE: Mapping[ParkableResource, tuple[Any, Any]] = {
    ParkableResource.SUBSCRIPTION: (Subscription, Subscription.subscription_id),
    ParkableResource.PAYMENT_RETRY: (PaymentRetry, PaymentRetry.payment_retry_id),
    ParkableResource.PAYMENT: (Payment, Payment.payment_id),
}


class ParkedResource(NamedTuple):
    """A resource with its parked steps, as stored."""

    resource: ParkableResource
    resource_id: UUID
    parked_data: list[dict[str, Any]]


class ComparedRows:
    """Reads the rows that reconciliation compares, within one session."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def stored_events(self, stripe_event_ids: Collection[str]) -> set[str]:
        """Return those of these events that are in the inbox."""
        statement = select(WebhookEvent.stripe_event_id).where(
            WebhookEvent.stripe_event_id.in_(stripe_event_ids),
        )
        return set(await self._session.scalars(statement))

    async def views(
        self, stripe_ids: Collection[str], our_ids: Collection[UUID]
    ) -> Sequence[Subscription]:
        """Return the subscriptions with these ids of Stripe, or these ids of ours."""
        statement = select(Subscription).where(
            or_(
                Subscription.stripe_subscription_id.in_(stripe_ids),
                Subscription.subscription_id.in_(our_ids),
            ),
        )
        return (await self._session.scalars(statement)).all()

    async def note_listed(
        self, reconciliation_id: UUID, subscription_ids: Collection[UUID]
    ) -> None:
        """Note that subscriptions are in Stripe's list."""
        if not subscription_ids:
            return
        statement = insert(ListedSubscription).values(
            [
                {"subscription_id": each, "reconciliation_id": reconciliation_id}
                for each in sorted(subscription_ids)
            ],
        )
        await self._session.execute(
            statement.on_conflict_do_update(
                index_elements=[ListedSubscription.subscription_id],
                set_={"reconciliation_id": statement.excluded.reconciliation_id},
            ),
        )

    async def unlisted(
        self, reconciliation_id: UUID, after: UUID | None, limit: int
    ) -> Sequence[Subscription]:
        """Return live subscriptions that exist at Stripe and were not in its list, by id.

        One that this reconciliation has adopted was in the list, before it had a row here.
        """
        was_listed = exists().where(
            ListedSubscription.subscription_id == Subscription.subscription_id,
            ListedSubscription.reconciliation_id == reconciliation_id,
        )
        was_adopted = exists().where(
            ReconciliationRepair.reconciliation_id == reconciliation_id,
            ReconciliationRepair.kind == RepairKind.SUBSCRIPTION_UNKNOWN,
            ReconciliationRepair.resource_id == cast(Subscription.subscription_id, Text),
        )
        statement = (
            select(Subscription)
            .where(
                Subscription.stripe_subscription_id.is_not(None),
                Subscription.subscription_status.not_in(FINAL),
                ~was_listed,
                ~was_adopted,
            )
            .order_by(Subscription.subscription_id)
            .limit(limit)
        )
        if after is not None:
            statement = statement.where(Subscription.subscription_id > after)
        return (await self._session.scalars(statement)).all()


class NeglectedRows:
    """Reads rows that need attention, within one session."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def stuck_events(self, stuck_after: timedelta, limit: int) -> Sequence[WebhookEvent]:
        """Return events of the inbox that are not delivered for long, oldest first."""
        statement = (
            select(WebhookEvent)
            .where(
                WebhookEvent.webhook_event_status == WebhookEventStatus.RECEIVED,
                WebhookEvent.received_at < func.now() - stuck_after,
            )
            .order_by(WebhookEvent.received_at)
            .limit(limit)
        )
        return (await self._session.scalars(statement)).all()

    async def failed_events(self, within: timedelta, limit: int) -> Sequence[WebhookEvent]:
        """Return events of the inbox whose delivery failed, received not long ago."""
        statement = (
            select(WebhookEvent)
            .where(
                WebhookEvent.webhook_event_status == WebhookEventStatus.FAILED,
                WebhookEvent.received_at > func.now() - within,
            )
            .order_by(WebhookEvent.received_at)
            .limit(limit)
        )
        return (await self._session.scalars(statement)).all()

    async def make_due(self, webhook_event_ids: Collection[UUID]) -> None:
        """Make events due for delivery; those that failed start anew."""
        await self._session.execute(
            update(WebhookEvent)
            .where(WebhookEvent.webhook_event_id.in_(webhook_event_ids))
            .values(
                webhook_event_status=WebhookEventStatus.RECEIVED,
                attempt_count=0,
                next_attempt_at=func.now(),
            )
            .execution_options(synchronize_session=False),
        )

    async def parked(self) -> Sequence[ParkedResource]:
        """Return all resources with parked steps, by means of the partial indexes."""
        found: list[ParkedResource] = []
        for resource, (model, key) in _PARKABLE.items():
            rows = await self._session.execute(
                select(key, model.parked_data).where(model.parked_data != NOTHING_PARKED),
            )
            found += [ParkedResource(resource, *row) for row in rows]
        return found

    async def cards_of_subscribers(
        self, months: Collection[tuple[int, int]], after: UUID | None, limit: int
    ) -> Sequence[PaymentMethod]:
        """Return the cards of users with a live subscription that expire in these months, by id."""
        is_subscribed = exists().where(
            Subscription.user_id == PaymentMethod.user_id,
            Subscription.subscription_status.not_in(FINAL),
        )
        statement = (
            select(PaymentMethod)
            .where(
                PaymentMethod.detached_at.is_(None),
                tuple_(PaymentMethod.exp_year, PaymentMethod.exp_month).in_(months),
                is_subscribed,
            )
            .order_by(PaymentMethod.payment_method_id)
            .limit(limit)
        )
        if after is not None:
            statement = statement.where(PaymentMethod.payment_method_id > after)
        return (await self._session.scalars(statement)).all()
