"""How `PaymentRetryWorkflow` takes an invoice over and shows how its recovery stands."""

from temporalio import activity

from adapters.stripe.invoices import StripeInvoices
from database.payment_attempts import PaymentAttemptRepository
from database.payment_retries import PaymentRetryRepository
from database.session import Sessions
from domain.ids import payment_retry_workflow_id
from domain.retries import AttemptTrigger, ChargeResult, Recovery, status_of_invoice
from domain.retry_messages import RetryOpened, RetrySnapshot, RetryStart
from domain.seen import UnpaidInvoice


class RetryActivities:
    """One unpaid invoice at Stripe, and its recovery here."""

    def __init__(self, invoices: StripeInvoices, sessions: Sessions) -> None:
        self._invoices = invoices
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
        invoice = await self._invoices.read(start.stripe_invoice_id)
        if invoice.invoice_status == "open":
            key = f"{payment_retry_workflow_id(start.stripe_invoice_id)}:auto_advance"
            await self._invoices.stop_collection(start.stripe_invoice_id, key)
        known = start.recovery or Recovery(
            waits_from=activity.info().scheduled_time,
            grace_ends_at=start.grace_ends_at,
        )
        changes = {
            "retry_status": status_of_invoice(invoice.invoice_status),
            "decline_code": invoice.decline_code,
            "advice_code": invoice.advice_code,
        }
        recovery = known.model_copy(update=changes)
        last_attempt = await self._record(start, recovery, invoice)
        # Reason: a card that was added before our row was there is offered by nobody. Whoever adds
        # one now finds the row, so this look misses none.
        card_id = (await self._invoices.read(start.stripe_invoice_id)).card_id
        is_other = invoice.failed_card_id not in {None, card_id}
        return RetryOpened(
            recovery=recovery,
            attempt=last_attempt,
            offered_card_id=card_id if is_other else None,
            link=invoice.hosted_invoice_url,
        )

    async def _record(self, start: RetryStart, recovery: Recovery, invoice: UnpaidInvoice) -> int:
        async with self._sessions.begin() as session:
            await PaymentRetryRepository(session).insert(
                payment_retry_id=start.payment_retry_id,
                subscription_id=start.subscription_id,
                user_id=start.user_id,
                stripe_invoice_id=start.stripe_invoice_id,
                retry_status=recovery.retry_status,
                policy_name=start.policy.name,
                policy_version=start.policy.version,
                workflow_id=payment_retry_workflow_id(start.stripe_invoice_id),
            )
            attempts = PaymentAttemptRepository(session)
            await attempts.reserve(
                payment_retry_id=start.payment_retry_id,
                attempt=0,
                trigger=AttemptTrigger.INITIAL,
                outcome=ChargeResult.FAILED,
                decline_code=recovery.decline_code,
                advice_code=recovery.advice_code,
                stripe_payment_method_id=invoice.failed_card_id or invoice.card_id,
                stripe_payment_intent_id=invoice.stripe_payment_intent_id,
                attempted_at=recovery.waits_from,
            )
            return await attempts.last_attempt(start.payment_retry_id)

    @activity.defn
    async def save_retry(self, snapshot: RetrySnapshot) -> None:
        """Show where a recovery stands now.

        Args:
            snapshot: What the row is to say.
        """
        async with self._sessions.begin() as session:
            await PaymentRetryRepository(session).save(snapshot)
