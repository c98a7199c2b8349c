"""The one Stripe customer of a user."""

from uuid import UUID

from adapters.stripe.customers import StripeCustomers
from database.session import Sessions
from database.users import UserRepository
from domain.errors import NotFoundError


async def ensure_customer(user_id: UUID, customers: StripeCustomers, sessions: Sessions) -> str:
    """Return a user's customer at Stripe, made now if there is none yet.

    Args:
        user_id: Whose.
        customers: Stripe's side.
        sessions: Our side.

    Returns:
        Stripe's id, the same for ever.

    Raises:
        NotFoundError: There is no such user.
        ApplicationError: Stripe refused or is down.
    """
    async with sessions() as session:
        user = await UserRepository(session).get(user_id)
    if user is None:
        raise NotFoundError("there is no such user", details={"user_id": str(user_id)})
    if user.stripe_customer_id is not None:
        return user.stripe_customer_id
    stripe_customer_id = await customers.create(user_id, user.email, user.name)
    async with sessions.begin() as session:
        await UserRepository(session).set_customer(user_id, stripe_customer_id)
    return stripe_customer_id
