"""Starts and steers a subscription's payment retries: one child workflow per unpaid invoice."""

from collections import deque
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import timedelta

from temporalio import workflow
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import FailureError, WorkflowAlreadyStartedError
from temporalio.workflow import ParentClosePolicy

with workflow.unsafe.imports_passed_through():
    from domain.ids import payment_retry_id, payment_retry_workflow_id
    from domain.payment_retries.lifecycle import CLOSED, ChargeResult, RetryStatus
    from domain.payment_retries.messages import (
        RetryCommand,
        RetryCommandKind,
        RetryReport,
        RetryStart,
    )
    from domain.subscriptions.state import SyncResult
    from workflows.payment_retries.payment_retry import PaymentRetryWorkflow
    from workflows.search_attributes import starting_attributes

STOP_TIMEOUT = timedelta(seconds=15)


class RetryReports:
    """Reports of payment retries that are not handled yet."""

    def __init__(self) -> None:
        self.unread: deque[RetryReport] = deque()

    def has_any(self) -> bool:
        """Return whether a report waits."""
        return bool(self.unread)

    def closed_invoice_ids(self) -> set[str]:
        """Return the invoices whose payment retry has reported its end."""
        closed = [report for report in self.unread if report.retry_status in CLOSED]
        return {report.stripe_invoice_id for report in closed}

    def charged_invoice_ids(self) -> set[str]:
        """Return the invoices that a payment retry has charged."""
        return {
            report.stripe_invoice_id
            for report in self.unread
            if report.outcome is not None and report.outcome.result is ChargeResult.SUCCEEDED
        }


class PaymentRetries:
    """The open payment retries by Stripe invoice id, oldest first; at most one is not suspended."""

    def __init__(self, statuses: Mapping[str, RetryStatus], imported: Collection[str] = ()) -> None:
        self.open = dict(statuses)
        # Invoices that were unpaid before the import: nothing about them is changed at Stripe.
        self.imported = set(imported)
        # Reason: a row can be open although its workflow is gone; the first sync finds out.
        self._unchecked = set(statuses)

    async def align(self, result: SyncResult, given_up: Collection[str]) -> None:
        """Align the payment retries with the owed invoices: start, suspend, resume or refresh them.

        Args:
            result: Result of the latest sync.
            given_up: Invoices whose last resort is still owed.
        """
        owed = [
            stripe_invoice_id
            for stripe_invoice_id in result.owed_stripe_invoice_ids
            if stripe_invoice_id not in given_up
        ]
        for stripe_invoice_id in [invoice_id for invoice_id in self.open if invoice_id not in owed]:
            await self._tell(stripe_invoice_id, RetryCommandKind.REFRESH)
        for stripe_invoice_id in owed:
            # Reason: the newest invoice is collected first; the others wait until it is closed.
            is_suspended = stripe_invoice_id != owed[-1]
            if stripe_invoice_id not in self.open or stripe_invoice_id in self._unchecked:
                await self._start(result, stripe_invoice_id, is_suspended)
            await self._suspend_or_resume(stripe_invoice_id, is_suspended)

    def on_report(self, report: RetryReport) -> None:
        """Update the status of a payment retry from its report."""
        if not report.is_imported:
            self.imported.discard(report.stripe_invoice_id)
        if report.retry_status in CLOSED:
            self.open.pop(report.stripe_invoice_id, None)
        elif report.stripe_invoice_id in self.open:
            self.open[report.stripe_invoice_id] = report.retry_status

    async def try_card(self, stripe_payment_method_id: str) -> None:
        """Let every open payment retry try another card."""
        for stripe_invoice_id in list(self.open):
            await self._tell(
                stripe_invoice_id,
                RetryCommandKind.TRY_CARD,
                stripe_payment_method_id,
            )

    async def stop(self, closed_invoice_ids: Callable[[], set[str]]) -> None:
        """Stop all payment retries, and wait a little for a charge in flight.

        Args:
            closed_invoice_ids: Returns the invoices whose payment retry has reported its end.
        """
        for stripe_invoice_id in [
            invoice_id for invoice_id in self.open if invoice_id not in closed_invoice_ids()
        ]:
            await self._tell(stripe_invoice_id, RetryCommandKind.STOP)
        with suppress(TimeoutError):
            await workflow.wait_condition(
                lambda: closed_invoice_ids() >= self.open.keys(),
                timeout=STOP_TIMEOUT,
                timeout_summary="charge in flight",
            )

    async def _start(
        self,
        result: SyncResult,
        stripe_invoice_id: str,
        is_suspended: bool,
    ) -> None:
        self._unchecked.discard(stripe_invoice_id)
        is_imported = stripe_invoice_id in self.imported
        if await _start_child(result, stripe_invoice_id, is_suspended, is_imported):
            is_paused = is_suspended or is_imported
            self.open[stripe_invoice_id] = RetryStatus.PAUSED if is_paused else RetryStatus.WAITING
        elif stripe_invoice_id not in self.open:
            # Reason: it still runs although it reported its end, and has to read the invoice again.
            await self._tell(stripe_invoice_id, RetryCommandKind.REFRESH)

    async def _suspend_or_resume(self, stripe_invoice_id: str, is_suspended: bool) -> None:
        current = self.open.get(stripe_invoice_id)
        if stripe_invoice_id in self.imported:
            return
        if current is None or (current is RetryStatus.PAUSED) is is_suspended:
            return
        kind = RetryCommandKind.SUSPEND if is_suspended else RetryCommandKind.RESUME
        self.open[stripe_invoice_id] = RetryStatus.PAUSED if is_suspended else RetryStatus.WAITING
        await self._tell(stripe_invoice_id, kind)

    async def _tell(
        self,
        stripe_invoice_id: str,
        kind: RetryCommandKind,
        stripe_payment_method_id: str | None = None,
    ) -> None:
        if not await tell_payment_retry(stripe_invoice_id, kind, stripe_payment_method_id):
            # Reason: its workflow is gone without a report, and is started again if money is owed.
            self.open.pop(stripe_invoice_id, None)


