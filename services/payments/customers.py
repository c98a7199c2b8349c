"""The one Stripe customer of a user, made when it is needed, and made anew when it was deleted."""

from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import UUID

from adapters.stripe.customers import StripeCustomers
from database.accounts.models import User
from database.accounts.users import UserRepository
from database.session import Sessions
from domain.errors import NotFoundError, ProviderRejectedError
from services.stripe_idempotency import post_once

Answer = TypeVar("Answer")


class StripeCustomerOf:
    """A user's customer at Stripe."""

    def __init__(self, user_id: UUID, customers: StripeCustomers, sessions: Sessions) -> None:
        self._user_id = user_id
        self._customers = customers
        self._sessions = sessions

    async def ensure(self) -> str:
        """Return the customer, made now if there is none yet.

        Raises:
            NotFoundError: There is no such user.
            ApplicationError: Stripe refused or is down.
        """
        user = await self._user()
        return user.stripe_customer_id or await self._make(user, f"customer-{self._user_id}")

    async def known(self) -> str | None:
        """Return the customer; None if there is none, neither here nor at Stripe."""
        user = await self._user()
        if user.stripe_customer_id is not None:
            return user.stripe_customer_id
        return await self._customers.find(self._user_id, user.email)

    async def use(self, call: Callable[[str], Awaitable[Answer]]) -> Answer:
        """Make a call for the customer; if it was deleted at Stripe, for a new one.

        Args:
            call: Takes Stripe's id of the customer.

        Raises:
            ApplicationError: Stripe refused or is down.
        """
        customer_id = await self.ensure()
        try:
            return await call(customer_id)
        except (NotFoundError, ProviderRejectedError):
            # Reason: Stripe answers for deleted customers too. A 404 says that the key is another
            # account's, where a new customer would be a stranger.
            if not (await self._customers.read(customer_id)).is_deleted:
                raise
        user = await self._user()
        # Reason: the first key would answer with the deleted customer for a day.
        key = f"customer-{self._user_id}:after:{customer_id}"
        return await call(await self._make(user, key))

    async def _make(self, user: User, key: str) -> str:
        async def find() -> str | None:
            return await self._customers.find(user.user_id, user.email)

        async def post(numbered: str) -> str:
            return await self._customers.create(user.user_id, user.email, user.name, numbered)

        # Reason: keys are forgotten after a day, and what they made may be older.
        found = await find()
        made: str = await post_once(key, post, find) if found is None else found
        async with self._sessions.begin() as session:
            await UserRepository(session).set_customer(self._user_id, made)
        return made

    async def _user(self) -> User:
        async with self._sessions() as session:
            user = await UserRepository(session).get(self._user_id)
        if user is None:
            details = {"user_id": str(self._user_id)}
            raise NotFoundError("there is no such user", details=details)
        return user
