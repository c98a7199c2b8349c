"""Offers of a new default card to the unpaid invoices of its owner."""

from adapters.stripe.invoices import StripeInvoices
from database.payment_retries.card_offers import CardOfferRepository
from database.session import Sessions
from domain.errors import NotFoundError, ProviderRejectedError


class CardOffers:
    """Notes which card a customer has set while invoices were unpaid.

    Their payment retries may not have begun yet: whoever begins one finds the note.
    """

    def __init__(self, invoices: StripeInvoices, sessions: Sessions) -> None:
        self._invoices = invoices
        self._sessions = sessions

    async def offer(self, stripe_customer_id: str, card_id: str) -> tuple[str, ...]:
        """Note that a card is being set, before Stripe is asked to.

        Stripe tells of the change too, and must find it offered already.

        Returns:
            The invoices that it is offered to.

        Raises:
            ApplicationError: Stripe is down.
        """
        owed = tuple(await self._invoices.list_owed_of(stripe_customer_id))
        async with self._sessions.begin() as session:
            await CardOfferRepository(session).offer(owed, card_id)
        return owed

    async def offer_if_new(self, stripe_customer_id: str, card_id: str) -> tuple[str, ...]:
        """Note that a card was set at Stripe, where that is not known yet.

        An event may be older than the failure: the card that failed last is not offered.

        Returns:
            The invoices that it was not offered to before.

        Raises:
            ApplicationError: Stripe is down.
        """
        owed = await self._invoices.list_owed_of(stripe_customer_id)
        ids = [each for each in owed if await self._failed_card_id(each) != card_id]
        async with self._sessions.begin() as session:
            return await CardOfferRepository(session).offer_if_new(ids, card_id)

    async def _failed_card_id(self, stripe_invoice_id: str) -> str | None:
        try:
            return (await self._invoices.read(stripe_invoice_id)).failed_card_id
        except (NotFoundError, ProviderRejectedError):
            # Reason: one refused read loses no card; the invoice is read again before a charge.
            return None

    async def withdraw(self, stripe_invoice_ids: tuple[str, ...], card_id: str) -> None:
        """Note that Stripe refused to set a card."""
        async with self._sessions.begin() as session:
            await CardOfferRepository(session).withdraw(stripe_invoice_ids, card_id)
