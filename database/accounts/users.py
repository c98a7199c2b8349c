"""Repository of users, and the creation of administrators."""

from collections.abc import Collection, Sequence
from uuid import UUID

from sqlalchemy import or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from database.accounts.api_keys import ApiKeyRepository
from database.accounts.models import LoginSession, User
from domain.errors import ConflictError

ADMIN = "admin"
USER = "user"


class UserRepository:
    """Reads and writes `users` within one session; the caller owns the transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def get(self, user_id: UUID) -> User | None:
        """Return a user, or None."""
        return await self._session.get(User, user_id)

    async def of_session(self, user_id: UUID, login_session_id: UUID | None) -> User | None:
        """Return a user, unless this session of theirs was revoked; None is no session at all."""
        if login_session_id is None:
            return await self.get(user_id)
        is_theirs = LoginSession.login_session_id == login_session_id
        statement = select(User).join(LoginSession, LoginSession.user_id == User.user_id)
        statement = statement.where(User.user_id == user_id, is_theirs)
        return await self._session.scalar(statement.where(LoginSession.revoked_at.is_(None)))

    async def get_by_email(self, email: str) -> User | None:
        """Return the user with this email address, regardless of case, or None."""
        return await self._session.scalar(select(User).where(User.email == email.lower()))

    async def add(
        self,
        user_id: UUID,
        email: str,
        *,
        name: str | None = None,
        locale: str | None = None,
        password_hash: str | None = None,
        external_id: str | None = None,
        role: str = USER,
    ) -> User:
        """Add a user, unless the id, email address or external id is taken.

        Args:
            user_id: Primary key of the new user.
            email: Email address; stored in lower case.
            name: Name of the user.
            locale: Language of the user's mails.
            password_hash: None for users who log in elsewhere.
            external_id: Id of the user in an external login system.
            role: `user` or `admin`.

        Returns:
            The new user, or an existing user with the same id, address or external id; an existing
            one can have another `user_id`.
        """
        values = {
            "user_id": user_id,
            "email": email.lower(),
            "name": name,
            "locale": locale,
            "password_hash": password_hash,
            "external_id": external_id,
            "role": role,
        }
        await self._session.execute(insert(User).values(values).on_conflict_do_nothing())
        taken = [User.user_id == user_id, User.email == email.lower()]
        if external_id is not None:
            taken.append(User.external_id == external_id)
        # Reason: the row with this id comes first, so that a repeated sign-up finds its own row.
        found = await self._session.scalars(
            select(User).where(or_(*taken)).order_by((User.user_id == user_id).desc()).limit(1),
        )
        return found.one()

    async def set_locale(self, user_id: UUID, locale: str | None) -> None:
        """Store the language of a user's mails."""
        await self._session.execute(
            update(User).where(User.user_id == user_id).values(locale=locale)
        )

    async def lock(self, user_id: UUID) -> None:
        """Lock a user until the transaction ends."""
        # Reason: with `key_share`, inserts of rows that refer to the user need not wait.
        await self._session.execute(
            select(User.user_id).where(User.user_id == user_id).with_for_update(key_share=True),
        )

    async def begin_customer_sync(self, user_id: UUID) -> int:
        """Number a new read of the user's customer at Stripe, and return the number."""
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
        """Lock the user, and tell whether this read of the customer is the latest one."""
        statement = select(User.user_id).where(
            User.user_id == user_id,
            User.stripe_customer_id == stripe_customer_id,
            User.customer_sync_count == count,
        )
        locked = statement.with_for_update(key_share=True)
        return await self._session.scalar(locked) is not None

    async def forget_customer(self, user_id: UUID, stripe_customer_id: str) -> None:
        """Remove the id of a user's customer that was deleted at Stripe."""
        await self._session.execute(
            update(User)
            .where(User.user_id == user_id, User.stripe_customer_id == stripe_customer_id)
            .values(stripe_customer_id=None),
        )

    async def active_roles(self, user_ids: Collection[UUID]) -> dict[UUID, str]:
        """Return the roles of the active users among these."""
        statement = select(User.user_id, User.role).where(
            User.user_id.in_(user_ids), User.is_active
        )
        return {row.user_id: row.role for row in await self._session.execute(statement)}

    async def active_of_role(self, role: str) -> Sequence[UUID]:
        """Return the ids of the active users with this role, oldest account first."""
        statement = (
            select(User.user_id).where(User.role == role, User.is_active).order_by(User.created_at)
        )
        return (await self._session.scalars(statement)).all()

    async def set_customer(self, user_id: UUID, stripe_customer_id: str) -> None:
        """Store the id of a user's customer at Stripe."""
        await self._session.execute(
            update(User)
            .where(User.user_id == user_id)
            .values(stripe_customer_id=stripe_customer_id),
        )


async def ensure_admin(session: AsyncSession, email: str, api_key: str) -> None:
    """Create or reactivate an administrator, and store the API key; repeating it is harmless.

    Args:
        session: Database session; the caller owns the transaction.
        email: Email address of the administrator.
        api_key: API key to store; a revoked key stays revoked.

    Raises:
        ConflictError: The address belongs to an account that is not an administrator's.
    """
    await session.execute(
        insert(User).values(email=email.lower(), role=ADMIN).on_conflict_do_nothing(),
    )
    user = await UserRepository(session).get_by_email(email)
    if user is None or user.role != ADMIN:
        raise ConflictError(f"the account of {email} is not an administrator's")
    user.is_active = True
    await ApiKeyRepository(session).ensure(user.user_id, "bootstrap", api_key)
