"""Offers of a new default card to the unpaid invoices of its owner."""

from adapters.stripe.invoices import StripeInvoices
from database.payment_retries import PaymentRetryRepository
from database.session import Sessions


class CardOffers:
    """Notes which card a customer has set while invoices were unpaid."""

    def __init__(self, invoices: StripeInvoices, sessions: Sessions) -> None:
        self._invoices = invoices
        self._sessions = sessions

    async def offer(self, stripe_customer_id: str, card_id: str) -> tuple[str, ...]:
        """Note that a card was set while these invoices were unpaid; return them.

        Their payment retries may not have begun yet: whoever begins one finds the note.

        Raises:
            ApplicationError: Stripe is down.
        """
        owed = await self._invoices.list_owed_of(stripe_customer_id)
        async with self._sessions.begin() as session:
            await PaymentRetryRepository(session).offer(owed, card_id)
        return tuple(owed)
