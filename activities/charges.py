"""How `PaymentRetryWorkflow` charges an invoice, and looks whether it is still owed."""

from temporalio import activity

from activities.charging import Charging
from adapters.stripe.invoices import StripeInvoices
from domain.retries import ChargeResult, RetryStatus, status_of_invoice
from domain.retry_messages import ChargeOrder, ChargeOutcome


class ChargeActivities:
    """Charges, each made once."""

    def __init__(self, charging: Charging, invoices: StripeInvoices) -> None:
        self._charging = charging
        self._invoices = invoices

    @activity.defn
    async def charge_invoice(self, order: ChargeOrder) -> ChargeOutcome:
        """Charge an invoice once per attempt, however often Temporal retries this.

        Args:
            order: Which invoice, which attempt, perhaps which card.

        Returns:
            How it ended; a declined card is an outcome, no error.

        Raises:
            ApplicationError: Stripe is down (the outcome is found out later), or refused.
        """
        return await self._charging.charge(order)

    @activity.defn
    async def look_at_invoice(self, stripe_invoice_id: str) -> ChargeOutcome:
        """Find out whether somebody else paid or gave up an invoice.

        Args:
            stripe_invoice_id: Which.

        Returns:
            `failed` means that it is still owed.

        Raises:
            ApplicationError: Stripe does not know the invoice, or is down.
        """
        invoice = await self._invoices.read(stripe_invoice_id)
        status = status_of_invoice(invoice.invoice_status)
        results = {
            RetryStatus.RECOVERED: ChargeResult.SUCCEEDED,
            RetryStatus.CANCELED: ChargeResult.GONE,
        }
        return ChargeOutcome(result=results.get(status, ChargeResult.FAILED))
