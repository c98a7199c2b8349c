"""Accounts."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from database.accounts.api_keys import ApiKeyRepository
from database.accounts.models import User
from domain.errors import ConflictError

ADMIN = "admin"
USER = "user"


class UserRepository:
    """Reads and writes users; the caller owns the transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def get(self, user_id: UUID) -> User | None:
        """Return a user, or None."""
        return await self._session.get(User, user_id)

    async def get_by_email(self, email: str) -> User | None:
        """Return the user with this address, whatever its case, or None."""
        return await self._session.scalar(select(User).where(User.email == email.lower()))

    async def add(
        self,
        user_id: UUID,
        email: str,
        *,
        name: str | None = None,
        password_hash: str | None = None,
        external_id: str | None = None,
        role: str = USER,
    ) -> User:
        """Add a user unless one of its unique facts is taken.

        Args:
            user_id: The primary key to give.
            email: Kept in lower case.
            name: What to call them.
            password_hash: None for users who log in elsewhere.
            external_id: What their own login calls them.
            role: `user` or `admin`.

        Returns:
            The user that has this id, this address or this external id: the new one, or, as its
            `user_id` then tells, the one that was there before.
        """
        values = {
            "user_id": user_id,
            "email": email.lower(),
            "name": name,
            "password_hash": password_hash,
            "external_id": external_id,
            "role": role,
        }
        await self._session.execute(insert(User).values(values).on_conflict_do_nothing())
        taken = [User.user_id == user_id, User.email == email.lower()]
        if external_id is not None:
            taken.append(User.external_id == external_id)
        # Reason: the row with our own id first, so that a repeated sign-up finds itself.
        found = await self._session.scalars(
            select(User).where(or_(*taken)).order_by((User.user_id == user_id).desc()).limit(1),
        )
        return found.one()

    async def lock(self, user_id: UUID) -> None:
        """Let nobody else decide about a user until this transaction ends."""
        # Reason: rows that refer to the user need not wait for us.
        await self._session.execute(
            select(User.user_id).where(User.user_id == user_id).with_for_update(key_share=True),
        )

    async def begin_customer_sync(self, user_id: UUID) -> int:
        """Count one more read of a user's customer at Stripe, and return its number."""
        return (
            await self._session.scalar(
                update(User)
                .where(User.user_id == user_id)
                .values(customer_sync_count=User.customer_sync_count + 1)
                .returning(User.customer_sync_count),
            )
            or 0
        )

    async def is_last_customer_sync(
        self,
        user_id: UUID,
        stripe_customer_id: str,
        count: int,
    ) -> bool:
        """Tell whether no other read of this customer has begun since; locks the user."""
        statement = select(User.user_id).where(
            User.user_id == user_id,
            User.stripe_customer_id == stripe_customer_id,
            User.customer_sync_count == count,
        )
        locked = statement.with_for_update(key_share=True)
        return await self._session.scalar(locked) is not None

    async def forget_customer(self, user_id: UUID, stripe_customer_id: str) -> None:
        """Note that a user's customer was deleted at Stripe."""
        await self._session.execute(
            update(User)
            .where(User.user_id == user_id, User.stripe_customer_id == stripe_customer_id)
            .values(stripe_customer_id=None),
        )

    async def active_roles(self, user_ids: Collection[UUID]) -> dict[UUID, str]:
        """Return the roles of those of these users who are active."""
        statement = select(User.user_id, User.role).where(
            User.user_id.in_(user_ids), User.is_active
        )
        return {row.user_id: row.role for row in await self._session.execute(statement)}

    async def set_customer(self, user_id: UUID, stripe_customer_id: str) -> None:
        """Remember a user's customer at Stripe."""
        await self._session.execute(
            update(User)
            .where(User.user_id == user_id)
            .values(stripe_customer_id=stripe_customer_id),
        )


async def ensure_admin(session: AsyncSession, email: str, api_key: str) -> None:
    """See to it that an administrator exists who has this key; doing it twice changes nothing.

    Args:
        session: The caller owns the transaction.
        email: Whose address to use.
        api_key: The key; one that was revoked stays so.

    Raises:
        ConflictError: The address has an account that is no administrator's; it may be anybody's.
    """
    await session.execute(
        insert(User).values(email=email.lower(), role=ADMIN).on_conflict_do_nothing(),
    )
    user = await UserRepository(session).get_by_email(email)
    if user is None or user.role != ADMIN:
        raise ConflictError(f"{email} has an account that is no administrator's")
    user.is_active = True
    await ApiKeyRepository(session).ensure(user.user_id, "bootstrap", api_key)
