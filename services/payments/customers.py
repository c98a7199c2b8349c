"""Creates a user's customer at Stripe when it is needed, and again if it was deleted there."""

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


class UserStripeCustomer:
    """Finds or creates the Stripe customer of one user."""

    def __init__(self, user_id: UUID, customers: StripeCustomers, sessions: Sessions) -> None:
        self._user_id = user_id
        self._customers = customers
        self._sessions = sessions

    async def ensure(self) -> str:
        """Return Stripe's id of the customer; create the customer if there is none yet.

        Raises:
            NotFoundError: There is no such user.
            ApplicationError: Stripe refused or is down.
        """
        user = await self._read_user()
        return user.stripe_customer_id or await self._create(user, f"customer-{self._user_id}")

    async def known(self) -> str | None:
        """Return Stripe's id of the customer; None if there is no customer, here or at Stripe."""
        user = await self._read_user()
        if user.stripe_customer_id is not None:
            return user.stripe_customer_id
        return await self._customers.find(self._user_id, user.email)

    async def use(self, call: Callable[[str], Awaitable[Answer]]) -> Answer:
        """Run a call for the customer; if the customer was deleted at Stripe, for a new customer.

        Args:
            call: Gets Stripe's id of the customer.

        Raises:
            ApplicationError: Stripe refused or is down.
        """
        customer_id = await self.ensure()
        try:
            return await call(customer_id)
        except (NotFoundError, ProviderRejectedError):
            # Reason: Stripe still returns deleted customers. A 404 means that the API key is of
            # another account, where a new customer would be wrong.
            if not (await self._customers.read(customer_id)).is_deleted:
                raise
        user = await self._read_user()
        # Reason: Stripe would replay the deleted customer under the first key for a day.
        key = f"customer-{self._user_id}:after:{customer_id}"
        return await call(await self._create(user, key))

    async def _create(self, user: User, key: str) -> str:
        async def find() -> str | None:
            return await self._customers.find(user.user_id, user.email)

        async def post(numbered_key: str) -> str:
            return await self._customers.create(user.user_id, user.email, user.name, numbered_key)

        # Reason: Stripe forgets keys after a day, and the customer may be older.
        found = await find()
        stripe_customer_id: str = await post_once(key, post, find) if found is None else found
        async with self._sessions.begin() as session:
            await UserRepository(session).set_customer(self._user_id, stripe_customer_id)
        return stripe_customer_id

    async def _read_user(self) -> User:
        async with self._sessions() as session:
            user = await UserRepository(session).get(self._user_id)
        if user is None:
            details = {"user_id": str(self._user_id)}
            raise NotFoundError("there is no such user", details=details)
        return user