async def tell_payment_retry(
    stripe_invoice_id: str,
    kind: RetryCommandKind,
    stripe_payment_method_id: str | None = None,
) -> bool:
    """Send a command to a payment retry.

    Args:
        stripe_invoice_id: Invoice of the payment retry.
        kind: Kind of the command.
        stripe_payment_method_id: The card, if one is offered.

    Returns:
        Whether the payment retry's workflow was reached.
    """
    handle = workflow.get_external_workflow_handle(payment_retry_workflow_id(stripe_invoice_id))
    command = RetryCommand(kind=kind, stripe_payment_method_id=stripe_payment_method_id)
    try:
        await handle.signal(PaymentRetryWorkflow.command, command)
    except FailureError:
        return False
    return True


async def _start_child(
    result: SyncResult,
    stripe_invoice_id: str,
    is_suspended: bool,
    is_imported: bool,
) -> bool:
    state = result.state
    start = RetryStart(
        payment_retry_id=payment_retry_id(stripe_invoice_id),
        subscription_id=state.subscription_id,
        user_id=state.user_id,
        stripe_subscription_id=state.stripe_subscription_id or "",
        stripe_invoice_id=stripe_invoice_id,
        grace_ends_at=state.grace_ends_at or workflow.now() + result.policy.policy.grace,
        policy=result.policy,
        is_suspended=is_suspended,
        is_imported=is_imported,
    )
    try:
        await workflow.start_child_workflow(
            PaymentRetryWorkflow.run,
            start,
            id=payment_retry_workflow_id(stripe_invoice_id),
            parent_close_policy=ParentClosePolicy.ABANDON,
            # Reason: one that has ended without settling its invoice begins again.
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            search_attributes=starting_attributes(state.user_id, state.subscription_id),
            static_summary=f"collect {stripe_invoice_id} by policy {result.policy.name}, "
            f"user {state.user_id}",
        )
    except WorkflowAlreadyStartedError:
        return False
    return True
