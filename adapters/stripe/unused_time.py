"""Prices the unused time of subscriptions at Stripe, and what was paid for it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import stripe

from adapters.stripe.client import translate_stripe_errors
from adapters.stripe.disputes import is_taken_back
from adapters.stripe.invoice_items import UNUSED_TIME
from adapters.stripe.reading import entries, field, required, required_time
from adapters.stripe.snapshots import payments_of, period_of
from domain.payments.snapshots import PaymentSnapshot
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
        lines = entries(preview, "lines")
        starts = [required_time(line, "period.start") for line in lines if _is_unused_time(line)]
        # Reason: what the team gave as a present is no unused time, and is not paid out.
        gifts = sum(
            required(line, "amount")
            for line in lines
            if required(line, "amount") < 0 and not _is_unused_time(line)
        )
        amount_cents = max(0, gifts - int(required(preview, "total")))
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
                {
                    "subscription": stripe_subscription_id,
                    "status": "paid",
                    "limit": PAGE_SIZE,
                    "expand": ["data.payments"],
                },
            )
            async for found in page.auto_paging_iter():
                lines = await self._lines(found)
                start, end = period_of(found, lines)
                if end <= since:
                    break  # Reason: the newest come first, so all others are older still.
                paid.append(await self._paid(found, lines, start))
        return paid

    async def _paid(
        self, found: stripe.Invoice, lines: Sequence[Any], period_start: datetime
    ) -> PaidInvoice:
        """Return what was paid of an invoice, and what of it was given back since."""
        payments = [each for each in payments_of(found) if each.is_succeeded]
        refunded = [await self._refunded(each) for each in payments]
        noted = field(found, "post_payment_credit_notes_amount") or 0
        credited = [field(line, "amount") for line in lines if _is_unused_time(line)]
        return PaidInvoice(
            stripe_invoice_id=required(found, "id"),
            period_start=period_start,
            # Reason: what was paid out of band cannot be refunded here.
            paid_cents=sum(each.amount_cents for each in payments),
            total_cents=field(found, "total") or 0,
            credited_cents=-sum(credited),
            # Reason: a credit note may have made the refund, which is then seen twice.
            returned_cents=max(sum(refunded), noted),
        )

    async def _refunded(self, payment: PaymentSnapshot) -> int:
        """Return what was refunded of a payment; all of it if the bank has taken it back."""
        intent = await self._client.v1.payment_intents.retrieve_async(
            payment.stripe_payment_intent_id, {"expand": ["latest_charge"]}
        )
        if await is_taken_back(self._client, intent):
            return payment.amount_cents
        return field(intent, "latest_charge.amount_refunded") or 0

    async def _lines(self, found: stripe.Invoice) -> Sequence[Any]:
        if not field(found, "lines.has_more"):
            return entries(found, "lines")
        page = await self._client.v1.invoices.line_items.list_async(
            required(found, "id"), {"limit": PAGE_SIZE}
        )
        return [line async for line in page.auto_paging_iter()]


def _is_unused_time(line: object) -> bool:
    """Tell whether a line credits time that was billed, and that nobody has used."""
    item = field(line, "parent.subscription_item_details")
    invoice_item = field(line, "parent.invoice_item_details")
    is_proration = field(item, "proration") or field(invoice_item, "proration")
    is_marked = field(line, f"metadata.{UNUSED_TIME}") is not None
    return (field(line, "amount") or 0) < 0 and bool(is_proration or is_marked)
