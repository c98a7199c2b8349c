"""What a recovery has done for it outside its workflow: activities and reports."""

import asyncio
from contextlib import suppress

from temporalio import workflow
from temporalio.exceptions import ActivityError, FailureError

with workflow.unsafe.imports_passed_through():
    from activities.charges import ChargeActivities
    from activities.retries import RetryActivities
    from domain.errors import ProviderRejectedError
    from domain.ids import subscription_workflow_id
    from domain.retries import AttemptTrigger, ChargeResult, Recovery, RetryStatus
    from domain.retry_messages import (
        ChargeOrder,
        ChargeOutcome,
        LastResortOrder,
        RetryOpened,
        RetryReport,
        RetrySnapshot,
        RetryStart,
    )
    from workflows.signals import REPORT
    from workflows.timeouts import RECORD, STRIPE_CALL


class RetryDesk:
    """Everything that one recovery asks of others."""

    def __init__(self, start: RetryStart) -> None:
        self._start = start

    async def open(self, recovery: Recovery) -> RetryOpened:
        """Take the invoice over from Stripe."""
        return await workflow.execute_activity_method(
            RetryActivities.open_retry,
            self._start.model_copy(update={"recovery": recovery}),
            **STRIPE_CALL,
            summary="take over from Stripe",
        )

    async def save(self, snapshot: RetrySnapshot) -> None:
        """Let the row show where the recovery stands."""
        await workflow.execute_activity_method(
            RetryActivities.save_retry,
            snapshot,
            **RECORD,
            summary=f"show {snapshot.retry_status}",
        )

    async def look(self) -> ChargeOutcome:
        """Find out whether the invoice is still owed; `failed` means that it is."""
        return await workflow.execute_activity_method(
            ChargeActivities.look_at_invoice,
            self._start.stripe_invoice_id,
            **STRIPE_CALL,
            summary="look at the invoice",
        )

    async def charge(
        self,
        attempt: int,
        trigger: AttemptTrigger,
        card: str | None,
    ) -> ChargeOutcome:
        """Charge, and see the charge to its end even if this workflow is canceled."""
        order = ChargeOrder(
            payment_retry_id=self._start.payment_retry_id,
            stripe_subscription_id=self._start.stripe_subscription_id,
            stripe_invoice_id=self._start.stripe_invoice_id,
            attempt=attempt,
            trigger=trigger,
            attempted_at=workflow.now(),
            stripe_payment_method_id=card,
        )
        charge = asyncio.ensure_future(
            workflow.execute_activity_method(
                ChargeActivities.charge_invoice,
                order,
                **STRIPE_CALL,
                summary=f"attempt {order.attempt}, {order.trigger}",
            ),
        )
        try:
            # Reason: whoever cancels us must not leave a charge without its record.
            return await asyncio.shield(charge)
        except asyncio.CancelledError:
            await charge
            raise
        except ActivityError as error:
            # Reason: refused for good; a person or another card can help, a retry cannot.
            workflow.logger.error("charge refused", extra={"cause": str(error.cause)})
            code = ProviderRejectedError.code
            return ChargeOutcome(result=ChargeResult.FAILED, decline_code=code)

    async def report(
        self,
        retry_status: RetryStatus,
        attempt: int | None,
        outcome: ChargeOutcome | None,
        last_resort: LastResortOrder | None,
    ) -> None:
        """Tell the mailbox that this recovery belongs to."""
        report = RetryReport(
            stripe_invoice_id=self._start.stripe_invoice_id,
            retry_status=retry_status,
            attempt=attempt,
            outcome=outcome,
            last_resort=last_resort,
            older_invoices=self._start.policy.policy.older_invoices,
        )
        mailbox = workflow.get_external_workflow_handle(
            subscription_workflow_id(self._start.subscription_id),
        )
        # Reason: a mailbox that has ended needs no report; its subscription is final.
        with suppress(FailureError):
            await mailbox.signal(REPORT, report)
