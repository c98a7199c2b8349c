"""The activities of the last resort: give up invoices, and end or pause their subscription."""

from temporalio import activity

from adapters.stripe.subscriptions import StripeSubscriptions
from database.subscriptions.subscriptions import SubscriptionRepository
from domain.errors import IllegalCommandError, InvalidInputError
from domain.ids import late_refund_id, payment_retry_workflow_id, subscription_workflow_id
from domain.payment_retries.messages import LastResortRequest
from domain.payment_retries.policy import LastResort
from domain.payments.messages import RefundInput
from domain.subscriptions.events import last_resort_event
from domain.subscriptions.lifecycle import FINAL, SubscriptionStatus
from domain.subscriptions.snapshots import SubscriptionSnapshot
from domain.subscriptions.state import SyncResult
from domain.subscriptions.steps import (
    LastResortInput,
    RefundPaymentsInput,
    SubscriptionInput,
    VoidAllInput,
    VoidInput,
)
from services.payments.commands import PaymentCommands
from services.stripe_idempotency import is_later_attempt, post_once
from services.subscriptions.changes.scheduled import ScheduledChanges
from services.subscriptions.stripe_sync import SubscriptionSync

_PAID_UP = frozenset({SubscriptionStatus.ACTIVE, SubscriptionStatus.TRIALING})
PAID_TOO_LATE = "paid after the subscription had ended"


