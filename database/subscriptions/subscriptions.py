"""Repository of subscriptions; the caller owns the transaction."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, bindparam, select, update
from sqlalchemy.dialects.postgresql import insert

from database.accounts.models import User
from database.plans.models import Plan
from database.repository import OwnedRepository
from database.subscriptions.models import Subscription
from domain.subscriptions.lifecycle import FINAL

# Reason: building this statement takes longer than executing it, and every step needs it.
_SUBSCRIBED = (
    select(Subscription, Plan)
    .select_from(User)
    .outerjoin(
        Subscription,
        (Subscription.user_id == User.user_id) & Subscription.subscription_status.not_in(FINAL),
    )
    .outerjoin(Plan, Plan.plan_id == Subscription.plan_id)
    .where(User.user_id == bindparam("user_id"))
    .order_by(Subscription.created_at.desc())
)
# Reason: with `key_share`, inserts of rows that refer to the user need not wait.
_SUBSCRIBED_OF_LOCKED = _SUBSCRIBED.with_for_update(of=User, key_share=True)


class SubscriptionRepository(OwnedRepository[Subscription]):
    """Reads and writes `subscriptions` within one session."""

    table = Subscription

    async def insert(self, **values: Any) -> None:
        """Store a new subscription, unless it is already stored."""
        await self._session.execute(
            insert(Subscription).values(**values).on_conflict_do_nothing(),
        )

    async def with_plans(
        self,
        user_id: UUID,
        *,
        locks_user: bool = False,
    ) -> Sequence[tuple[Subscription, Plan]]:
        """Return a user's subscriptions that have not ended, with their plans, newest first.

        A subscription of no plan of ours entitles to nothing, and is left out.

        Args:
            user_id: Owner of the subscriptions.
            locks_user: Whether to lock the user's allowance until the transaction ends.
        """
        statement = _SUBSCRIBED_OF_LOCKED if locks_user else _SUBSCRIBED
        rows = await self._session.execute(statement, {"user_id": user_id})
        return [(row[0], row[1]) for row in rows if row[1] is not None]

    async def mark_creation_sent(self, subscription_id: UUID, at: datetime) -> None:
        """Store when Stripe was asked to create a subscription; later calls change nothing."""
        await self._session.execute(
            update(Subscription)
            .where(
                Subscription.subscription_id == subscription_id,
                Subscription.creation_sent_at.is_(None),
            )
            .values(creation_sent_at=at),
        )

    async def mark_ended_by_us(self, subscription_id: UUID) -> None:
        """Mark a subscription as ended by us, not by Stripe."""
        await self._session.execute(
            update(Subscription)
            .where(Subscription.subscription_id == subscription_id)
            .values(is_ended_by_us=True),
        )

    async def live_of_plan(self, user_id: UUID, plan_id: UUID, besides: UUID) -> UUID | None:
        """Return the id of another subscription of a user and plan that has not ended, or None.

        Args:
            user_id: Owner of the subscription.
            plan_id: Plan of the subscription.
            besides: Subscription to ignore: the one that is being created, whose row a concurrent
                identical request may have written.
        """
        same_plan = Subscription.plan_id == plan_id
        return await self._session.scalar(_live(user_id, besides, same_plan))

    async def replacement_of(self, user_id: UUID, replaced_id: UUID, besides: UUID) -> UUID | None:
        """Return the id of the subscription that replaces another one and has not ended, or None.

        Args:
            user_id: Owner of both.
            replaced_id: Subscription that is replaced.
            besides: Subscription to ignore: the one that is being created.
        """
        replaces = Subscription.replaces_subscription_id == replaced_id
        return await self._session.scalar(_live(user_id, besides, replaces))

    async def live_currency(self, user_id: UUID) -> str | None:
        """Return the currency of a user's subscriptions that have not ended; None without any."""
        statement = (
            select(Plan.currency_code)
            .join(Subscription, Subscription.plan_id == Plan.plan_id)
            .where(
                Subscription.user_id == user_id,
                Subscription.subscription_status.not_in(FINAL),
            )
        )
        return await self._session.scalar(statement.limit(1))

    async def has_had_trial(
        self,
        user_id: UUID,
        plan_id: UUID,
        card_fingerprint: str | None,
    ) -> bool:
        """Tell whether a user or a card already had a trial of a plan.

        Args:
            user_id: User to check.
            plan_id: Plan of the trial.
            card_fingerprint: Card to check as well; None to check the user only.
        """
        theirs = Subscription.user_id == user_id
        if card_fingerprint is not None:
            theirs |= Subscription.trial_card_fingerprint == card_fingerprint
        statement = select(Subscription.subscription_id).where(
            Subscription.plan_id == plan_id,
            Subscription.trial_days > 0,
            theirs,
        )
        return await self._session.scalar(statement.limit(1)) is not None

    async def lock(self, subscription_id: UUID) -> Subscription | None:
        """Lock a subscription until the transaction ends and return it, or None."""
        return await self._session.get(Subscription, subscription_id, with_for_update=True)

    async def retry_policy_name(self, subscription_id: UUID) -> str | None:
        """Return the name of the retry policy of the subscription's plan."""
        statement = (
            select(Plan.retry_policy)
            .join(Subscription, Subscription.plan_id == Plan.plan_id)
            .where(Subscription.subscription_id == subscription_id)
        )
        return await self._session.scalar(statement)

    async def take_seqs(self, subscription_id: UUID, count: int) -> int:
        """Reserve numbers for events and return the first of them."""
        statement = (
            update(Subscription)
            .where(Subscription.subscription_id == subscription_id)
            .values(last_event_seq=Subscription.last_event_seq + count)
            .returning(Subscription.last_event_seq)
            .execution_options(synchronize_session=False)
        )
        last = await self._session.scalar(statement)
        return (last or 0) - count + 1


def _live(user_id: UUID, besides: UUID, condition: ColumnElement[bool]) -> Select[UUID]:
    """Return the query of one subscription of a user that has not ended."""
    statement = select(Subscription.subscription_id).where(
        Subscription.user_id == user_id,
        Subscription.subscription_id != besides,
        Subscription.subscription_status.not_in(FINAL),
        condition,
    )
    return statement.limit(1)
