"""Charges unpaid invoices at most once per attempt, whatever fails in between.

An attempt is reserved in our database before Stripe is called, and settled after. If the result
of an earlier call of the same attempt was lost, the invoice is read before anything else: it
shows whether that call charged, even if Stripe has forgotten the idempotency key.
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
from observability.metrics import PAYMENT_AMOUNT_CENTS, PAYMENT_ATTEMPTS
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
        reservations: AttemptReservations,
    ) -> None:
        self._invoices = invoices
        self._cards = cards
        self._reservations = reservations

    async def charge(self, charge_input: ChargeInput) -> ChargeOutcome:
        """Make one charge attempt, or return the outcome of an earlier call.

        Args:
            charge_input: The invoice, the attempt, and the card if one was chosen.

        Returns:
            How the attempt ended, now or in an earlier call.

        Raises:
            CancelledError: The activity was cancelled; a charge that was sent is settled.
            ApplicationError: The outcome is not known yet; call again.
        """
        invoice = await self._invoices.read(charge_input.stripe_invoice_id)
        earlier = await self._reservations.find(charge_input)
        if earlier is not None and earlier.outcome != RESERVED:
            return _outcome_of(earlier, invoice)
        if earlier is not None and (sent_outcome := _outcome_if_sent(invoice, earlier)) is not None:
            # Reason: an earlier call of this attempt charged, but its result was lost.
            return await self._settle(charge_input, sent_outcome, invoice)
        if (closed_outcome := outcome_if_not_owed(invoice)) is not None:
            await self._reservations.release(charge_input)
            return closed_outcome
        card = await self._cards.choose(charge_input, invoice)
        if card is None:
            return await self._not_charged(charge_input, NO_CARD, invoice)
        reservation = await self._reservations.reserve(charge_input, invoice, card)
        if reservation.refusal is not None:
            return await self._not_charged(charge_input, reservation.refusal, invoice)
        await self._cards.replace_failed(charge_input, invoice, card)
        pay = self._pay(charge_input, invoice, reservation.attempt, card)
        return await finish(pay, is_last=True)

    async def _pay(
        self,
        charge_input: ChargeInput,
        invoice: UnpaidInvoice,
        attempt: PaymentAttempt,
        card: ChargeableSnapshot,
    ) -> ChargeOutcome:
        """Send the charge and settle it; the caller shields both steps from cancellation."""

        async def post(key: str) -> ChargeOutcome:
            await self._invoices.pay(
                charge_input.stripe_invoice_id, card.stripe_payment_method_id, key
            )
            return _succeeded(invoice)

        async def find() -> ChargeOutcome | None:
            now = await self._invoices.read(charge_input.stripe_invoice_id)
            return _outcome_if_sent(now, attempt) or outcome_if_not_owed(now)

        try:
            key = charge_key(charge_input.stripe_invoice_id, charge_input.attempt)
            outcome = await post_once(key, post, find, is_repeated=charge_input.is_repeated)
        except CardDeclinedError as error:
            outcome = _failed(error.details["decline_code"], error.details["advice_code"], invoice)
        except _REJECTED:
            found = await find()
            if found is None and await self._cards.choose(charge_input, invoice) is not None:
                await self._reservations.release(charge_input)
                raise
            outcome = found or _not_charged(NO_CARD, invoice)
        return await self._settle(charge_input, outcome, invoice)

    async def _settle(
        self,
        charge_input: ChargeInput,
        outcome: ChargeOutcome,
        invoice: UnpaidInvoice,
    ) -> ChargeOutcome:
        if outcome.result not in {ChargeResult.SUCCEEDED, ChargeResult.FAILED}:
            await self._reservations.release(charge_input)
            return outcome
        await self._reservations.settle(charge_input, outcome)
        PAYMENT_ATTEMPTS.labels(trigger=charge_input.trigger, outcome=outcome.result).inc()
        PAYMENT_AMOUNT_CENTS.labels(
            currency_code=invoice.currency_code,
            outcome=outcome.result,
        ).observe(invoice.amount_cents)
        log.info("invoice_charged", result=outcome.result, attempt=charge_input.attempt)
        return outcome

    async def _not_charged(
        self,
        charge_input: ChargeInput,
        reason: str,
        invoice: UnpaidInvoice,
    ) -> ChargeOutcome:
        await self._reservations.release(charge_input)
        return _not_charged(reason, invoice)


def outcome_if_not_owed(invoice: UnpaidInvoice) -> ChargeOutcome | None:
    """Return why an invoice must not be charged; None if it is still to be collected."""
    status = status_of_invoice(invoice.invoice_status)
    result = _RESULTS.get(status)
    if result is None and invoice.is_charged_automatically:
        return None
    return ChargeOutcome(
        result=result or ChargeResult.GONE,
        stripe_payment_intent_id=invoice.stripe_payment_intent_id,
        amount_paid_cents=invoice.amount_paid_cents,
    )


def _outcome_if_sent(invoice: UnpaidInvoice, attempt: PaymentAttempt) -> ChargeOutcome | None:
    """Return the outcome of an attempt that may have been sent; None if it was not sent."""
    if invoice.latest_charge_id == attempt.stripe_charge_id_before:
        return None
    if invoice.latest_card_id not in {None, attempt.stripe_payment_method_id}:
        # Reason: the customer paid, or was declined, on Stripe's page meanwhile.
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
