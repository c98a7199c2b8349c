"""Setup intents at Stripe, with which a browser saves a card."""

from uuid import UUID

import stripe

from adapters.stripe.client import translate_stripe_errors
from adapters.stripe.reading import metadata_id, required

PAGE_SIZE = 100


class StripeSetupIntents:
    """Creates and reads setup intents at Stripe."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._client = client

    async def create(
        self,
        stripe_customer_id: str,
        operation_id: UUID,
        key: str,
    ) -> str:
        """Create a setup intent for a card, and return its id."""
        with translate_stripe_errors():
            made = await self._client.v1.setup_intents.create_async(
                {
                    "customer": stripe_customer_id,
                    "usage": "off_session",
                    "metadata": {"operation_id": str(operation_id)},
                },
                {"idempotency_key": key},
            )
        return str(required(made, "id"))

    async def find(self, stripe_customer_id: str, operation_id: UUID) -> str | None:
        """Return the intent that an earlier, unanswered call has created; None if there is none."""
        with translate_stripe_errors():
            page = await self._client.v1.setup_intents.list_async(
                {"customer": stripe_customer_id, "limit": PAGE_SIZE},
            )
            async for found in page.auto_paging_iter():
                if metadata_id(found, "operation_id") == operation_id:
                    return str(required(found, "id"))
        return None

    async def client_secret(self, stripe_setup_intent_id: str) -> str:
        """Return the secret with which a browser saves a card; the product never stores it."""
        with translate_stripe_errors():
            found = await self._client.v1.setup_intents.retrieve_async(stripe_setup_intent_id)
        return str(required(found, "client_secret"))
