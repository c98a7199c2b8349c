"""All SQL about subscriptions. Never commits: the caller owns the transaction."""

from typing import Any
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import Plan, Subscription
from database.paging import Page, newest_first


class SubscriptionRepository:
    """Reads and writes `subscriptions` within one session."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def insert(self, **values: Any) -> None:
        """Store a new subscription; one that is there already stays as it is."""
        await self._session.execute(
            insert(Subscription).values(**values).on_conflict_do_nothing(),
        )

    async def lock(self, subscription_id: UUID) -> Subscription | None:
        """Return a row that nobody else can write until this transaction ends."""
        return await self._session.get(Subscription, subscription_id, with_for_update=True)

    async def get(self, subscription_id: UUID, user_id: UUID | None) -> Subscription | None:
        """Return a subscription.

        Args:
            subscription_id: Which.
            user_id: Whose it must be; None for anybody's.

        Returns:
            The row, or None if there is none for this owner.
        """
        statement = select(Subscription).where(Subscription.subscription_id == subscription_id)
        if user_id is not None:
            statement = statement.where(Subscription.user_id == user_id)
        return await self._session.scalar(statement)

    async def list(
        self,
        user_id: UUID | None,
        subscription_status: str | None,
        limit: int,
        cursor: str | None,
    ) -> Page[Subscription]:
        """Return one page of subscriptions, newest first; None filters nothing."""
        statement = select(Subscription)
        if user_id is not None:
            statement = statement.where(Subscription.user_id == user_id)
        if subscription_status is not None:
            statement = statement.where(Subscription.subscription_status == subscription_status)
        place = (Subscription.created_at, Subscription.subscription_id)
        return await newest_first(self._session, statement, place, limit, cursor)

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
