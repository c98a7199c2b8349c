"""Sessions of Stripe's customer portal, in which customers manage their cards and subscriptions."""

from datetime import timedelta

import stripe

from adapters.stripe.client import translate_stripe_errors
from adapters.stripe.reading import field, required, required_time
from domain.stripe_operations import HostedPage

# Reason: Stripe names no end; a link that nobody opens is valid for five minutes:
# https://docs.stripe.com/api/customer_portal/sessions
UNOPENED_FOR = timedelta(minutes=5)
PAGE_SIZE = 100
_MADE_BY = "perdure"


class StripePortalSessions:
    """Creates sessions of the customer portal, and the configuration that they need."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._client = client

    async def configuration(self) -> str | None:
        """Return the configuration to use: the account's default, else ours; None if none is."""
        ours: str | None = None
        with translate_stripe_errors():
            page = await self._client.v1.billing_portal.configurations.list_async(
                {"active": True, "limit": PAGE_SIZE},
            )
            async for found in page.auto_paging_iter():
                if field(found, "is_default"):
                    return str(required(found, "id"))
                if field(found, "metadata.made_by") == _MADE_BY:
                    ours = str(required(found, "id"))
        return ours

    async def create_configuration(self, key: str) -> str:
        """Create a configuration in which customers see invoices, change cards and cancel."""
        with translate_stripe_errors():
            made = await self._client.v1.billing_portal.configurations.create_async(
                {
                    "features": {
                        "invoice_history": {"enabled": True},
                        "payment_method_update": {"enabled": True},
                        "subscription_cancel": {"enabled": True, "mode": "at_period_end"},
                    },
                    "metadata": {"made_by": _MADE_BY},
                },
                {"idempotency_key": key},
            )
        return str(required(made, "id"))

    async def create(
        self, stripe_customer_id: str, configuration: str, return_url: str, key: str
    ) -> HostedPage:
        """Create a session of the portal for a customer.

        Args:
            stripe_customer_id: Customer who manages what is theirs.
            configuration: What customers may do.
            return_url: Where the portal leads back to.
            key: Idempotency key.

        Raises:
            ApplicationError: See `translate_stripe_errors`.
        """
        with translate_stripe_errors():
            made = await self._client.v1.billing_portal.sessions.create_async(
                {
                    "customer": stripe_customer_id,
                    "configuration": configuration,
                    "return_url": return_url,
                },
                {"idempotency_key": key},
            )
        return HostedPage(
            url=required(made, "url"), expires_at=required_time(made, "created") + UNOPENED_FOR
        )
