"""What `PaymentRetryWorkflow` does: takes an invoice over, charges it, shows how it stands."""

from temporalio import activity

from activities.charging import Charging
from adapters.stripe.invoices import StripeInvoices
from database.payment_attempts import PaymentAttemptRepository
from database.payment_retries import PaymentRetryRepository
from database.session import Sessions
from domain.ids import payment_retry_workflow_id
from domain.retries import AttemptTrigger, ChargeResult, Recovery, RetryStatus
from domain.retry_messages import (
    ChargeOrder,
    ChargeOutcome,
    RetryOpened,
    RetrySnapshot,
    RetryStart,
)
from domain.seen import UnpaidInvoice


class RetryActivities:
    """One unpaid invoice at Stripe, and its recovery here."""

    def __init__(self, invoices: StripeInvoices, charging: Charging, sessions: Sessions) -> None:
        self._invoices = invoices
        self._charging = charging
        self._sessions = sessions

    @activity.defn
    async def open_retry(self, start: RetryStart) -> RetryOpened:
        """Take an invoice over from Stripe and record Stripe's own first charge.

        Args:
            start: Which invoice, and the recovery as it would begin.

        Returns:
            Where the recovery stands; closed if there is nothing to recover.

        Raises:
            ApplicationError: Stripe does not know the invoice, or is down.
        """
        workflow_id = payment_retry_workflow_id(start.stripe_invoice_id)
        invoice = await self._invoices.read(start.stripe_invoice_id)
        if invoice.invoice_status == "open":
            key = f"{workflow_id}:auto_advance"
            await self._invoices.stop_collection(start.stripe_invoice_id, key)
        known = start.recovery or Recovery(
            waits_from=activity.info().scheduled_time,
            grace_ends_at=start.grace_ends_at,
        )
        codes = {"decline_code": invoice.decline_code, "advice_code": invoice.advice_code}
        recovery = known.model_copy(update=codes | {"retry_status": _status_of(invoice)})
        async with self._sessions.begin() as session:
            retries = PaymentRetryRepository(session)
            await retries.insert(
                payment_retry_id=start.payment_retry_id,
                subscription_id=start.subscription_id,
                user_id=start.user_id,
                stripe_invoice_id=start.stripe_invoice_id,
                retry_status=recovery.retry_status,
                policy_name=start.policy.name,
                policy_version=start.policy.version,
                workflow_id=workflow_id,
            )
            attempts = PaymentAttemptRepository(session)
            await attempts.reserve(
                payment_retry_id=start.payment_retry_id,
                attempt=0,
                trigger=AttemptTrigger.INITIAL,
                outcome=ChargeResult.FAILED,
                stripe_payment_method_id=invoice.failed_card_id or invoice.card_id,
                stripe_payment_intent_id=invoice.stripe_payment_intent_id,
                attempted_at=recovery.waits_from,
                **codes,
            )
            last_attempt = await attempts.last_attempt(start.payment_retry_id)
        return RetryOpened(
            recovery=recovery,
            attempt=last_attempt,
            link=invoice.hosted_invoice_url,
        )

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
        status = _status_of(await self._invoices.read(stripe_invoice_id))
        results = {
            RetryStatus.RECOVERED: ChargeResult.SUCCEEDED,
            RetryStatus.CANCELED: ChargeResult.GONE,
        }
        return ChargeOutcome(result=results.get(status, ChargeResult.FAILED))

    @activity.defn
    async def save_retry(self, snapshot: RetrySnapshot) -> None:
        """Show where a recovery stands now.

        Args:
            snapshot: What the row is to say.
        """
        async with self._sessions.begin() as session:
            await PaymentRetryRepository(session).save(snapshot)


def _status_of(invoice: UnpaidInvoice) -> RetryStatus:
    if invoice.invoice_status == "paid":
        return RetryStatus.RECOVERED
    if invoice.invoice_status in {"void", "uncollectible"}:
        return RetryStatus.CANCELED
    return RetryStatus.WAITING