class LastResortActivities:
    """The activities that give up invoices and subscriptions as the policy says."""

    def __init__(
        self, sync: SubscriptionSync, payments: PaymentCommands, scheduled: ScheduledChanges
    ) -> None:
        self._sync = sync
        self._payments = payments
        self._scheduled = scheduled

    @activity.defn
    async def execute_last_resort(self, step_input: LastResortInput) -> SyncResult:
        """Execute the policy's last resort, unless the invoice was paid or closed meanwhile.

        Args:
            step_input: The subscription, and the last resort to execute.

        Returns:
            The subscription's current state.

        Raises:
            ApplicationError: Stripe refused, or is down.
        """
        stripe_id, request = await self._sync.stripe_id(step_input), step_input.request
        # Reason: an earlier attempt may have ended the subscription while this invoice was open.
        late_ids = (request.stripe_invoice_id,)
        step_input = step_input.model_copy(update={"late_stripe_invoice_ids": late_ids})
        status = await self._sync.invoices.status(request.stripe_invoice_id)
        is_marked = status == "uncollectible" and await self._is_marked_by_us(step_input, request)
        if status != "open" and not is_marked:
            return await self._sync.sync(step_input, stripe_id)  # paid, or closed by support
        snapshot = await self._sync.subscriptions.status(stripe_id)
        # Reason: the subscription seems to be paid up if we marked its invoice uncollectible.
        is_invoice_only = snapshot.subscription_status in _PAID_UP and not is_marked
        event = last_resort_event(request, is_invoice_only=is_invoice_only)
        step_input = step_input.model_copy(update={"events": (*step_input.events, event)})
        written_off = None
        if request.last_resort is LastResort.MARK_UNCOLLECTIBLE:
            await self._mark_uncollectible(request)
            written_off = request.stripe_invoice_id
            # Reason: this stores that the invoice is written off, in case the worker stops here.
            await self._sync.sync(step_input, stripe_id, written_off_invoice_id=written_off)
        if is_invoice_only:
            await self._give_up_invoice(request)
        else:
            await self._end(step_input, request, snapshot)
        return await self._sync.sync(step_input, stripe_id, written_off_invoice_id=written_off)

    @activity.defn
    async def void_invoices(self, step_input: VoidInput) -> SyncResult:
        """Void older invoices that the policy gives up once a newer one is closed.

        Args:
            step_input: The subscription and the invoices.

        Returns:
            The subscription's current state.

        Raises:
            ApplicationError: Stripe refused, or is down.
        """
        for stripe_invoice_id in step_input.stripe_invoice_ids:
            await self._sync.void(stripe_invoice_id, _key(stripe_invoice_id, "void"))
        return await self._sync.sync(step_input, await self._sync.stripe_id(step_input))

    @activity.defn
    async def void_all_invoices(self, step_input: VoidAllInput) -> SyncResult:
        """Void all open invoices of a canceled subscription.

        Args:
            step_input: The subscription.

        Returns:
            The subscription's current state.

        Raises:
            ApplicationError: Stripe refused, or is down.
        """
        stripe_id = await self._sync.stripe_id(step_input)
        key = f"{subscription_workflow_id(step_input.subscription_id)}:void_all"
        await self._sync.void_all(stripe_id, key)
        return await self._sync.sync(step_input, stripe_id)

    @activity.defn
    async def refund_payments(self, step_input: RefundPaymentsInput) -> SyncResult:
        """Refund payments that were made for a subscription after we ended it.

        Args:
            step_input: The subscription and the payments.

        Returns:
            The subscription's current state.

        Raises:
            ApplicationError: Stripe refused, or the answer is late.
        """
        for payment_id in step_input.payment_ids:
            refund = RefundInput(
                payment_id=payment_id,
                refund_id=late_refund_id(payment_id),
                reason=PAID_TOO_LATE,
            )
            try:
                await self._payments.refund(refund)
            except IllegalCommandError:
                continue  # the payment was refunded already, or is disputed
            except InvalidInputError as error:
                if error.error_code != "refund_exceeds_payment":
                    raise  # otherwise another refund of the whole rest is under way
        return await self._sync.sync(step_input, await self._sync.stripe_id(step_input))

    async def _is_marked_by_us(
        self, step_input: SubscriptionInput, request: LastResortRequest
    ) -> bool:
        if request.last_resort is not LastResort.MARK_UNCOLLECTIBLE:
            return False  # support marked the invoice uncollectible
        row = await self._sync.row(step_input)
        return row.is_written_off or step_input.is_repeated or is_later_attempt()

    async def _mark_uncollectible(self, request: LastResortRequest) -> None:
        async def post(key: str) -> str:
            await self._sync.invoices.mark_uncollectible(request.stripe_invoice_id, key)
            return "uncollectible"

        if (await self._status_unless_open(request.stripe_invoice_id)) is None:
            key = _key(request.stripe_invoice_id, "uncollectible")
            await post_once(key, post, lambda: self._status_unless_open(request.stripe_invoice_id))

    async def _status_unless_open(self, stripe_invoice_id: str) -> str | None:
        status = await self._sync.invoices.status(stripe_invoice_id)
        return None if status == "open" else status

    async def _give_up_invoice(self, request: LastResortRequest) -> None:
        invoice_id = request.stripe_invoice_id
        if request.last_resort is not LastResort.MARK_UNCOLLECTIBLE:
            await self._sync.void(invoice_id, _key(invoice_id, "void"))

    async def _end(
        self,
        step_input: SubscriptionInput,
        request: LastResortRequest,
        snapshot: SubscriptionSnapshot,
    ) -> None:
        last_resort, stripe_id = request.last_resort, snapshot.stripe_subscription_id
        if last_resort is LastResort.MARK_UNCOLLECTIBLE:
            # Reason: an uncollectible invoice alone makes Stripe report the subscription as active.
            last_resort = request.after_uncollectible
        key = _key(request.stripe_invoice_id, "last_resort")
        if last_resort is LastResort.CANCEL:
            async with self._sync.sessions.begin() as session:
                await SubscriptionRepository(session).mark_ended_by_us(step_input.subscription_id)
            await self._sync.subscriptions.cancel(stripe_id)
            await self._sync.void_all(stripe_id, key)
            return
        if snapshot.subscription_status not in {SubscriptionStatus.PAUSED, *FINAL}:
            # Reason: Stripe pauses no subscription that a schedule manages.
            await self._scheduled.release(step_input.subscription_id, snapshot, key)
            await _pause(self._sync.subscriptions, stripe_id, key)
        # Reason: voided before the pause, the subscription would seem to be paid up.
        await self._give_up_invoice(request)


async def _pause(subscriptions: StripeSubscriptions, stripe_id: str, key: str) -> None:
    async def find() -> bool | None:
        snapshot = await subscriptions.status(stripe_id)
        return snapshot.subscription_status is SubscriptionStatus.PAUSED or None

    async def post(numbered_key: str) -> bool:
        # Reason: the next resume would be cheaper by what nobody has paid.
        await subscriptions.pause(stripe_id, numbered_key, is_period_paid=False)
        return True

    await post_once(key, post, find)


def _key(stripe_invoice_id: str, purpose: str) -> str:
    return f"{payment_retry_workflow_id(stripe_invoice_id)}:{purpose}"
