"""All SQL about invoices. Never commits: the caller owns the transaction."""

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import Invoice
from database.paging import Page, newest_first
from domain.ids import invoice_id
from domain.seen import InvoiceSeen


class InvoiceRepository:
    """Reads and writes `invoices` within one session."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def put(self, subscription_id: UUID, user_id: UUID, seen: InvoiceSeen) -> UUID:
        """Store an invoice as Stripe shows it now, and return its id here."""
        values = seen.model_dump(exclude={"is_attempted", "payments"})
        statement = insert(Invoice).values(
            **values,
            invoice_id=invoice_id(seen.stripe_invoice_id),
            subscription_id=subscription_id,
            user_id=user_id,
        )
        await self._session.execute(
            statement.on_conflict_do_update(index_elements=["stripe_invoice_id"], set_=values),
        )
        return invoice_id(seen.stripe_invoice_id)

    async def stripe_id(self, invoice_id: UUID | None) -> str | None:
        """Return Stripe's id of an invoice of ours; None if there is none."""
        if invoice_id is None:
            return None
        statement = select(Invoice.stripe_invoice_id).where(Invoice.invoice_id == invoice_id)
        return await self._session.scalar(statement)

    async def list(self, subscription_id: UUID, limit: int, cursor: str | None) -> Page[Invoice]:
        """Return one page of a subscription's invoices, newest first."""
        statement = select(Invoice).where(Invoice.subscription_id == subscription_id)
        place = (Invoice.invoiced_at, Invoice.invoice_id)
        return await newest_first(self._session, statement, place, limit, cursor)
