"""Subscriptions at Stripe."""

from typing import TYPE_CHECKING
from uuid import UUID

import stripe

from adapters.stripe.client import moment, object_id, optional_moment, our_errors
from domain.billing import SubscriptionRequest
from domain.seen import InvoiceSeen, PaymentSeen, SubscriptionSeen
from domain.subscriptions import SubscriptionStatus

if TYPE_CHECKING:
    from stripe.params import SubscriptionCreateParams

INVOICE_COUNT = 12


class StripeSubscriptions:
    """What the activities need of Stripe's subscriptions, and no more."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._client = client

    async def create(
        self,
        subscription_id: UUID,
        stripe_customer_id: str,
        request: SubscriptionRequest,
        has_card: bool,
        key: str,
    ) -> str:
        """Create a subscription and charge its first invoice, if there is a card.

        Args:
            subscription_id: Ours; it travels in the metadata, also to the invoices.
            stripe_customer_id: Who pays.
            request: What to create.
            has_card: Whether there is a card to charge at once.
            key: Idempotency key.

        Returns:
            Stripe's id. A declined card leaves the subscription incomplete; it is no error.

        Raises:
            ApplicationError: See `our_errors`.
        """
        params: SubscriptionCreateParams = {
            "customer": stripe_customer_id,
            "items": [{"price": request.stripe_price_id, "quantity": request.quantity}],
            # Reason: Stripe refuses to charge where there is no card; this waits for one.
            "payment_behavior": "allow_incomplete" if has_card else "default_incomplete",
            "billing_mode": {"type": "flexible"},
            "metadata": {"subscription_id": str(subscription_id)},
        }
        if has_card:
            params["off_session"] = True
        if request.stripe_payment_method_id:
            params["default_payment_method"] = request.stripe_payment_method_id
        if request.trial_days:
            params["trial_period_days"] = request.trial_days
            params["trial_settings"] = {"end_behavior": {"missing_payment_method": "pause"}}
        with our_errors():
            made = await self._client.v1.subscriptions.create_async(
                params,
                {"idempotency_key": key},
            )
        return made.id

    async def find(self, subscription_id: UUID, stripe_customer_id: str) -> str | None:
        """Look for a subscription that an earlier, unanswered call may have made."""
        with our_errors():
            page = await self._client.v1.subscriptions.list_async(
                {"customer": stripe_customer_id, "status": "all", "limit": 100},
            )
            async for found in page.auto_paging_iter():
                if found.metadata.to_dict().get("subscription_id") == str(subscription_id):
                    return found.id
        return None

    async def read(self, stripe_subscription_id: str) -> SubscriptionSeen:
        """Return a subscription with its recent invoices.

        Raises:
            ApplicationError: See `our_errors`.
        """
        with our_errors():
            found = await self._client.v1.subscriptions.retrieve_async(stripe_subscription_id)
            invoices = await self._client.v1.invoices.list_async(
                {
                    "subscription": stripe_subscription_id,
                    "limit": INVOICE_COUNT,
                    "expand": ["data.payments"],
                },
            )
        return _seen(found, [_invoice(invoice) for invoice in invoices.data])

    async def cancel(self, stripe_subscription_id: str, key: str) -> None:
        """Cancel at once; one that is canceled already is success."""
        with our_errors():
            try:
                await self._client.v1.subscriptions.cancel_async(
                    stripe_subscription_id,
                    {"invoice_now": False, "prorate": False},
                    {"idempotency_key": key},
                )
            except stripe.InvalidRequestError as error:
                if error.code != "resource_missing":  # what Stripe says of a canceled one
                    raise

    async def pause(self, stripe_subscription_id: str, key: str) -> None:
        """Pause until somebody resumes."""
        with our_errors():
            await self._client.v1.subscriptions.pause_async(
                stripe_subscription_id,
                {},
                {"idempotency_key": key},
            )

    async def use_card(
        self,
        stripe_subscription_id: str,
        stripe_payment_method_id: str,
        key: str,
    ) -> None:
        """Make a card the subscription's own."""
        with our_errors():
            await self._client.v1.subscriptions.update_async(
                stripe_subscription_id,
                {"default_payment_method": stripe_payment_method_id},
                {"idempotency_key": key},
            )


def _seen(found: stripe.Subscription, invoices: list[InvoiceSeen]) -> SubscriptionSeen:
    item = found["items"].data[0]  # Reason: `.items` is a method of the mapping protocol
    return SubscriptionSeen(
        stripe_subscription_id=found.id,
        stripe_customer_id=object_id(found.customer) or "",
        subscription_status=SubscriptionStatus(found.status),
        quantity=item.quantity or 1,
        current_period_start=moment(item.current_period_start),
        current_period_end=moment(item.current_period_end),
        trial_end=optional_moment(found.trial_end),
        cancel_at=optional_moment(found.cancel_at),
        canceled_at=optional_moment(found.canceled_at),
        default_payment_method_id=object_id(found.default_payment_method),
        latest_stripe_invoice_id=object_id(found.latest_invoice),
        invoices=tuple(invoices),
    )


def _invoice(found: stripe.Invoice) -> InvoiceSeen:
    line = found.lines.data[0] if found.lines.data else None
    return InvoiceSeen(
        stripe_invoice_id=found.id or "",
        invoice_status=found.status or "draft",
        billing_reason=found.billing_reason,
        amount_due_cents=found.amount_due,
        amount_paid_cents=found.amount_paid,
        currency_code=found.currency,
        # Reason: the invoice's own period lies one cycle back; the line says what is paid for.
        period_start=moment(line.period.start if line else found.period_start),
        period_end=moment(line.period.end if line else found.period_end),
        invoiced_at=moment(found.created),
        is_attempted=found.attempted,
        hosted_invoice_url=found.hosted_invoice_url,
        payments=tuple(
            PaymentSeen(
                stripe_payment_intent_id=intent_id,
                amount_cents=entry.amount_paid or entry.amount_requested,
                is_succeeded=entry.status == "paid",
            )
            for entry in (found.payments.data if found.payments else [])
            if (intent_id := object_id(entry.payment.payment_intent))
        ),
    )
