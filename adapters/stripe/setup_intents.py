"""Reads at Stripe what must not be stored anywhere else."""

import stripe

from adapters.stripe.client import our_errors
from domain.errors import ProviderRejectedError


class StripeSetupSecrets:
    """The secrets of set-up intents.

    Args:
        client: Opened by whoever uses this.
    """

    def __init__(self, client: stripe.StripeClient) -> None:
        self._client = client

    async def client_secret(self, stripe_setup_intent_id: str) -> str:
        """Return the secret with which a browser saves a card for later charges.

        Args:
            stripe_setup_intent_id: Which set-up.

        Raises:
            ApplicationError: Stripe refuses, or is down.
        """
        with our_errors():
            seen = await self._client.v1.setup_intents.retrieve_async(stripe_setup_intent_id)
        if not seen.client_secret:
            raise ProviderRejectedError("Stripe has no secret for this setup intent")
        return seen.client_secret
