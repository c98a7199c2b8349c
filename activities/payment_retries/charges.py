"""How `PaymentRetryWorkflow` charges an invoice, and looks whether it is still owed."""

from temporalio import activity

from adapters.stripe.invoices import StripeInvoices
from domain.errors import NotFoundError
from domain.payment_retries.lifecycle import ChargeResult
from domain.payment_retries.messages import ChargeInput, ChargeOutcome
from services.payment_retries.charging import Charging, state_of_invoice


class ChargeActivities:
    """Charges, each made once."""

    def __init__(self, charging: Charging, invoices: StripeInvoices) -> None:
        self._charging = charging
        self._invoices = invoices

    @activity.defn
    async def charge_invoice(self, order: ChargeInput) -> ChargeOutcome:
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
    async def refresh_invoice(self, stripe_invoice_id: str) -> ChargeOutcome:
        """Find out whether an invoice was paid or given up by somebody else.

        Args:
            stripe_invoice_id: Which.

        Returns:
            `failed` means that it is still owed.

        Raises:
            ApplicationError: Stripe is down.
        """
        try:
            invoice = await self._invoices.read(stripe_invoice_id)
        except NotFoundError:
            return ChargeOutcome(result=ChargeResult.GONE)
        still_owed = ChargeOutcome(
            result=ChargeResult.FAILED,
            decline_code=invoice.decline_code,
            advice_code=invoice.advice_code,
            next_action_url=invoice.hosted_invoice_url,
        )
        return state_of_invoice(invoice) or still_owed
