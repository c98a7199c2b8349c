"""Offers a customer's new default card to the customer's unpaid invoices."""

from adapters.stripe.invoices import StripeInvoices
from database.payment_retries.card_offers import CardOfferRepository
from database.payment_retries.payment_attempts import PaymentAttemptRepository
from database.session import Sessions
from domain.errors import NotFoundError, ProviderRejectedError

READ_COUNT = 2


class CardOffers:
    """Records which card a customer set as default while invoices were unpaid.

    The invoices' payment retries may not have begun yet; they find the offer when they begin.
    """

    def __init__(self, invoices: StripeInvoices, sessions: Sessions) -> None:
        self._invoices = invoices
        self._sessions = sessions

    async def offer(self, stripe_customer_id: str, card_id: str) -> tuple[str, ...]:
        """Record the offer of a card before it becomes the default at Stripe.

        Stripe's webhook of the change must find the card offered already.

        Returns:
            Stripe ids of the invoices that the card is offered to.

        Raises:
            ApplicationError: Stripe is down.
        """
        owed_invoice_ids = tuple(await self._invoices.list_failed_open(stripe_customer_id))
        async with self._sessions.begin() as session:
            await CardOfferRepository(session).offer(owed_invoice_ids, card_id)
        return owed_invoice_ids

    async def offer_if_new(self, stripe_customer_id: str, card_id: str) -> tuple[str, ...]:
        """Record the offer of a card that became the default at Stripe, where it is not known yet.

        The event may be older than a decline: the card that an invoice failed with is left out.

        Returns:
            Stripe ids of the invoices that the card was not offered to before.

        Raises:
            ApplicationError: Stripe is down.
        """
        owed_invoice_ids = await self._invoices.list_failed_open(stripe_customer_id)
        not_declined_ids = [
            stripe_invoice_id
            for stripe_invoice_id in owed_invoice_ids
            if await self._failed_card_id(stripe_invoice_id) != card_id
        ]
        async with self._sessions.begin() as session:
            return await CardOfferRepository(session).offer_if_new(not_declined_ids, card_id)

    async def _failed_card_id(self, stripe_invoice_id: str) -> str | None:
        """Return the card that an invoice failed with; None if it cannot be found out."""
        # Reason: a refused read must not lose a new card, nor take the failed card for a new one.
        for _ in range(READ_COUNT):
            try:
                return (await self._invoices.read(stripe_invoice_id)).failed_card_id
            except (NotFoundError, ProviderRejectedError):
                continue
        async with self._sessions() as session:
            return await PaymentAttemptRepository(session).last_failed_card(stripe_invoice_id)

    async def withdraw(self, stripe_invoice_ids: tuple[str, ...], card_id: str) -> None:
        """Withdraw an offer because Stripe refused to set the card as default."""
        async with self._sessions.begin() as session:
            await CardOfferRepository(session).withdraw(stripe_invoice_ids, card_id)
