"""All SQL about cards. Never commits: the caller owns the transaction."""

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import PaymentMethod
from database.paging import Page, newest_first


class PaymentMethodRepository:
    """Reads and writes `payment_methods` within one session; detached cards are not seen."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def get(self, payment_method_id: UUID, user_id: UUID | None) -> PaymentMethod | None:
        """Return an attached card of this owner; None for anybody's."""
        statement = select(PaymentMethod).where(
            PaymentMethod.payment_method_id == payment_method_id,
            PaymentMethod.detached_at.is_(None),
        )
        if user_id is not None:
            statement = statement.where(PaymentMethod.user_id == user_id)
        return await self._session.scalar(statement)

    async def list(
        self,
        user_id: UUID | None,
        limit: int,
        cursor: str | None,
    ) -> Page[PaymentMethod]:
        """Return one page of attached cards, newest first; None lists everybody's."""
        statement = select(PaymentMethod).where(PaymentMethod.detached_at.is_(None))
        if user_id is not None:
            statement = statement.where(PaymentMethod.user_id == user_id)
        place = (PaymentMethod.created_at, PaymentMethod.payment_method_id)
        return await newest_first(self._session, statement, place, limit, cursor)
