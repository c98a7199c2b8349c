"""Customers and their cards at Stripe."""

from uuid import UUID

import stripe

from adapters.stripe.client import our_errors


class StripeCustomers:
    """What the activities need of Stripe's customers, and no more."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._client = client

    async def create(self, user_id: UUID, email: str, name: str | None) -> str:
        """Return the user's one customer, made now if it is not there yet.

        Raises:
            ApplicationError: See `our_errors`.
        """
        with our_errors():
            # Reason: idempotency keys are forgotten after a day, a lost answer may be older.
            page = await self._client.v1.customers.list_async({"email": email, "limit": 100})
            for found in page.data:
                metadata = found.metadata.to_dict() if found.metadata else {}
                if metadata.get("user_id") == str(user_id):
                    return found.id
            made = await self._client.v1.customers.create_async(
                {"email": email, "name": name or email, "metadata": {"user_id": str(user_id)}},
                {"idempotency_key": f"customer-{user_id}"},
            )
        return made.id

    async def create_setup_intent(self, stripe_customer_id: str, key: str) -> str:
        """Prepare that a browser saves a card for later charges; return Stripe's id of it."""
        with our_errors():
            made = await self._client.v1.setup_intents.create_async(
                {"customer": stripe_customer_id, "usage": "off_session"},
                {"idempotency_key": key},
            )
        return made.id
