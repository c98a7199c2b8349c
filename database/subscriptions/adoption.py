"""Repository that recognizes subscriptions at Stripe; the caller owns the transaction."""

from collections.abc import Collection, Sequence
from uuid import UUID

from sqlalchemy import func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from database.base import NOTHING_PARKED
from database.subscriptions.models import Subscription
from domain.subscriptions.adoption.decisions import KnownSubscription


class KnownSubscriptionRepository:
    """Reads `subscriptions` by their ids at Stripe, within one session."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def known(
        self, stripe_subscription_id: str, subscription_id: UUID | None
    ) -> Sequence[KnownSubscription]:
        """Return the subscriptions that have this id at Stripe, or this id of ours."""
        statement = select(
            Subscription.subscription_id,
            Subscription.user_id,
            Subscription.stripe_subscription_id,
        ).where(
            or_(
                Subscription.stripe_subscription_id == stripe_subscription_id,
                Subscription.subscription_id == subscription_id,
            )
        )
        return [KnownSubscription(*row) for row in await self._session.execute(statement)]

    async def followed(self, stripe_subscription_ids: Collection[str]) -> set[str]:
        """Return those of the ids at Stripe that have a row."""
        statement = select(Subscription.stripe_subscription_id).where(
            Subscription.stripe_subscription_id.in_(stripe_subscription_ids)
        )
        return {str(found) for found in await self._session.scalars(statement)}

    async def planless(self, stripe_subscription_ids: Collection[str]) -> Sequence[Subscription]:
        """Return those subscriptions with these ids at Stripe whose price belongs to no plan."""
        statement = select(Subscription).where(
            Subscription.stripe_subscription_id.in_(stripe_subscription_ids),
            Subscription.plan_id.is_(None),
        )
        return (await self._session.scalars(statement)).all()

    async def count_unread(self, stripe_subscription_ids: Sequence[str]) -> int:
        """Count the ids at Stripe that have no view yet, and no parked step that says why."""
        statement = select(func.count()).where(
            Subscription.stripe_subscription_id.in_(stripe_subscription_ids),
            Subscription.current_period_end.is_not(None)
            | (Subscription.parked_data != NOTHING_PARKED),
        )
        return len(stripe_subscription_ids) - (await self._session.scalar(statement) or 0)
