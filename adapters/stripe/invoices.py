"""Invoices at Stripe: reading, charging, giving up."""

import stripe

from adapters.stripe.client import object_id, our_errors
from domain.seen import UnpaidInvoice

READ = [
    "customer",
    "parent.subscription_details.subscription",
    "payments.data.payment.payment_intent",
]


class StripeInvoices:
    """What the activities need of Stripe's invoices, and no more."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._client = client

    async def stop_collection(self, stripe_invoice_id: str, key: str) -> None:
        """Tell Stripe to leave the charging to us."""
        with our_errors():
            await self._client.v1.invoices.update_async(
                stripe_invoice_id,
                {"auto_advance": False},
                {"idempotency_key": key},
            )

    async def read(self, stripe_invoice_id: str) -> UnpaidInvoice:
        """Return what matters before a charge: is it open, with which card, what failed last.

        Raises:
            ApplicationError: See `our_errors`.
        """
        with our_errors():
            found = await self._client.v1.invoices.retrieve_async(
                stripe_invoice_id,
                {"expand": READ},
            )
        return _unpaid(found)

    async def pay(self, stripe_invoice_id: str, stripe_payment_method_id: str, key: str) -> None:
        """Charge an open invoice once.

        Raises:
            CardDeclinedError: The issuer refused, or wants the customer to authenticate.
            ApplicationError: See `our_errors`.
        """
        with our_errors():
            await self._client.v1.invoices.pay_async(
                stripe_invoice_id,
                {"payment_method": stripe_payment_method_id, "off_session": True},
                {"idempotency_key": key},
            )

    async def void(self, stripe_invoice_id: str, key: str) -> None:
        """Void an open invoice."""
        with our_errors():
            await self._client.v1.invoices.void_invoice_async(
                stripe_invoice_id,
                {},
                {"idempotency_key": key},
            )

    async def mark_uncollectible(self, stripe_invoice_id: str, key: str) -> None:
        """Write an open invoice off as bad debt."""
        with our_errors():
            await self._client.v1.invoices.mark_uncollectible_async(
                stripe_invoice_id,
                {},
                {"idempotency_key": key},
            )


def _unpaid(found: stripe.Invoice) -> UnpaidInvoice:
    intent = _intent(found)
    failure = intent.last_payment_error if intent else None
    return UnpaidInvoice(
        stripe_invoice_id=found.id or "",
        invoice_status=found.status or "draft",
        amount_cents=found.amount_remaining,
        currency_code=found.currency,
        hosted_invoice_url=found.hosted_invoice_url,
        subscription_card_id=_subscription_card(found),
        customer_card_id=_customer_card(found),
        stripe_payment_intent_id=intent.id if intent else None,
        latest_charge_id=object_id(intent.latest_charge) if intent else None,
        failed_card_id=failure.payment_method.id if failure and failure.payment_method else None,
        decline_code=_decline_code(intent),
        advice_code=failure.advice_code if failure else None,
    )


def _decline_code(intent: stripe.PaymentIntent | None) -> str | None:
    if intent is None:
        return None
    if intent.last_payment_error is not None:
        return intent.last_payment_error.decline_code or intent.last_payment_error.code
    # Reason: a challenged renewal is no error at Stripe; it waits for the customer.
    return "authentication_required" if intent.status == "requires_action" else None


def _intent(found: stripe.Invoice) -> stripe.PaymentIntent | None:
    entries = found.payments.data if found.payments else []
    default = [entry for entry in entries if entry.is_default] or entries
    intent = default[0].payment.payment_intent if default else None
    return intent if isinstance(intent, stripe.PaymentIntent) else None


def _subscription_card(found: stripe.Invoice) -> str | None:
    details = found.parent.subscription_details if found.parent else None
    subscription = details.subscription if details else None
    if not isinstance(subscription, stripe.Subscription):
        return None
    return object_id(subscription.default_payment_method)


def _customer_card(found: stripe.Invoice) -> str | None:
    if not isinstance(found.customer, stripe.Customer) or not found.customer.invoice_settings:
        return None
    return object_id(found.customer.invoice_settings.default_payment_method)
