"""All SQL about cards set while invoices were unpaid. Never commits: the caller owns it."""

from collections.abc import Collection

from sqlalchemy import delete, func, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from database.payment_retries.models import CardOffer


class CardOfferRepository:
    """Reads and writes `card_offers` within one session."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def offer(self, stripe_invoice_ids: Collection[str], card_id: str) -> None:
        """Note that a customer has set a card while these invoices were unpaid."""
        for stripe_invoice_id in sorted(stripe_invoice_ids):
            await self._session.execute(
                insert(CardOffer)
                .values(stripe_invoice_id=stripe_invoice_id, stripe_payment_method_id=card_id)
                .on_conflict_do_update(
                    index_elements=["stripe_invoice_id"],
                    set_={
                        "stripe_payment_method_id": card_id,
                        "offered_at": func.now(),
                        "tried_at": None,
                    },
                ),
            )

    async def offer_if_new(
        self,
        stripe_invoice_ids: Collection[str],
        card_id: str,
    ) -> tuple[str, ...]:
        """Do the same for those that were not offered this card yet; return them."""
        known = [await self.offered(stripe_invoice_id) for stripe_invoice_id in stripe_invoice_ids]
        fresh = tuple(
            stripe_invoice_id
            for stripe_invoice_id, offer in zip(stripe_invoice_ids, known, strict=True)
            if offer is None or offer.stripe_payment_method_id != card_id
        )
        await self.offer(fresh, card_id)
        return fresh

    async def offered(self, stripe_invoice_id: str) -> CardOffer | None:
        """Return the card that was set last while an invoice was unpaid, or None."""
        return await self._session.get(CardOffer, stripe_invoice_id, populate_existing=True)

    async def note_try(self, stripe_invoice_id: str) -> None:
        """Note that the offered card was tried."""
        await self._session.execute(
            update(CardOffer)
            .where(CardOffer.stripe_invoice_id == stripe_invoice_id)
            .values(tried_at=func.now()),
        )

    async def withdraw(self, stripe_invoice_ids: Collection[str], card_id: str) -> None:
        """Note that a card could not be set after all."""
        await self._session.execute(
            delete(CardOffer).where(
                CardOffer.stripe_invoice_id.in_(stripe_invoice_ids),
                CardOffer.stripe_payment_method_id == card_id,
                CardOffer.tried_at.is_(None),
            ),
        )
