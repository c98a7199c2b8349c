"""Reserves a charge attempt before Stripe is called, and settles it after."""

from typing import NamedTuple

from database.payment_retries.card_offers import CardOfferRepository
from database.payment_retries.models import PaymentAttempt
from database.payment_retries.payment_attempts import PaymentAttemptRepository
from database.payment_retries.payment_retries import PaymentRetryRepository
from database.session import Sessions
from domain.payment_retries.declines import (
    CARD_REFUSED,
    LIMIT_REACHED,
    DeclineClass,
    classify,
    is_card_refused_for_good,
)
from domain.payment_retries.lifecycle import AttemptTrigger
from domain.payment_retries.messages import ChargeInput, ChargeOutcome
from domain.payment_retries.policy import CARD_ATTEMPT_LIMIT
from domain.payment_retries.snapshots import UnpaidInvoice
from domain.payments.snapshots import ChargeableSnapshot

RESERVED = "reserved"


class AttemptReservation(NamedTuple):
    """An attempt as stored in our database before Stripe is called.

    Args:
        attempt: The attempt's row.
        refusal: Why the card must not be charged; None if it may be charged.
    """

    attempt: PaymentAttempt
    refusal: str | None


class AttemptReservations:
    """Reserves and settles charge attempts, which are counted per card over all invoices."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def find(self, charge_input: ChargeInput) -> PaymentAttempt | None:
        """Return the row that an earlier call reserved for an attempt; None if there is none."""
        async with self._sessions() as session:
            attempts = PaymentAttemptRepository(session)
            return await attempts.get(charge_input.payment_retry_id, charge_input.attempt)

    async def reserve(
        self,
        charge_input: ChargeInput,
        invoice: UnpaidInvoice,
        card: ChargeableSnapshot,
    ) -> AttemptReservation:
        """Reserve an attempt before the charge, and check whether its card may be charged.

        Args:
            charge_input: The attempt.
            invoice: The invoice before the charge.
            card: The card to charge.

        Returns:
            The reserved attempt, and why it must not be made, if so.
        """
        async with self._sessions.begin() as session:
            attempts = PaymentAttemptRepository(session)
            last_decline = await attempts.last_decline_of_card(card.fingerprint)
            attempt = await attempts.reserve(
                payment_retry_id=charge_input.payment_retry_id,
                attempt=charge_input.attempt,
                trigger=charge_input.trigger,
                outcome=RESERVED,
                stripe_payment_method_id=card.stripe_payment_method_id,
                card_fingerprint=card.fingerprint,
                stripe_charge_id_before=invoice.latest_charge_id,
                attempted_at=charge_input.attempted_at,
            )
            await PaymentRetryRepository(session).show_charging(charge_input.payment_retry_id)
            count = await attempts.count_of_card(card.fingerprint, charge_input.attempted_at)
        if last_decline is not None and _is_refused(last_decline, card):
            return AttemptReservation(attempt, CARD_REFUSED)
        return AttemptReservation(attempt, LIMIT_REACHED if count > CARD_ATTEMPT_LIMIT else None)

    async def settle(self, charge_input: ChargeInput, outcome: ChargeOutcome) -> None:
        """Record how an attempt ended.

        Args:
            charge_input: The attempt.
            outcome: Its outcome.
        """
        async with self._sessions.begin() as session:
            await PaymentAttemptRepository(session).settle(
                charge_input.payment_retry_id,
                charge_input.attempt,
                outcome=outcome.result,
                decline_code=outcome.decline_code,
                advice_code=outcome.advice_code,
                stripe_payment_intent_id=outcome.stripe_payment_intent_id,
            )
            if charge_input.trigger is AttemptTrigger.NEW_CARD:
                await CardOfferRepository(session).mark_tried(charge_input.stripe_invoice_id)

    async def release(self, charge_input: ChargeInput) -> None:
        """Delete the reservation of an attempt that was not made."""
        async with self._sessions.begin() as session:
            attempts = PaymentAttemptRepository(session)
            await attempts.release(charge_input.payment_retry_id, charge_input.attempt)
            if charge_input.trigger is AttemptTrigger.NEW_CARD:
                await CardOfferRepository(session).mark_tried(charge_input.stripe_invoice_id)


def _is_refused(last_decline: PaymentAttempt, card: ChargeableSnapshot) -> bool:
    """Return whether a card's latest decline forbids charging it again."""
    is_same = last_decline.stripe_payment_method_id == card.stripe_payment_method_id
    is_hard = classify(last_decline.decline_code, last_decline.advice_code) is DeclineClass.HARD
    # Reason: a card that was entered again may have correct data now, unless it is lost.
    return is_card_refused_for_good(last_decline.decline_code, last_decline.advice_code) or (
        is_same and is_hard
    )
