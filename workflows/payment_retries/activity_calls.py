"""What a payment retry has done for it outside its workflow: activities and reports."""

from collections.abc import Callable
from contextlib import suppress

from temporalio import workflow
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from activities.payment_retries.charges import ChargeActivities
    from activities.payment_retries.payment_retries import RetryActivities
    from domain.ids import subscription_workflow_id
    from domain.payment_retries.lifecycle import RetryStatus
    from domain.payment_retries.messages import (
        ChargeInput,
        ChargeOutcome,
        LastResortRequest,
        OpenRetryInput,
        RetryOpened,
        RetryReport,
        RetrySnapshot,
        RetryStart,
    )
    from domain.workflow_names import REPORT
    from workflows.activity_options import RECORD, STRIPE_CALL
    from workflows.cancellation import run_interruptible


class RetryActivityCalls:
    """Everything that one payment retry asks of others; a stop ends its calls to Stripe."""

    def __init__(self, start: RetryStart, is_stopped: Callable[[], bool]) -> None:
        self._start = start
        self._is_stopped = is_stopped

    async def open(self, is_repeated: bool) -> RetryOpened:
        """Take the invoice over from Stripe."""
        order = OpenRetryInput(start=self._start, at=workflow.now(), is_repeated=is_repeated)
        return await run_interruptible(
            RetryActivities.open_retry,
            order,
            STRIPE_CALL,
            "take over from Stripe",
            self._is_stopped,
        )

    async def save(self, snapshot: RetrySnapshot) -> None:
        """Let the row show where the payment retry stands."""
        await workflow.execute_activity_method(
            RetryActivities.save_retry,
            snapshot,
            **RECORD,
            summary=f"show {snapshot.retry_status}",
        )

    async def refresh(self) -> ChargeOutcome:
        """Find out whether the invoice is still owed; `failed` means that it is."""
        return await run_interruptible(
            ChargeActivities.refresh_invoice,
            self._start.stripe_invoice_id,
            STRIPE_CALL,
            "read the invoice",
            self._is_stopped,
        )

    async def charge(self, order: ChargeInput) -> ChargeOutcome:
        """Charge; a charge in flight comes to its end, whoever stops us."""
        return await run_interruptible(
            ChargeActivities.charge_invoice,
            order,
            STRIPE_CALL,
            f"attempt {order.attempt}, {order.trigger}",
            self._is_stopped,
        )

    async def report(
        self,
        retry_status: RetryStatus,
        attempt: int | None,
        outcome: ChargeOutcome | None,
        last_resort: LastResortRequest | None,
    ) -> None:
        """Tell the mailbox that this payment retry belongs to."""
        report = RetryReport(
            stripe_invoice_id=self._start.stripe_invoice_id,
            retry_status=retry_status,
            attempt=attempt,
            outcome=outcome,
            last_resort=last_resort,
        )
        mailbox = workflow.get_external_workflow_handle(
            subscription_workflow_id(self._start.subscription_id),
        )
        # Reason: a mailbox that has ended needs no report; its subscription is final.
        with suppress(FailureError):
            await mailbox.signal(REPORT, report)
