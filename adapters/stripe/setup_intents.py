"""The saving of cards in a browser, prepared at Stripe."""

from uuid import UUID

import stripe

from adapters.stripe.client import translate_stripe_errors
from adapters.stripe.reading import metadata_id, required

PAGE_SIZE = 100


class StripeSetupIntents:
    """What the product needs of set-up intents, and no more."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._client = client

    async def create(
        self,
        stripe_customer_id: str,
        operation_id: UUID,
        key: str,
    ) -> str:
        """Prepare the saving of a card in a browser, and return the set-up intent's id."""
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
        """Look for a set-up intent that an earlier, unanswered call may have made."""
        with translate_stripe_errors():
            page = await self._client.v1.setup_intents.list_async(
                {"customer": stripe_customer_id, "limit": PAGE_SIZE},
            )
            async for found in page.auto_paging_iter():
                if metadata_id(found, "operation_id") == operation_id:
                    return str(required(found, "id"))
        return None

    async def client_secret(self, stripe_setup_intent_id: str) -> str:
        """Return the secret with which a browser saves a card; never stored by us."""
        with translate_stripe_errors():
            found = await self._client.v1.setup_intents.retrieve_async(stripe_setup_intent_id)
        return str(required(found, "client_secret"))
