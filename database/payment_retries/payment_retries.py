"""Repository of payment retries; the caller owns the transaction."""

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert

from database.payment_retries.models import PaymentAttempt, PaymentRetry
from database.repository import OwnedRepository
from domain.payment_retries.lifecycle import (
    CLOSED,
    AttemptTrigger,
    ChargeResult,
    PausedReason,
    RetryStatus,
)
from domain.payment_retries.messages import RetrySnapshot

# Outcomes of the attempts that the API shows; others made no charge.
TRIED = frozenset({"reserved", ChargeResult.SUCCEEDED, ChargeResult.FAILED})

_SAVED = {"retry_status", "attempt_count", "next_attempt_at", "decline_code", "paused_reason"}


class PaymentRetryRepository(OwnedRepository[PaymentRetry]):
    """Reads and writes `payment_retries` within one session."""

    table = PaymentRetry

    async def open(self, values: Mapping[str, Any]) -> PaymentRetry:
        """Store a new payment retry or reopen a closed one, and return its row."""
        statement = insert(PaymentRetry).values(**values)
        reopened = {
            name: values[name] for name in ("retry_status", "policy_name", "policy_version")
        }
        await self._session.execute(
            statement.on_conflict_do_update(
                index_elements=["payment_retry_id"],
                set_={**reopened, "next_attempt_at": None, "updated_at": func.now()},
                where=PaymentRetry.retry_status.in_(CLOSED),
            ),
        )
        return await self._session.get_one(PaymentRetry, values["payment_retry_id"])

    async def save(self, snapshot: RetrySnapshot) -> None:
        """Store the current values of a payment retry."""
        values = snapshot.model_dump(include=_SAVED)
        parked = [step.model_dump(mode="json") for step in snapshot.parked]
        await self._session.execute(
            update(PaymentRetry)
            .where(PaymentRetry.payment_retry_id == snapshot.payment_retry_id)
            .values(**values, parked_data=parked),
        )

    async def show_charging(self, payment_retry_id: UUID) -> None:
        """Set the status `charging` while a charge is made."""
        await self._session.execute(
            update(PaymentRetry)
            .where(PaymentRetry.payment_retry_id == payment_retry_id)
            .values(retry_status=RetryStatus.CHARGING, next_attempt_at=None),
        )

    async def list_open(
        self,
        *,
        user_id: UUID | None = None,
        subscription_id: UUID | None = None,
    ) -> Sequence[PaymentRetry]:
        """Return the open payment retries of a user or of a subscription, oldest first."""
        statement = select(PaymentRetry).where(PaymentRetry.retry_status.not_in(CLOSED))
        if user_id is not None:
            statement = statement.where(PaymentRetry.user_id == user_id)
        if subscription_id is not None:
            statement = statement.where(PaymentRetry.subscription_id == subscription_id)
        return (await self._session.scalars(statement.order_by(PaymentRetry.created_at))).all()

    async def retried(self, stripe_invoice_ids: Sequence[str]) -> frozenset[str]:
        """Return those of these invoices that have a payment retry, whatever became of it."""
        if not stripe_invoice_ids:
            return frozenset()
        statement = select(PaymentRetry.stripe_invoice_id).where(
            PaymentRetry.stripe_invoice_id.in_(stripe_invoice_ids),
        )
        return frozenset(await self._session.scalars(statement))

    async def imported(self, after: UUID | None, limit: int) -> Sequence[PaymentRetry]:
        """Return payment retries that wait for the start after an import, by id.

        Args:
            after: Id that the page follows; None for the first page.
            limit: Largest number of rows.
        """
        statement = select(PaymentRetry).where(PaymentRetry.paused_reason == PausedReason.IMPORTED)
        if after is not None:
            statement = statement.where(PaymentRetry.payment_retry_id > after)
        ordered = statement.order_by(PaymentRetry.payment_retry_id).limit(limit)
        return (await self._session.scalars(ordered)).all()

    async def attempts(
        self,
        payment_retry_ids: Sequence[UUID],
    ) -> Mapping[UUID, Sequence[PaymentAttempt]]:
        """Return our charges of several payment retries by id, oldest first."""
        statement = (
            select(PaymentAttempt)
            .where(
                PaymentAttempt.payment_retry_id.in_(payment_retry_ids),
                PaymentAttempt.trigger != AttemptTrigger.INITIAL,
                PaymentAttempt.outcome.in_(TRIED),
            )
            .order_by(PaymentAttempt.attempt)
        )
        found: defaultdict[UUID, deque[PaymentAttempt]] = defaultdict(deque)
        for row in await self._session.scalars(statement):
            found[row.payment_retry_id].append(row)
        return found
