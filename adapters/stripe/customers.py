"""Customers at Stripe."""

from uuid import UUID

import stripe

from adapters.stripe.cards import card_snapshot
from adapters.stripe.client import translate_stripe_errors
from adapters.stripe.reading import field, metadata_id, object_id, required
from domain.payments.snapshots import CustomerSnapshot

PAGE_SIZE = 100


class StripeCustomers:
    """Reads and creates customers at Stripe."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._client = client

    async def find(self, user_id: UUID, email: str) -> str | None:
        """Return the id of the customer that was created for a user; None if there is none."""
        with translate_stripe_errors():
            page = await self._client.v1.customers.list_async({"email": email, "limit": PAGE_SIZE})
            async for found in page.auto_paging_iter():
                if metadata_id(found, "user_id") == user_id:
                    return str(required(found, "id"))
        return None

    async def create(self, user_id: UUID, email: str, name: str | None, key: str) -> str:
        """Create the customer of a user, and return the customer's id."""
        with translate_stripe_errors():
            made = await self._client.v1.customers.create_async(
                {"email": email, "name": name or email, "metadata": {"user_id": str(user_id)}},
                {"idempotency_key": key},
            )
        return str(required(made, "id"))

    async def read(self, stripe_customer_id: str) -> CustomerSnapshot:
        """Return a customer with the attached cards.

        Raises:
            NotFoundError: Stripe does not know the customer.
            ApplicationError: See `translate_stripe_errors`.
        """
        with translate_stripe_errors():
            found = await self._client.v1.customers.retrieve_async(stripe_customer_id)
            if field(found, "deleted"):
                return CustomerSnapshot(stripe_customer_id=stripe_customer_id, is_deleted=True)
            page = await self._client.v1.customers.payment_methods.list_async(
                stripe_customer_id,
                {"type": "card", "limit": PAGE_SIZE},
            )
            cards = [card_snapshot(card) async for card in page.auto_paging_iter()]
        return CustomerSnapshot(
            stripe_customer_id=stripe_customer_id,
            currency_code=field(found, "currency"),
            default_card_id=object_id(field(found, "invoice_settings.default_payment_method")),
            cards=tuple(cards),
        )
