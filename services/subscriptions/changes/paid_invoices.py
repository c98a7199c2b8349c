"""Reads what was paid for a subscription, and has not been given back."""

from collections import Counter
from datetime import datetime
from uuid import UUID

from adapters.stripe.unused_time import StripeUnusedTime
from database.payments.refunds import RefundRepository
from database.session import Sessions
from database.subscriptions.invoices import InvoiceRepository
from domain.ids import invoice_id
from domain.subscriptions.snapshots import PaidInvoice


async def paid_since(
    sessions: Sessions,
    unused_time: StripeUnusedTime,
    subscription_id: UUID,
    stripe_id: str,
    since: datetime,
) -> list[PaidInvoice]:
    """Return the paid invoices of the period around a time, and of later ones, newest first.

    Args:
        sessions: Sessions of the database.
        unused_time: Reads the invoices.
        subscription_id: Our id of the subscription.
        stripe_id: Stripe's id of the subscription.
        since: The time.

    Returns:
        The invoices, less what refunds or credit notes have given back of each.

    Raises:
        ApplicationError: Stripe refused, or is down.
    """
    found = await unused_time.paid_since(stripe_id, since)
    invoice_ids = {invoice_id(each.stripe_invoice_id) for each in found}
    refunded: Counter[UUID | None] = Counter()
    async with sessions() as session:
        refunds = RefundRepository(session)
        for payment in await InvoiceRepository(session).payments(subscription_id):
            if payment.invoice_id in invoice_ids:
                pending = await refunds.pending_cents(payment.payment_id)
                refunded[payment.invoice_id] += payment.refunded_cents + pending
    # Reason: ours may be on their way still, and of the Dashboard's we may not know yet.
    return [
        each.less(max(refunded[invoice_id(each.stripe_invoice_id)], each.returned_cents))
        for each in found
    ]
