"""Reservations of charges: an attempt is reserved before Stripe is asked, and settled after."""

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
    is_card_lost,
)
from domain.payment_retries.lifecycle import AttemptTrigger
from domain.payment_retries.messages import ChargeInput, ChargeOutcome
from domain.payment_retries.policy import CARD_ATTEMPT_LIMIT
from domain.payment_retries.snapshots import UnpaidInvoice
from domain.payments.snapshots import ChargeableSnapshot

RESERVED = "reserved"


class AttemptReservation(NamedTuple):
    """An attempt as it stands in our database before Stripe is asked.

    Args:
        attempt: The row.
        refusal: Why the card may not be charged; None if it may.
    """

    attempt: PaymentAttempt
    refusal: str | None


class AttemptReservations:
    """ModelAttempts, counted per card over all invoices."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def find(self, order: ChargeInput) -> PaymentAttempt | None:
        """Return what an earlier call has reserved for an attempt."""
        async with self._sessions() as session:
            attempts = PaymentAttemptRepository(session)
            return await attempts.get(order.payment_retry_id, order.attempt)

    async def reserve(
        self,
        order: ChargeInput,
        invoice: UnpaidInvoice,
        card: ChargeableSnapshot,
    ) -> AttemptReservation:
        """Reserve an attempt before it is made, unless its card may not be charged.

        Args:
            order: The attempt.
            invoice: As it is before the charge.
            card: What is to be charged.

        Returns:
            The attempt, and why it must not be made.
        """
        async with self._sessions.begin() as session:
            attempts = PaymentAttemptRepository(session)
            last = await attempts.last_decline_of_card(card.fingerprint)
            attempt = await attempts.reserve(
                payment_retry_id=order.payment_retry_id,
                attempt=order.attempt,
                trigger=order.trigger,
                outcome=RESERVED,
                stripe_payment_method_id=card.stripe_payment_method_id,
                card_fingerprint=card.fingerprint,
                stripe_charge_id_before=invoice.latest_charge_id,
                attempted_at=order.attempted_at,
            )
            await PaymentRetryRepository(session).show_charging(order.payment_retry_id)
            count = await attempts.count_of_card(card.fingerprint, order.attempted_at)
        if last is not None and _is_refused(last, card):
            return AttemptReservation(attempt, CARD_REFUSED)
        return AttemptReservation(attempt, LIMIT_REACHED if count > CARD_ATTEMPT_LIMIT else None)

    async def settle(self, order: ChargeInput, outcome: ChargeOutcome) -> None:
        """Record how an attempt ended.

        Args:
            order: The attempt.
            outcome: Its end.
        """
        async with self._sessions.begin() as session:
            await PaymentAttemptRepository(session).settle(
                order.payment_retry_id,
                order.attempt,
                outcome=outcome.result,
                decline_code=outcome.decline_code,
                advice_code=outcome.advice_code,
                stripe_payment_intent_id=outcome.stripe_payment_intent_id,
            )
            if order.trigger is AttemptTrigger.NEW_CARD:
                await CardOfferRepository(session).note_try(order.stripe_invoice_id)

    async def release(self, order: ChargeInput) -> None:
        """Forget an attempt that was not made."""
        async with self._sessions.begin() as session:
            attempts = PaymentAttemptRepository(session)
            await attempts.release(order.payment_retry_id, order.attempt)
            if order.trigger is AttemptTrigger.NEW_CARD:
                await CardOfferRepository(session).note_try(order.stripe_invoice_id)


def _is_refused(last: PaymentAttempt, card: ChargeableSnapshot) -> bool:
    """Tell whether a card's latest decline forbids to charge it again."""
    is_same = last.stripe_payment_method_id == card.stripe_payment_method_id
    is_hard = classify(last.decline_code, last.advice_code) is DeclineClass.HARD
    # Reason: the same number typed in again may have the right data now, but not if it is lost.
    return is_card_lost(last.decline_code, last.advice_code) or (is_same and is_hard)
