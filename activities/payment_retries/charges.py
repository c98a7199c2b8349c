"""The activities that charge an unpaid invoice, and check whether it is still owed."""

from temporalio import activity

from adapters.stripe.invoices import StripeInvoices
from domain.errors import NotFoundError
from domain.payment_retries.lifecycle import ChargeResult
from domain.payment_retries.messages import ChargeInput, ChargeOutcome
from services.payment_retries.charging import Charging, outcome_if_not_owed


class ChargeActivities:
    """The activities that charge and read one unpaid invoice."""

    def __init__(self, charging: Charging, invoices: StripeInvoices) -> None:
        self._charging = charging
        self._invoices = invoices

    @activity.defn
    async def charge_invoice(self, charge_input: ChargeInput) -> ChargeOutcome:
        """Charge an invoice once per attempt, however often Temporal retries the activity.

        Args:
            charge_input: The invoice, the attempt, and the card if one was chosen.

        Returns:
            How the attempt ended; a declined card is an outcome, not an error.

        Raises:
            ApplicationError: Stripe is down (a later call finds out the outcome), or refused.
        """
        return await self._charging.charge(charge_input)

    @activity.defn
    async def refresh_invoice(self, stripe_invoice_id: str) -> ChargeOutcome:
        """Read whether an invoice was paid or given up outside of the payment retry.

        Args:
            stripe_invoice_id: Invoice to read.

        Returns:
            The invoice's outcome; `failed` means that it is still owed.

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
        return outcome_if_not_owed(invoice) or still_owed
