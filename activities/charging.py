"""Charge once. Everything here exists so that no fault ever charges a customer twice.

An attempt is reserved in our database before Stripe is asked, and settled after. If an earlier
call of the same attempt got lost, the invoice is read before anything else: it tells whether
that call has charged, whatever Stripe remembers of its idempotency key.
"""

import structlog

from activities.attempt_book import RESERVED, AttemptBook
from adapters.stripe.invoices import StripeInvoices
from adapters.stripe.subscriptions import StripeSubscriptions
from database.models import PaymentAttempt
from domain.errors import (
    CardDeclinedError,
    NotFoundError,
    ProviderRejectedError,
    ProviderUnavailableError,
)
from domain.ids import charge_key
from domain.retries import (
    LIMIT_REACHED,
    AttemptTrigger,
    ChargeResult,
)
from domain.retry_messages import ChargeOrder, ChargeOutcome
from domain.seen import UnpaidInvoice
from observability import PAYMENT_AMOUNT_CENTS, PAYMENT_ATTEMPTS

log = structlog.get_logger(__name__)

NO_CARD = "no_payment_method"
KEY_COUNT = 3


class Charging:
    """The one hand that retries."""

    def __init__(
        self,
        invoices: StripeInvoices,
        subscriptions: StripeSubscriptions,
        book: AttemptBook,
    ) -> None:
        self._invoices = invoices
        self._subscriptions = subscriptions
        self._book = book

    async def charge(self, order: ChargeOrder) -> ChargeOutcome:
        """Make one attempt come to its one end.

        Args:
            order: Which invoice, which attempt, perhaps which card.

        Returns:
            How it ended, now or in an earlier call.

        Raises:
            ApplicationError: Not known yet; call again.
        """
        invoice = await self._invoices.read(order.stripe_invoice_id)
        reserved = await self._book.reserve(order, invoice)
        if reserved.attempt.outcome != RESERVED:
            return _outcome_of(reserved.attempt, invoice)
        # Reason: an earlier call of this attempt may have charged and lost its answer.
        outcome = _outcome_at_stripe(invoice, reserved.attempt.stripe_charge_id_before)
        if outcome is None and reserved.is_over_limit:
            outcome = _failed(LIMIT_REACHED, None, invoice)
        outcome = outcome or await self._pay(order, invoice, reserved.attempt)
        await self._book.settle(order, outcome)
        _count(order, outcome, invoice)
        log.info("invoice_charged", result=outcome.result, attempt=order.attempt)
        return outcome

    async def _pay(
        self,
        order: ChargeOrder,
        invoice: UnpaidInvoice,
        attempt: PaymentAttempt,
    ) -> ChargeOutcome:
        card = attempt.stripe_payment_method_id
        if card is None:
            return _failed(NO_CARD, None, invoice)
        await self._set_card(order, invoice)
        for number in range(1, KEY_COUNT + 1):
            # Reason: a saved 5xx is all that its key will ever answer. Once we have read that
            # nothing was charged under it, and only then, the next key may be used.
            key = f"{charge_key(order.stripe_invoice_id, order.attempt)}:{number}"
            try:
                await self._invoices.pay(order.stripe_invoice_id, card, key)
            except CardDeclinedError as error:
                return _failed(error.details["decline_code"], error.details["advice_code"], invoice)
            except (ProviderUnavailableError, ProviderRejectedError, NotFoundError) as error:
                now = await self._invoices.read(order.stripe_invoice_id)
                if (known := _outcome_at_stripe(now, attempt.stripe_charge_id_before)) is not None:
                    return known
                if not error.is_retryable:
                    log.exception("charge_rejected", **error.details)
                    return _failed(error.code, None, invoice)
                if not error.details.get("is_replayed"):
                    raise
            else:
                return _succeeded(invoice)
        raise ProviderUnavailableError("Stripe answers every key with a saved error")

    async def _set_card(self, order: ChargeOrder, invoice: UnpaidInvoice) -> None:
        if order.trigger is not AttemptTrigger.NEW_CARD or order.stripe_payment_method_id is None:
            return
        # Reason: the failed card is the one to replace; the customer's default was set already.
        if invoice.subscription_card_id not in {None, order.stripe_payment_method_id}:
            await self._subscriptions.use_card(
                order.stripe_subscription_id,
                order.stripe_payment_method_id,
                f"{charge_key(order.stripe_invoice_id, order.attempt)}:card",
            )


def _outcome_at_stripe(invoice: UnpaidInvoice, charge_before: str | None) -> ChargeOutcome | None:
    if invoice.invoice_status == "paid":
        return _succeeded(invoice)
    if invoice.invoice_status != "open":
        return ChargeOutcome(result=ChargeResult.GONE)
    if invoice.latest_charge_id != charge_before:
        return _failed(invoice.decline_code, invoice.advice_code, invoice)
    return None


def _outcome_of(attempt: PaymentAttempt, invoice: UnpaidInvoice) -> ChargeOutcome:
    return ChargeOutcome(
        result=ChargeResult(attempt.outcome),
        decline_code=attempt.decline_code,
        advice_code=attempt.advice_code,
        stripe_payment_intent_id=attempt.stripe_payment_intent_id,
        next_action_url=invoice.hosted_invoice_url,
    )


def _succeeded(invoice: UnpaidInvoice) -> ChargeOutcome:
    return ChargeOutcome(
        result=ChargeResult.SUCCEEDED,
        stripe_payment_intent_id=invoice.stripe_payment_intent_id,
    )


def _failed(
    decline_code: str | None,
    advice_code: str | None,
    invoice: UnpaidInvoice,
) -> ChargeOutcome:
    return ChargeOutcome(
        result=ChargeResult.FAILED,
        decline_code=decline_code,
        advice_code=advice_code,
        stripe_payment_intent_id=invoice.stripe_payment_intent_id,
        next_action_url=invoice.hosted_invoice_url,
    )


def _count(order: ChargeOrder, outcome: ChargeOutcome, invoice: UnpaidInvoice) -> None:
    PAYMENT_ATTEMPTS.labels(trigger=order.trigger, outcome=outcome.result).inc()
    PAYMENT_AMOUNT_CENTS.labels(
        currency_code=invoice.currency_code,
        outcome=outcome.result,
    ).observe(invoice.amount_cents)
