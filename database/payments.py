"""All SQL about payments. Never commits: the caller owns the transaction."""

from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import Payment
from database.paging import Page, newest_first
from domain.ids import payment_id
from domain.seen import PaymentSeen


class PaymentRepository:
    """Reads and writes `payments` within one session."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def put_succeeded(
        self,
        user_id: UUID,
        invoice_id: UUID,
        currency_code: str,
        seen: PaymentSeen,
    ) -> None:
        """Store a successful charge of an invoice; one that is stored stays as it is."""
        statement = insert(Payment).values(
            payment_id=payment_id(seen.stripe_payment_intent_id),
            user_id=user_id,
            invoice_id=invoice_id,
            amount_cents=seen.amount_cents,
            currency_code=currency_code,
            payment_status="succeeded",
            stripe_payment_intent_id=seen.stripe_payment_intent_id,
        )
        await self._session.execute(
            statement.on_conflict_do_nothing(index_elements=["stripe_payment_intent_id"]),
        )

    async def insert(self, **values: Any) -> None:
        """Store a new payment; one that is stored stays as it is."""
        statement = insert(Payment).values(**values)
        await self._session.execute(
            statement.on_conflict_do_nothing(index_elements=["payment_id"]),
        )

    async def lock(self, payment_id: UUID) -> Payment | None:
        """Return a payment, which nobody else changes or refunds until the transaction ends."""
        return await self._session.get(Payment, payment_id, with_for_update=True)

    async def get(self, payment_id: UUID, user_id: UUID | None) -> Payment | None:
        """Return a payment of this owner; None for anybody's."""
        statement = select(Payment).where(Payment.payment_id == payment_id)
        if user_id is not None:
            statement = statement.where(Payment.user_id == user_id)
        return await self._session.scalar(statement)

    async def list(
        self,
        user_id: UUID | None,
        payment_status: str | None,
        limit: int,
        cursor: str | None,
    ) -> Page[Payment]:
        """Return one page of payments, newest first; None filters nothing."""
        statement = select(Payment)
        if user_id is not None:
            statement = statement.where(Payment.user_id == user_id)
        if payment_status is not None:
            statement = statement.where(Payment.payment_status == payment_status)
        place = (Payment.created_at, Payment.payment_id)
        return await newest_first(self._session, statement, place, limit, cursor)
