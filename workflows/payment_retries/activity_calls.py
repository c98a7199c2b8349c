"""Calls of a payment retry's activities, and its reports to the subscription's workflow."""

from collections.abc import Callable
from contextlib import suppress

from temporalio import workflow
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from activities.payment_retries.charges import ChargeActivities
    from activities.payment_retries.payment_retries import RetryActivities
    from domain.ids import subscription_workflow_id
    from domain.notifications import SaveRetryInput
    from domain.payment_retries.lifecycle import RetryStatus
    from domain.payment_retries.messages import (
        ChargeInput,
        ChargeOutcome,
        LastResortRequest,
        OpenRetryInput,
        OpenRetryResult,
        RetryReport,
        RetryStart,
    )
    from domain.workflow_names import REPORT
    from workflows.activity_options import RECORD, STRIPE_CALL
    from workflows.cancellation import run_interruptible


class RetryActivityCalls:
    """The activity calls and reports of one payment retry; a stop interrupts calls to Stripe."""

    def __init__(self, start: RetryStart, is_stopped: Callable[[], bool]) -> None:
        self._start = start
        self._is_stopped = is_stopped

    async def open(self, is_repeated: bool, is_imported: bool) -> OpenRetryResult:
        """Take over the invoice's collection from Stripe; if imported, only read the invoice."""
        activity_input = OpenRetryInput(
            start=self._start,
            at=workflow.now(),
            is_repeated=is_repeated,
            is_imported=is_imported,
        )
        return await run_interruptible(
            RetryActivities.open_retry,
            activity_input,
            STRIPE_CALL,
            "take over the collection from Stripe",
            self._is_stopped,
        )

    async def save(self, save_input: SaveRetryInput) -> None:
        """Write the payment retry's state into its row, and the mail that tells it."""
        await workflow.execute_activity_method(
            RetryActivities.save_retry,
            save_input,
            **RECORD,
            summary=f"show {save_input.retry_status}",
        )

    async def refresh(self) -> ChargeOutcome:
        """Read whether the invoice is still owed; `failed` means that it is."""
        return await run_interruptible(
            ChargeActivities.refresh_invoice,
            self._start.stripe_invoice_id,
            STRIPE_CALL,
            "read the invoice",
            self._is_stopped,
        )

    async def charge(self, charge_input: ChargeInput) -> ChargeOutcome:
        """Charge the invoice; a charge in flight is finished even after a stop."""
        return await run_interruptible(
            ChargeActivities.charge_invoice,
            charge_input,
            STRIPE_CALL,
            f"attempt {charge_input.attempt}, {charge_input.trigger}",
            self._is_stopped,
        )

    async def report(
        self,
        retry_status: RetryStatus,
        attempt: int | None,
        outcome: ChargeOutcome | None,
        last_resort: LastResortRequest | None,
        is_imported: bool,
    ) -> None:
        """Send a report to the subscription's workflow."""
        report = RetryReport(
            stripe_invoice_id=self._start.stripe_invoice_id,
            retry_status=retry_status,
            attempt=attempt,
            outcome=outcome,
            last_resort=last_resort,
            is_imported=is_imported,
        )
        mailbox = workflow.get_external_workflow_handle(
            subscription_workflow_id(self._start.subscription_id),
        )
        # Reason: a subscription whose workflow has ended is final and needs no report.
        with suppress(FailureError):
            await mailbox.signal(REPORT, report)
