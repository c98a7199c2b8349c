"""Repository of cards; the caller owns the transaction."""

from uuid import UUID, uuid4

from sqlalchemy import Select, func, select, update
from sqlalchemy.dialects.postgresql import insert

from database.payments.models import PaymentMethod
from database.repository import OwnedRepository
from domain.payments.snapshots import CardSnapshot, CustomerSnapshot


class PaymentMethodRepository(OwnedRepository[PaymentMethod]):
    """Reads and writes `payment_methods` within one session; detached cards are not returned."""

    table = PaymentMethod

    @classmethod
    def _all(cls) -> Select[PaymentMethod]:
        return select(PaymentMethod).where(PaymentMethod.detached_at.is_(None))

    async def put(self, payment_method_id: UUID, user_id: UUID, card: CardSnapshot) -> UUID:
        """Store an attached card; one that was detached before becomes attached again.

        Returns:
            The id of the card's row, which is an earlier id if the card was attached before.
        """
        values = {**card.model_dump(), "user_id": user_id, "detached_at": None}
        statement = (
            insert(PaymentMethod)
            .values(payment_method_id=payment_method_id, is_default=False, **values)
            .on_conflict_do_update(index_elements=["stripe_payment_method_id"], set_=values)
            .returning(PaymentMethod.payment_method_id)
        )
        return (await self._session.execute(statement)).scalar_one()

    async def make_default(self, payment_method_id: UUID, user_id: UUID) -> None:
        """Make a card the only default card of its owner."""
        await self._session.execute(
            update(PaymentMethod)
            .where(PaymentMethod.user_id == user_id)
            .values(is_default=PaymentMethod.payment_method_id == payment_method_id),
        )

    async def follow(self, user_id: UUID, customer: CustomerSnapshot) -> None:
        """Sync a user's cards with the snapshot of the customer at Stripe."""
        cards = customer.cards
        attached = [card.stripe_payment_method_id for card in cards]
        await self._session.execute(
            update(PaymentMethod)
            .where(
                PaymentMethod.user_id == user_id,
                PaymentMethod.detached_at.is_(None),
                PaymentMethod.stripe_payment_method_id.not_in(attached),
            )
            .values(is_default=False, detached_at=func.now()),
        )
        for card in cards:
            await self.put(uuid4(), user_id, card)
        default = customer.default_card_id
        await self._session.execute(
            update(PaymentMethod)
            .where(PaymentMethod.user_id == user_id, PaymentMethod.detached_at.is_(None))
            .values(is_default=PaymentMethod.stripe_payment_method_id == default),
        )

    async def default_of(self, user_id: UUID) -> PaymentMethod | None:
        """Return a user's default card, or None."""
        statement = select(PaymentMethod).where(
            PaymentMethod.user_id == user_id,
            PaymentMethod.is_default,
            PaymentMethod.detached_at.is_(None),
        )
        return await self._session.scalar(statement.limit(1))

    async def detach(self, payment_method_id: UUID) -> None:
        """Mark a card as detached."""
        await self._session.execute(
            update(PaymentMethod)
            .where(PaymentMethod.payment_method_id == payment_method_id)
            .values(is_default=False, detached_at=func.now()),
        )

    async def lock_card(self, fingerprint: str) -> None:
        """Lock a card number, across all users, until the transaction ends."""
        await self._session.execute(
            select(func.pg_advisory_xact_lock(func.hashtext(fingerprint))),
        )
