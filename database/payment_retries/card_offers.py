"""Repository of cards set while invoices were unpaid; the caller owns the transaction."""

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
        """Store a card that a customer has set while these invoices were unpaid."""
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
        """Store a card for the invoices that do not have it yet, and return these invoices."""
        known = [await self.offered(stripe_invoice_id) for stripe_invoice_id in stripe_invoice_ids]
        fresh = tuple(
            stripe_invoice_id
            for stripe_invoice_id, offer in zip(stripe_invoice_ids, known, strict=True)
            if offer is None or offer.stripe_payment_method_id != card_id
        )
        await self.offer(fresh, card_id)
        return fresh

    async def offered(self, stripe_invoice_id: str) -> CardOffer | None:
        """Return the last card that was set while an invoice was unpaid, or None."""
        return await self._session.get(CardOffer, stripe_invoice_id, populate_existing=True)

    async def mark_tried(self, stripe_invoice_id: str) -> None:
        """Mark the offered card of an invoice as tried."""
        await self._session.execute(
            update(CardOffer)
            .where(CardOffer.stripe_invoice_id == stripe_invoice_id)
            .values(tried_at=func.now()),
        )

    async def withdraw(self, stripe_invoice_ids: Collection[str], card_id: str) -> None:
        """Delete untried offers of a card that could not be set."""
        await self._session.execute(
            delete(CardOffer).where(
                CardOffer.stripe_invoice_id.in_(stripe_invoice_ids),
                CardOffer.stripe_payment_method_id == card_id,
                CardOffer.tried_at.is_(None),
            ),
        )
