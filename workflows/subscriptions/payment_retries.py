"""A subscription's payment retries, one child workflow an unpaid invoice: at most one is active."""

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
    """Reports of payment retries that wait to be read."""

    def __init__(self) -> None:
        self.unread: deque[RetryReport] = deque()

    def has_any(self) -> bool:
        """Tell whether a report waits."""
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
    """Open payment retries by Stripe's invoice id, oldest first."""

    def __init__(self, known: Mapping[str, RetryStatus]) -> None:
        self.open = dict(known)
        # Reason: a row can be open though its workflow is gone; the first look finds out.
        self._unchecked = set(known)

    async def align(self, result: SyncResult, given_up: Collection[str]) -> None:
        """Make what runs agree with what is owed: start, suspend, resume, and tell the rest.

        Args:
            result: A look at Stripe.
            given_up: Invoices whose last resort is still to be carried out.
        """
        owed = [known for known in result.owed_stripe_invoice_ids if known not in given_up]
        for known in [known for known in self.open if known not in owed]:
            await self._tell(known, RetryCommandKind.REFRESH)
        for stripe_invoice_id in owed:
            # Reason: the newest is collected first; the others wait for its end.
            is_suspended = stripe_invoice_id != owed[-1]
            if stripe_invoice_id not in self.open or stripe_invoice_id in self._unchecked:
                await self._start(result, stripe_invoice_id, is_suspended)
            await self._suspend_or_resume(stripe_invoice_id, is_suspended)

    def on_report(self, report: RetryReport) -> None:
        """Take note of where a payment retry says it stands."""
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
        """Stop all payment retries and wait a little for a charge in flight.

        Args:
            closed_invoice_ids: Tells which have reported their end.
        """
        for stripe_invoice_id in [
            known for known in self.open if known not in closed_invoice_ids()
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
        if await _start_child(result, stripe_invoice_id, is_suspended):
            started = RetryStatus.PAUSED if is_suspended else RetryStatus.WAITING
            self.open[stripe_invoice_id] = started
        elif stripe_invoice_id not in self.open:
            # Reason: it runs although it has reported its end; it looks whether that is true.
            await self._tell(stripe_invoice_id, RetryCommandKind.REFRESH)

    async def _suspend_or_resume(self, stripe_invoice_id: str, is_suspended: bool) -> None:
        known = self.open.get(stripe_invoice_id)
        if known is None or (known is RetryStatus.PAUSED) is is_suspended:
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
            # Reason: it is gone without a word; if its invoice is still owed, it is started again.
            self.open.pop(stripe_invoice_id, None)


async def tell_payment_retry(
    stripe_invoice_id: str,
    kind: RetryCommandKind,
    stripe_payment_method_id: str | None = None,
) -> bool:
    """Send a command to a payment retry.

    Args:
        stripe_invoice_id: Whose payment retry.
        kind: What it is to do.
        stripe_payment_method_id: The card, if one is offered.

    Returns:
        Whether there is one to be told.
    """
    handle = workflow.get_external_workflow_handle_for(
        PaymentRetryWorkflow.run,
        payment_retry_workflow_id(stripe_invoice_id),
    )
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
            static_summary=f"collect {stripe_invoice_id}",
        )
    except WorkflowAlreadyStartedError:
        return False
    return True
