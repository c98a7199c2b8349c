"""Prices the unused time of subscriptions at Stripe, and what was paid for it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import stripe

from adapters.stripe.client import translate_stripe_errors
from adapters.stripe.reading import entries, field, required, required_time
from adapters.stripe.snapshots import period_of
from domain.subscriptions.snapshots import PaidInvoice, UnusedTime

PAGE_SIZE = 100


class StripeUnusedTime:
    """Prices the unused time of subscriptions."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._client = client

    async def price(
        self, stripe_subscription_id: str, key: str, *, is_period_paid: bool = True
    ) -> UnusedTime:
        """Return what Stripe would credit if a subscription were canceled now.

        The preview changes nothing at Stripe.

        Args:
            stripe_subscription_id: Subscription to price.
            key: Idempotency key.
            is_period_paid: Whether the present period was paid; else only what waits is a credit.

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
                        "proration_behavior": "always_invoice" if is_period_paid else "none",
                    },
                },
                {"idempotency_key": key},
            )
        starts = [
            required_time(line, "period.start")
            for line in entries(preview, "lines")
            if (field(line, "amount") or 0) < 0
        ]
        amount_cents = max(0, -int(required(preview, "total")))
        return UnusedTime(amount_cents=amount_cents, since=min(starts, default=None))

    async def paid_since(self, stripe_subscription_id: str, since: datetime) -> list[PaidInvoice]:
        """Return the paid invoices of the period around a time, and of later ones, newest first.

        Args:
            stripe_subscription_id: Subscription whose invoices are read.
            since: The time.

        Raises:
            ApplicationError: See `translate_stripe_errors`.
        """
        paid: list[PaidInvoice] = []
        with translate_stripe_errors():
            page = await self._client.v1.invoices.list_async(
                {"subscription": stripe_subscription_id, "status": "paid", "limit": PAGE_SIZE},
            )
            async for found in page.auto_paging_iter():
                lines = await self._lines(found)
                start, end = period_of(found, lines)
                if end <= since:
                    break  # Reason: the newest come first, so all others are older still.
                amounts = [field(line, "amount") or 0 for line in lines]
                paid.append(
                    PaidInvoice(
                        period_start=start,
                        paid_cents=field(found, "amount_paid") or 0,
                        total_cents=field(found, "total") or 0,
                        credited_cents=-sum(amount for amount in amounts if amount < 0),
                    )
                )
        return paid

    async def _lines(self, found: stripe.Invoice) -> Sequence[Any]:
        if not field(found, "lines.has_more"):
            return entries(found, "lines")
        page = await self._client.v1.invoices.line_items.list_async(
            required(found, "id"), {"limit": PAGE_SIZE}
        )
        return [line async for line in page.auto_paging_iter()]
