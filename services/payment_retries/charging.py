"""Charge once. Everything here exists so that no fault ever charges a customer twice.

An attempt is reserved in our database before Stripe is asked, and settled after. If an earlier
call of the same attempt got lost, the invoice is read before anything else: it tells whether
that call has charged, whatever Stripe remembers of its idempotency key.
"""

import structlog

from adapters.stripe.invoices import StripeInvoices
from database.payment_retries.models import PaymentAttempt
from domain.errors import CardDeclinedError, NotFoundError, ProviderRejectedError
from domain.ids import charge_key
from domain.payment_retries.declines import NO_CARD
from domain.payment_retries.lifecycle import ChargeResult, RetryStatus, status_of_invoice
from domain.payment_retries.messages import ChargeInput, ChargeOutcome
from domain.payment_retries.snapshots import UnpaidInvoice
from domain.payments.snapshots import ChargeableSnapshot
from observability import PAYMENT_AMOUNT_CENTS, PAYMENT_ATTEMPTS
from services.payment_retries.attempt_reservations import RESERVED, AttemptReservations
from services.payment_retries.charged_cards import ChargedCards
from services.stripe_idempotency import finish, post_once

log = structlog.get_logger(__name__)

_REJECTED = (ProviderRejectedError, NotFoundError)
_RESULTS = {
    RetryStatus.RECOVERED: ChargeResult.ALREADY_PAID,
    RetryStatus.WRITTEN_OFF: ChargeResult.WRITTEN_OFF,
    RetryStatus.CANCELED: ChargeResult.GONE,
}


class Charging:
    """Charges an unpaid invoice at most once per attempt."""

    def __init__(
        self,
        invoices: StripeInvoices,
        cards: ChargedCards,
        book: AttemptReservations,
    ) -> None:
        self._invoices = invoices
        self._cards = cards
        self._book = book

    async def charge(self, order: ChargeInput) -> ChargeOutcome:
        """Make one attempt come to its one end.

        Args:
            order: Which invoice, which attempt, perhaps which card.

        Returns:
            How it ended, now or in an earlier call.

        Raises:
            CancelledError: It was called off; what was sent has been settled before.
            ApplicationError: Not known yet; call again.
        """
        invoice = await self._invoices.read(order.stripe_invoice_id)
        known = await self._book.find(order)
        if known is not None and known.outcome != RESERVED:
            return _outcome_of(known, invoice)
        if known is not None and (sent := _sent(invoice, known)) is not None:
            # Reason: an earlier call of this attempt has charged and lost its answer.
            return await self._settle(order, sent, invoice)
        if (closed := state_of_invoice(invoice)) is not None:
            await self._book.release(order)
            return closed
        card = await self._cards.choose(order, invoice)
        if card is None:
            return await self._not_charged(order, NO_CARD, invoice)
        reserved = await self._book.reserve(order, invoice, card)
        if reserved.refusal is not None:
            return await self._not_charged(order, reserved.refusal, invoice)
        await self._cards.replace_failed(order, invoice, card)
        pay = self._pay(order, invoice, reserved.attempt, card)
        return await finish(pay, is_last=True)

    async def _pay(
        self,
        order: ChargeInput,
        invoice: UnpaidInvoice,
        attempt: PaymentAttempt,
        card: ChargeableSnapshot,
    ) -> ChargeOutcome:
        """Send the charge and settle it, in one piece that nobody cuts off."""

        async def post(key: str) -> ChargeOutcome:
            await self._invoices.pay(order.stripe_invoice_id, card.stripe_payment_method_id, key)
            return _succeeded(invoice)

        async def find() -> ChargeOutcome | None:
            now = await self._invoices.read(order.stripe_invoice_id)
            return _sent(now, attempt) or state_of_invoice(now)

        try:
            key = charge_key(order.stripe_invoice_id, order.attempt)
            outcome = await post_once(key, post, find, is_repeated=order.is_repeated)
        except CardDeclinedError as error:
            outcome = _failed(error.details["decline_code"], error.details["advice_code"], invoice)
        except _REJECTED:
            found = await find()
            if found is None and await self._cards.choose(order, invoice) is not None:
                await self._book.release(order)
                raise
            outcome = found or _not_charged(NO_CARD, invoice)
        return await self._settle(order, outcome, invoice)

    async def _settle(
        self,
        order: ChargeInput,
        outcome: ChargeOutcome,
        invoice: UnpaidInvoice,
    ) -> ChargeOutcome:
        if outcome.result not in {ChargeResult.SUCCEEDED, ChargeResult.FAILED}:
            await self._book.release(order)
            return outcome
        await self._book.settle(order, outcome)
        PAYMENT_ATTEMPTS.labels(trigger=order.trigger, outcome=outcome.result).inc()
        PAYMENT_AMOUNT_CENTS.labels(
            currency_code=invoice.currency_code,
            outcome=outcome.result,
        ).observe(invoice.amount_cents)
        log.info("invoice_charged", result=outcome.result, attempt=order.attempt)
        return outcome

    async def _not_charged(
        self,
        order: ChargeInput,
        reason: str,
        invoice: UnpaidInvoice,
    ) -> ChargeOutcome:
        await self._book.release(order)
        return _not_charged(reason, invoice)


def state_of_invoice(invoice: UnpaidInvoice) -> ChargeOutcome | None:
    """Return why an invoice is not to be charged; None if it is still owed to us."""
    status = status_of_invoice(invoice.invoice_status)
    result = _RESULTS.get(status)
    if result is None and invoice.is_charged_automatically:
        return None
    return ChargeOutcome(
        result=result or ChargeResult.GONE,
        stripe_payment_intent_id=invoice.stripe_payment_intent_id,
        amount_paid_cents=invoice.amount_paid_cents,
    )


def _sent(invoice: UnpaidInvoice, attempt: PaymentAttempt) -> ChargeOutcome | None:
    """Return what became of an attempt that may have been sent; None if it was not."""
    if invoice.latest_charge_id == attempt.stripe_charge_id_before:
        return None
    if invoice.invoice_status == "paid":
        return _succeeded(invoice)
    return _failed(invoice.decline_code, invoice.advice_code, invoice)


def _outcome_of(attempt: PaymentAttempt, invoice: UnpaidInvoice) -> ChargeOutcome:
    return ChargeOutcome(
        result=ChargeResult(attempt.outcome),
        decline_code=attempt.decline_code,
        advice_code=attempt.advice_code,
        stripe_payment_intent_id=attempt.stripe_payment_intent_id,
        next_action_url=invoice.hosted_invoice_url,
        amount_paid_cents=invoice.amount_paid_cents,
    )


def _succeeded(invoice: UnpaidInvoice) -> ChargeOutcome:
    return ChargeOutcome(
        result=ChargeResult.SUCCEEDED,
        stripe_payment_intent_id=invoice.stripe_payment_intent_id,
        amount_paid_cents=invoice.amount_paid_cents or invoice.amount_cents,
    )


def _not_charged(reason: str, invoice: UnpaidInvoice) -> ChargeOutcome:
    return ChargeOutcome(
        result=ChargeResult.NOT_CHARGED,
        decline_code=reason,
        next_action_url=invoice.hosted_invoice_url,
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
