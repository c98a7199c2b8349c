"""All SQL about subscriptions. Never commits: the caller owns the transaction."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, select, update
from sqlalchemy.dialects.postgresql import insert

from database.accounts.models import User
from database.plans.models import Plan
from database.repository import OwnedRepository
from database.subscriptions.models import Subscription
from domain.subscriptions.lifecycle import FINAL

# Reason: to put a statement together takes longer than to carry it out, and steps need it.
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
# Reason: other rows refer to the user, and need not wait for us.
_SUBSCRIBED_OF_LOCKED = _SUBSCRIBED.with_for_update(of=User, key_share=True)


class SubscriptionRepository(OwnedRepository[Subscription]):
    """Reads and writes `subscriptions` within one session."""

    table = Subscription

    async def insert(self, **values: Any) -> None:
        """Store a new subscription; one that is there already stays as it is."""
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

        Args:
            user_id: Whose.
            locks_user: Nobody else decides about this user's means until the transaction ends.
        """
        statement = _SUBSCRIBED_OF_LOCKED if locks_user else _SUBSCRIBED
        rows = await self._session.execute(statement, {"user_id": user_id})
        return [(row[0], row[1]) for row in rows if row[0] is not None]

    async def note_creation(self, subscription_id: UUID, at: datetime) -> None:
        """Note that Stripe is asked to make a subscription; the first time stays."""
        await self._session.execute(
            update(Subscription)
            .where(
                Subscription.subscription_id == subscription_id,
                Subscription.creation_sent_at.is_(None),
            )
            .values(creation_sent_at=at),
        )

    async def note_end(self, subscription_id: UUID) -> None:
        """Note that it is us who end a subscription."""
        await self._session.execute(
            update(Subscription)
            .where(Subscription.subscription_id == subscription_id)
            .values(is_ended_by_us=True),
        )

    async def live_of_plan(self, user_id: UUID, plan_id: UUID, besides: UUID) -> UUID | None:
        """Return a user's other subscription of a plan that has not ended, if there is one.

        Args:
            user_id: Whose.
            plan_id: Of which plan.
            besides: The one that is being made: a twin of its request may have written its row.
        """
        statement = select(Subscription.subscription_id).where(
            Subscription.user_id == user_id,
            Subscription.plan_id == plan_id,
            Subscription.subscription_id != besides,
            Subscription.subscription_status.not_in(FINAL),
        )
        return await self._session.scalar(statement.limit(1))

    async def live_currency(self, user_id: UUID) -> str | None:
        """Return what a user is billed in by a subscription that has not ended; None if by none."""
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
        """Tell whether a trial of a plan was given to a user, or on a card, before.

        Args:
            user_id: To whom.
            plan_id: Of which plan.
            card_fingerprint: On which card; None asks about the user alone.
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
        """Return a row that nobody else can write until this transaction ends."""
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
