"""Repository of the users of customers at Stripe; the caller owns the transaction."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from database.accounts.models import User


class CustomerLinkRepository:
    """Reads and writes which user a customer at Stripe belongs to, within one session."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def owner_of_customer(self, stripe_customer_id: str) -> UUID | None:
        """Return the user whom a customer at Stripe belongs to, or None."""
        statement = select(User.user_id).where(User.stripe_customer_id == stripe_customer_id)
        return await self._session.scalar(statement)

    async def owned_customers(self, stripe_customer_ids: Collection[str]) -> set[str]:
        """Return those of the customers at Stripe that belong to a user."""
        statement = select(User.stripe_customer_id).where(
            User.stripe_customer_id.in_(stripe_customer_ids)
        )
        return {str(found) for found in await self._session.scalars(statement)}

    async def link_customer(self, user_id: UUID, stripe_customer_id: str) -> bool:
        """Give a customer at Stripe to a user who has none; return whether the user has it now.

        A customer is never taken from the user whom it belongs to.
        """
        # Reason: without the lock, two users could be given one customer, which is an error.
        key = func.hashtext(stripe_customer_id)
        await self._session.execute(select(func.pg_advisory_xact_lock(key)))
        owner_id = await self.owner_of_customer(stripe_customer_id)
        if owner_id is not None:
            return owner_id == user_id
        linked = await self._session.scalar(
            update(User)
            .where(User.user_id == user_id, User.stripe_customer_id.is_(None))
            .values(stripe_customer_id=stripe_customer_id)
            .returning(User.user_id),
        )
        return linked is not None
