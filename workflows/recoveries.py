"""A subscription's recoveries, one child workflow an unpaid invoice: at most one is active."""

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import timedelta

from temporalio import workflow
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import FailureError, WorkflowAlreadyStartedError
from temporalio.workflow import ParentClosePolicy

with workflow.unsafe.imports_passed_through():
    from domain.billing import Refreshed
    from domain.ids import payment_retry_id, payment_retry_workflow_id
    from domain.retries import CLOSED, RetryStatus
    from domain.retry_messages import RetryReport, RetryStart, RetryWish, WishKind
    from workflows.payment_retry import PaymentRetryWorkflow
    from workflows.search_attributes import starting_attributes

STOP_TIMEOUT = timedelta(seconds=15)


class Recoveries:
    """Open recoveries by Stripe's invoice id, oldest first."""

    def __init__(self, known: Mapping[str, RetryStatus]) -> None:
        self.open = dict(known)

    async def start(self, refreshed: Refreshed) -> None:
        """Recover the latest unpaid invoice; older recoveries step back for it.

        Args:
            refreshed: A look at Stripe that found the subscription owing.
        """
        latest = refreshed.state.latest_stripe_invoice_id
        if latest not in refreshed.unpaid_stripe_invoice_ids or latest in self.open:
            return
        for older in self.open:
            await ask_recovery(older, WishKind.STEP_BACK)
            self.open[older] = RetryStatus.PAUSED
        if await _start_child(refreshed, latest):
            self.open[latest] = RetryStatus.WAITING

    def hear(self, report: RetryReport) -> None:
        """Take note of where a recovery says it stands."""
        if report.retry_status in CLOSED:
            self.open.pop(report.stripe_invoice_id, None)
        elif report.stripe_invoice_id in self.open:
            self.open[report.stripe_invoice_id] = report.retry_status

    async def look(self, unpaid: Collection[str]) -> None:
        """Tell recoveries whose invoice is no longer owed to look for themselves."""
        for stripe_invoice_id in [known for known in self.open if known not in unpaid]:
            await ask_recovery(stripe_invoice_id, WishKind.LOOK)

    async def go_on(self) -> None:
        """Let the newest recovery that stepped back go on, if none is active."""
        if self.open and all(status is RetryStatus.PAUSED for status in self.open.values()):
            newest = list(self.open)[-1]
            self.open[newest] = RetryStatus.WAITING
            await ask_recovery(newest, WishKind.GO_ON)

    async def offer_card(self, stripe_payment_method_id: str) -> None:
        """Let every open recovery try another card."""
        for stripe_invoice_id in self.open:
            await ask_recovery(stripe_invoice_id, WishKind.OFFER_CARD, stripe_payment_method_id)

    async def stop(self, closed_invoice_ids: Callable[[], set[str]]) -> None:
        """Stop all recoveries and wait a little for a charge in flight.

        Args:
            closed_invoice_ids: Tells which have reported their end.
        """
        for stripe_invoice_id in self.open:
            await ask_recovery(stripe_invoice_id, WishKind.STOP)
        with suppress(TimeoutError):
            await workflow.wait_condition(
                lambda: closed_invoice_ids() >= self.open.keys(),
                timeout=STOP_TIMEOUT,
                timeout_summary="charge in flight",
            )


async def ask_recovery(
    stripe_invoice_id: str,
    kind: WishKind,
    stripe_payment_method_id: str | None = None,
) -> None:
    """Put a wish into a recovery's box.

    Args:
        stripe_invoice_id: Whose recovery.
        kind: What is wished.
        stripe_payment_method_id: The card, if one is offered.
    """
    handle = workflow.get_external_workflow_handle_for(
        PaymentRetryWorkflow.run,
        payment_retry_workflow_id(stripe_invoice_id),
    )
    wish = RetryWish(kind=kind, stripe_payment_method_id=stripe_payment_method_id)
    # Reason: one that has ended meanwhile has reported so; nobody needs to be told.
    with suppress(FailureError):
        await handle.signal(PaymentRetryWorkflow.ask, wish)


async def _start_child(refreshed: Refreshed, stripe_invoice_id: str) -> bool:
    state = refreshed.state
    start = RetryStart(
        payment_retry_id=payment_retry_id(stripe_invoice_id),
        subscription_id=state.subscription_id,
        user_id=state.user_id,
        stripe_subscription_id=state.stripe_subscription_id or "",
        stripe_invoice_id=stripe_invoice_id,
        grace_ends_at=state.grace_ends_at or workflow.now(),
        policy=refreshed.policy,
    )
    try:
        await workflow.start_child_workflow(
            PaymentRetryWorkflow.run,
            start,
            id=payment_retry_workflow_id(stripe_invoice_id),
            parent_close_policy=ParentClosePolicy.ABANDON,
            # Reason: an invoice is recovered once; what ended has spoken its last word.
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            search_attributes=starting_attributes(state.user_id, state.subscription_id),
            static_summary=f"recover {stripe_invoice_id}",
        )
    except WorkflowAlreadyStartedError:
        return False
    return True
