"""The book of charges: an attempt is reserved before Stripe is asked, and settled after."""

from typing import NamedTuple

from database.models import PaymentAttempt
from database.payment_attempts import PaymentAttemptRepository
from database.payment_retries import PaymentRetryRepository
from database.session import Sessions
from domain.retries import CARD_ATTEMPT_LIMIT
from domain.retry_messages import ChargeOrder, ChargeOutcome
from domain.seen import UnpaidInvoice

RESERVED = "reserved"


class Reserved(NamedTuple):
    """An attempt as it stands in our database before Stripe is asked."""

    attempt: PaymentAttempt
    is_over_limit: bool


class AttemptBook:
    """Attempts, counted per card over all invoices."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def reserve(self, order: ChargeOrder, invoice: UnpaidInvoice) -> Reserved:
        """Take note of an attempt before it is made, or find the note of an earlier call.

        Args:
            order: The attempt.
            invoice: As it is before the charge.

        Returns:
            The attempt, and whether the networks' limit of its card is used up.
        """
        card = order.stripe_payment_method_id or invoice.card_id
        async with self._sessions.begin() as session:
            attempts = PaymentAttemptRepository(session)
            attempt = await attempts.reserve(
                payment_retry_id=order.payment_retry_id,
                attempt=order.attempt,
                trigger=order.trigger,
                outcome=RESERVED,
                stripe_payment_method_id=card,
                stripe_charge_id_before=invoice.latest_charge_id,
                attempted_at=order.attempted_at,
            )
            await PaymentRetryRepository(session).show_charging(order.payment_retry_id)
            count = await attempts.count_of_card(card, order.attempted_at) if card else 0
        return Reserved(attempt, is_over_limit=count > CARD_ATTEMPT_LIMIT)

    async def settle(self, order: ChargeOrder, outcome: ChargeOutcome) -> None:
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
