"""Prices the unused time of subscriptions at Stripe, and what was paid for it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import stripe

from adapters.stripe.client import translate_stripe_errors
from adapters.stripe.reading import entries, field, required
from adapters.stripe.snapshots import period_of

PAGE_SIZE = 100


class StripeUnusedTime:
    """Prices the unused time of subscriptions."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._client = client

    async def price(self, stripe_subscription_id: str, key: str) -> int:
        """Return what Stripe would credit if a subscription were canceled now, in minor units.

        The preview changes nothing at Stripe.

        Raises:
            NotFoundError: There is nothing to bill or to credit.
            ApplicationError: See `translate_stripe_errors`.
        """
        with translate_stripe_errors():
            preview = await self._client.v1.invoices.create_preview_async(
                {
                    "subscription": stripe_subscription_id,
                    "subscription_details": {
                        "cancel_now": True,
                        "proration_behavior": "always_invoice",
                    },
                },
                {"idempotency_key": key},
            )
        return max(0, -int(required(preview, "total")))

    async def paid_for(self, stripe_subscription_id: str, period_start: datetime) -> int:
        """Return what was paid for a period by card, and by credits for unused time before it.

        Args:
            stripe_subscription_id: Subscription whose invoices are read.
            period_start: Begin of the period.

        Raises:
            ApplicationError: See `translate_stripe_errors`.
        """
        paid = 0
        with translate_stripe_errors():
            page = await self._client.v1.invoices.list_async(
                {"subscription": stripe_subscription_id, "status": "paid", "limit": PAGE_SIZE},
            )
            async for found in page.auto_paging_iter():
                lines = await self._lines(found)
                if period_of(found, lines)[1] <= period_start:
                    break  # Reason: the newest come first, so all others are older still.
                amounts = [field(line, "amount") or 0 for line in lines]
                credited = -sum(amount for amount in amounts if amount < 0)
                paid += (field(found, "amount_paid") or 0) + credited
        return paid

    async def _lines(self, found: stripe.Invoice) -> Sequence[Any]:
        if not field(found, "lines.has_more"):
            return entries(found, "lines")
        page = await self._client.v1.invoices.line_items.list_async(
            required(found, "id"), {"limit": PAGE_SIZE}
        )
        return [line async for line in page.auto_paging_iter()]
