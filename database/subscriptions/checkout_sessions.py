"""Repository of Checkout sessions; the caller owns the transaction."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from database.subscriptions.models import CheckoutSession
from domain.subscriptions.checkouts import CheckoutSnapshot, CheckoutStatus

_OPEN = CheckoutSession.checkout_status == CheckoutStatus.OPEN


class CheckoutSessionRepository:
    """Reads and writes `checkout_sessions` within one session."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def insert(self, values: Mapping[str, Any]) -> None:
        """Insert a session before Stripe is asked for it; one that is there stays unchanged."""
        await self._session.execute(
            insert(CheckoutSession).values(**values).on_conflict_do_nothing(),
        )

    async def get(self, subscription_id: UUID) -> CheckoutSession | None:
        """Return the session of which this subscription comes, or None."""
        return await self._session.get(CheckoutSession, subscription_id)

    async def list_open(
        self, user_id: UUID, plan_id: UUID, besides: UUID
    ) -> Sequence[CheckoutSession]:
        """Return the open sessions of a user and plan, but for one; oldest first."""
        statement = (
            select(CheckoutSession)
            .where(
                CheckoutSession.user_id == user_id,
                CheckoutSession.plan_id == plan_id,
                CheckoutSession.subscription_id != besides,
                _OPEN,
            )
            .order_by(CheckoutSession.created_at)
        )
        return (await self._session.scalars(statement)).all()

    async def store(self, subscription_id: UUID, snapshot: CheckoutSnapshot) -> bool:
        """Store what Stripe has made, and tell whether the session is still wanted."""
        statement = (
            update(CheckoutSession)
            .where(CheckoutSession.subscription_id == subscription_id)
            .values(
                stripe_checkout_session_id=snapshot.stripe_checkout_session_id,
                expires_at=snapshot.expires_at,
            )
            .returning(CheckoutSession.checkout_status)
            .execution_options(synchronize_session=False)
        )
        return await self._session.scalar(statement) == CheckoutStatus.OPEN

    async def settle(self, subscription_id: UUID, status: CheckoutStatus) -> None:
        """Store that a session is not open any more."""
        await self._session.execute(
            update(CheckoutSession)
            .where(CheckoutSession.subscription_id == subscription_id)
            .values(checkout_status=status),
        )
