"""Invoices at Stripe."""

from collections.abc import Sequence

import stripe

from adapters.stripe.client import translate_stripe_errors
from adapters.stripe.reading import code_of_failure, entries, field, object_id, required
from domain.payment_retries.declines import AUTHENTICATION_REQUIRED
from domain.payment_retries.snapshots import UnpaidInvoice

READ = [
    "customer",
    "parent.subscription_details.subscription",
    "payments.data.payment.payment_intent",
]
PAGE_SIZE = 100


class StripeInvoices:
    """Reads, charges and closes invoices at Stripe."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._client = client

    async def stop_collection(self, stripe_invoice_id: str, key: str) -> None:
        """Make Stripe stop charging an invoice automatically."""
        with translate_stripe_errors():
            await self._client.v1.invoices.update_async(
                stripe_invoice_id,
                {"auto_advance": False},
                {"idempotency_key": key},
            )

    async def is_auto_charged(self, stripe_invoice_id: str) -> bool:
        """Tell whether Stripe charges an invoice automatically."""
        with translate_stripe_errors():
            found = await self._client.v1.invoices.retrieve_async(stripe_invoice_id)
        return bool(field(found, "auto_advance"))

    async def read(self, stripe_invoice_id: str) -> UnpaidInvoice:
        """Return an unpaid invoice with its status, its cards and its last failure.

        Raises:
            ApplicationError: See `translate_stripe_errors`.
        """
        with translate_stripe_errors():
            found = await self._client.v1.invoices.retrieve_async(
                stripe_invoice_id,
                {"expand": READ},
            )
        return _unpaid(found)

    async def status(self, stripe_invoice_id: str) -> str:
        """Return the status of an invoice at Stripe."""
        with translate_stripe_errors():
            found = await self._client.v1.invoices.retrieve_async(stripe_invoice_id)
        return field(found, "status") or "draft"

    async def list_unsettled(self, stripe_subscription_id: str) -> Sequence[tuple[str, str]]:
        """Return id and status of all open and draft invoices of a subscription."""
        unsettled: list[tuple[str, str]] = []
        for status in ("open", "draft"):
            with translate_stripe_errors():
                page = await self._client.v1.invoices.list_async(
                    {
                        "subscription": stripe_subscription_id,
                        "status": status,
                        "limit": PAGE_SIZE,
                    },
                )
                unsettled += [
                    (required(found, "id"), status) async for found in page.auto_paging_iter()
                ]
        return unsettled

    async def list_failed_open(self, stripe_customer_id: str) -> Sequence[str]:
        """Return the open invoices of a customer of which a charge has failed."""
        with translate_stripe_errors():
            page = await self._client.v1.invoices.list_async(
                {"customer": stripe_customer_id, "status": "open", "limit": PAGE_SIZE},
            )
            return [
                required(found, "id")
                async for found in page.auto_paging_iter()
                if field(found, "attempted") and field(found, "collection_method") != "send_invoice"
            ]

    async def pay(self, stripe_invoice_id: str, stripe_payment_method_id: str, key: str) -> None:
        """Charge an open invoice once.

        Raises:
            CardDeclinedError: The issuer refused, or requires the customer to authenticate.
            ApplicationError: See `translate_stripe_errors`.
        """
        with translate_stripe_errors():
            await self._client.v1.invoices.pay_async(
                stripe_invoice_id,
                {"payment_method": stripe_payment_method_id, "off_session": True},
                {"idempotency_key": key},
            )

    async def finalize(self, stripe_invoice_id: str, key: str) -> None:
        """Finalize a draft invoice without charging it."""
        with translate_stripe_errors():
            await self._client.v1.invoices.finalize_invoice_async(
                stripe_invoice_id,
                {"auto_advance": False},
                {"idempotency_key": key},
            )

    async def void(self, stripe_invoice_id: str, key: str) -> None:
        """Void an open invoice."""
        with translate_stripe_errors():
            await self._client.v1.invoices.void_invoice_async(
                stripe_invoice_id,
                {},
                {"idempotency_key": key},
            )

    async def mark_uncollectible(self, stripe_invoice_id: str, key: str) -> None:
        """Write an open invoice off as bad debt."""
        with translate_stripe_errors():
            await self._client.v1.invoices.mark_uncollectible_async(
                stripe_invoice_id,
                {},
                {"idempotency_key": key},
            )


def _unpaid(found: stripe.Invoice) -> UnpaidInvoice:
    intent = _intent(found)
    failure = field(intent, "last_payment_error")
    subscription = field(found, "parent.subscription_details.subscription")
    return UnpaidInvoice(
        stripe_invoice_id=required(found, "id"),
        invoice_status=field(found, "status") or "draft",
        amount_cents=field(found, "amount_remaining") or 0,
        amount_paid_cents=field(found, "amount_paid") or 0,
        currency_code=field(found, "currency") or "",
        is_charged_automatically=field(found, "collection_method") != "send_invoice",
        hosted_invoice_url=field(found, "hosted_invoice_url"),
        subscription_card_id=object_id(field(subscription, "default_payment_method")),
        customer_card_id=object_id(
            field(found, "customer.invoice_settings.default_payment_method"),
        ),
        stripe_payment_intent_id=object_id(intent),
        latest_charge_id=object_id(field(intent, "latest_charge")),
        latest_card_id=object_id(
            field(failure, "payment_method") or field(intent, "payment_method")
        ),
        failed_card_id=_failed_card_id(intent, failure),
        decline_code=_decline_code(intent, failure),
        advice_code=field(failure, "advice_code"),
    )


def _failed_card_id(intent: object, failure: object) -> str | None:
    # Reason: while authentication is pending, the card is in the intent and has not failed yet.
    if field(intent, "status") == "requires_action":
        return object_id(field(intent, "payment_method"))
    return object_id(field(failure, "payment_method"))


def _decline_code(intent: object, failure: object) -> str | None:
    # Reason: a renewal that needs authentication is not an error at Stripe, but waits for the
    # customer.
    if field(intent, "status") == "requires_action":
        return AUTHENTICATION_REQUIRED
    return None if failure is None else code_of_failure(failure)


def _intent(found: stripe.Invoice) -> object:
    """Return the payment intent of an invoice; None if it is paid in another way."""
    known = [entry for entry in entries(found, "payments") if _is_intent(entry)]
    default = [entry for entry in known if field(entry, "is_default")] or known
    return field(default[0], "payment.payment_intent") if default else None


def _is_intent(entry: object) -> bool:
    return object_id(field(entry, "payment.payment_intent")) is not None
