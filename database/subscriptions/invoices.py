"""Repository of invoices; the caller owns the transaction."""

from collections.abc import Collection, Sequence
from uuid import UUID

from sqlalchemy import exists, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from database.paging import Page, newest_first
from database.payments.models import Payment, Refund
from database.subscriptions.models import Invoice, Subscription
from domain.ids import invoice_id
from domain.payments.rules import OPEN_REFUNDS, RefundStatus
from domain.subscriptions.snapshots import InvoiceSnapshot, StoredInvoices

# Reason: an uncollectible invoice can still be paid; these two statuses are final.
_SETTLED = frozenset({"paid", "void"})
_DELETED = "deleted"
_NOT_FINALIZED = frozenset({"draft", _DELETED})
_NOT_STORED = {"is_attempted", "is_charged_automatically", "paid_at", "payments"}


class InvoiceRepository:
    """Reads and writes `invoices` within one session."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def put(self, subscription_id: UUID, user_id: UUID, snapshot: InvoiceSnapshot) -> UUID:
        """Store the snapshot of an invoice, and return the id of its row."""
        values = snapshot.model_dump(exclude=_NOT_STORED)
        statement = insert(Invoice).values(
            **values,
            invoice_id=invoice_id(snapshot.stripe_invoice_id),
            subscription_id=subscription_id,
            user_id=user_id,
        )
        await self._session.execute(
            statement.on_conflict_do_update(index_elements=["stripe_invoice_id"], set_=values),
        )
        return invoice_id(snapshot.stripe_invoice_id)

    async def known(self, subscription_id: UUID) -> StoredInvoices:
        """Return the stored invoices of a subscription, by whether they can still change."""
        statement = select(Invoice.stripe_invoice_id, Invoice.invoice_status).where(
            Invoice.subscription_id == subscription_id,
        )
        rows = (await self._session.execute(statement)).all()
        settled = frozenset(row[0] for row in rows if row[1] in _SETTLED)
        gone = frozenset(row[0] for row in rows if row[1] == _DELETED)
        return StoredInvoices(
            settled=settled,
            unsettled=frozenset(row[0] for row in rows) - settled - gone,
            given_up=frozenset(row[0] for row in rows if row[1] == "uncollectible"),
        )

    async def mark(self, stripe_invoice_ids: Collection[str], invoice_status: str) -> None:
        """Set the status of invoices without reading them at Stripe again."""
        if stripe_invoice_ids:
            await self._session.execute(
                update(Invoice)
                .where(Invoice.stripe_invoice_id.in_(stripe_invoice_ids))
                .values(invoice_status=invoice_status),
            )

    async def mark_deleted(self, stripe_invoice_ids: Collection[str]) -> None:
        """Mark invoices whose drafts were deleted at Stripe."""
        await self.mark(stripe_invoice_ids, _DELETED)

    async def stripe_id(self, invoice_id: UUID | None) -> str | None:
        """Return Stripe's id of an invoice; None if there is no such invoice."""
        if invoice_id is None:
            return None
        statement = select(Invoice.stripe_invoice_id).where(Invoice.invoice_id == invoice_id)
        return await self._session.scalar(statement)

    async def newest_status(self, subscription_id: UUID) -> str | None:
        """Return the status of a subscription's newest finalized invoice, or None."""
        statement = (
            select(Invoice.invoice_status)
            .where(
                Invoice.subscription_id == subscription_id,
                Invoice.invoice_status.not_in(_NOT_FINALIZED),
            )
            .order_by(Invoice.invoiced_at.desc(), Invoice.invoice_id.desc())
        )
        return await self._session.scalar(statement.limit(1))

    async def payments(self, subscription_id: UUID) -> Sequence[Payment]:
        """Return the payments of a subscription, newest first."""
        statement = (
            select(Payment)
            .join(Invoice, Invoice.invoice_id == Payment.invoice_id)
            .where(Invoice.subscription_id == subscription_id)
            .order_by(Payment.created_at.desc(), Payment.payment_id)
        )
        return (await self._session.scalars(statement)).all()

    async def failed_refunds(self, subscription_id: UUID) -> Sequence[Refund]:
        """Return the refunds of a subscription that came back, and were not made again since."""
        later = aliased(Refund)
        is_made_again = exists().where(
            later.payment_id == Refund.payment_id,
            later.created_at > Refund.created_at,
            later.refund_status.in_(OPEN_REFUNDS | {RefundStatus.SUCCEEDED}),
        )
        statement = (
            select(Refund)
            .join(Payment, Refund.payment_id == Payment.payment_id)
            .join(Invoice, Invoice.invoice_id == Payment.invoice_id)
            .where(
                Invoice.subscription_id == subscription_id,
                Refund.refund_status.in_({RefundStatus.FAILED, RefundStatus.CANCELED}),
                Refund.stripe_refund_id.is_not(None),  # Reason: others were refused at once
                ~is_made_again,
            )
            .order_by(Refund.created_at, Refund.refund_id)
        )
        return (await self._session.scalars(statement)).all()

    async def list_open(self, subscription_id: UUID) -> Sequence[Invoice]:
        """Return the open invoices of a subscription, oldest first."""
        statement = (
            select(Invoice)
            .where(Invoice.subscription_id == subscription_id, Invoice.invoice_status == "open")
            .order_by(Invoice.invoiced_at, Invoice.invoice_id)
        )
        return (await self._session.scalars(statement)).all()

    async def newest(self, user_id: UUID, limit: int) -> Sequence[Invoice]:
        """Return the newest invoices of all subscriptions of a user."""
        theirs = select(Subscription.subscription_id).where(Subscription.user_id == user_id)
        statement = (
            select(Invoice)
            .where(Invoice.subscription_id.in_(theirs))
            .order_by(Invoice.invoiced_at.desc(), Invoice.invoice_id)
            .limit(limit)
        )
        return (await self._session.scalars(statement)).all()

    async def list(self, subscription_id: UUID, limit: int, cursor: str | None) -> Page[Invoice]:
        """Return one page of a subscription's invoices, newest first."""
        statement = select(Invoice).where(Invoice.subscription_id == subscription_id)
        sort_key = (Invoice.invoiced_at, Invoice.invoice_id)
        return await newest_first(self._session, statement, sort_key, limit, cursor)
