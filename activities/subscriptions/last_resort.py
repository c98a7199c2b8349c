"""What payment retries ask of a subscription, having tried all else."""

from temporalio import activity

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
from services.stripe_idempotency import is_later_try, post_once
from services.subscriptions.stripe_sync import SubscriptionSync

_PAID_UP = frozenset({SubscriptionStatus.ACTIVE, SubscriptionStatus.TRIALING})
PAID_TOO_LATE = "paid after the subscription had ended"


class LastResortActivities:
    """Gives up invoices, and the subscriptions that they belong to, as the policy says."""

    def __init__(self, desk: SubscriptionSync, payments: PaymentCommands) -> None:
        self._desk = desk
        self._payments = payments

    @activity.defn
    async def execute_last_resort(self, order: LastResortInput) -> SyncResult:
        """Do what the policy says when all retries have failed; asks the present state first.

        Args:
            order: With what to do.

        Returns:
            The subscription as it is now.

        Raises:
            ApplicationError: Stripe refused, or is down.
        """
        stripe_id, wanted = await self._desk.stripe_id(order), order.request
        status = await self._desk.invoices.status(wanted.stripe_invoice_id)
        is_marked = status == "uncollectible" and await self._is_marked_by_us(order, wanted)
        if status != "open" and not is_marked:
            return await self._desk.look(order, stripe_id)  # paid, or closed by support
        seen = await self._desk.subscriptions.status(stripe_id)
        # Reason: marked uncollectible by us, it only looks as if it were paid up.
        is_invoice_only = seen.subscription_status in _PAID_UP and not is_marked
        event = last_resort_event(wanted, is_invoice_only=is_invoice_only)
        order = order.model_copy(update={"events": (*order.events, event)})
        written_off = None
        if wanted.last_resort is LastResort.MARK_UNCOLLECTIBLE:
            await self._mark_uncollectible(wanted)
            written_off = wanted.stripe_invoice_id
            # Reason: written in the transaction that follows, and remembered if we die here.
            await self._desk.look(order, stripe_id, written_off_invoice_id=written_off)
        if is_invoice_only:
            await self._give_up_invoice(wanted)
        else:
            await self._end(order, wanted, seen)
        return await self._desk.look(order, stripe_id, written_off_invoice_id=written_off)

    @activity.defn
    async def void_invoices(self, order: VoidInput) -> SyncResult:
        """Void older invoices that the policy gives up once a newer one is closed.

        Args:
            order: With the invoices.

        Returns:
            The subscription as it is now.

        Raises:
            ApplicationError: Stripe refused, or is down.
        """
        for stripe_invoice_id in order.stripe_invoice_ids:
            await self._desk.void(stripe_invoice_id, _key(stripe_invoice_id, "void"))
        return await self._desk.look(order, await self._desk.stripe_id(order))

    @activity.defn
    async def void_all_invoices(self, order: VoidAllInput) -> SyncResult:
        """Void all that is still open of a subscription that was canceled.

        Args:
            order: Of which subscription.

        Returns:
            The subscription as it is now.

        Raises:
            ApplicationError: Stripe refused, or is down.
        """
        stripe_id = await self._desk.stripe_id(order)
        key = f"{subscription_workflow_id(order.subscription_id)}:void_all"
        await self._desk.void_all(stripe_id, key)
        return await self._desk.look(order, stripe_id)

    @activity.defn
    async def refund_payments(self, order: RefundPaymentsInput) -> SyncResult:
        """Pay back what was paid for a subscription that we had ended.

        Args:
            order: With the payments.

        Returns:
            The subscription as it is now.

        Raises:
            ApplicationError: Stripe refused, or the answer is late.
        """
        for payment_id in order.payment_ids:
            refund = RefundInput(
                payment_id=payment_id,
                refund_id=late_refund_id(payment_id),
                reason=PAID_TOO_LATE,
            )
            try:
                await self._payments.refund(refund)
            except IllegalCommandError:
                continue  # somebody has paid it back, or disputes it
            except InvalidInputError as error:
                if error.error_code != "refund_exceeds_payment":
                    raise  # else a refund of all that was left is on its way
        return await self._desk.look(order, await self._desk.stripe_id(order))

    async def _is_marked_by_us(self, order: SubscriptionInput, wanted: LastResortRequest) -> bool:
        if wanted.last_resort is not LastResort.MARK_UNCOLLECTIBLE:
            return False  # support has given it up
        row = await self._desk.row(order)
        return row.is_written_off or order.is_repeated or is_later_try()

    async def _mark_uncollectible(self, wanted: LastResortRequest) -> None:
        async def post(key: str) -> str:
            await self._desk.invoices.mark_uncollectible(wanted.stripe_invoice_id, key)
            return "uncollectible"

        if (await self._unless_open(wanted.stripe_invoice_id)) is None:
            key = _key(wanted.stripe_invoice_id, "uncollectible")
            await post_once(key, post, lambda: self._unless_open(wanted.stripe_invoice_id))

    async def _unless_open(self, stripe_invoice_id: str) -> str | None:
        status = await self._desk.invoices.status(stripe_invoice_id)
        return None if status == "open" else status

    async def _give_up_invoice(self, wanted: LastResortRequest) -> None:
        if wanted.last_resort is not LastResort.MARK_UNCOLLECTIBLE:
            await self._desk.void(wanted.stripe_invoice_id, _key(wanted.stripe_invoice_id, "void"))

    async def _end(
        self,
        order: SubscriptionInput,
        wanted: LastResortRequest,
        seen: SubscriptionSnapshot,
    ) -> None:
        end, stripe_id = wanted.last_resort, seen.stripe_subscription_id
        if end is LastResort.MARK_UNCOLLECTIBLE:
            # Reason: alone it makes Stripe report the subscription as active.
            end = wanted.after_uncollectible
        key = _key(wanted.stripe_invoice_id, "last_resort")
        if end is LastResort.CANCEL:
            async with self._desk.sessions.begin() as session:
                await SubscriptionRepository(session).note_end(order.subscription_id)
            await self._desk.subscriptions.cancel(stripe_id)
            await self._desk.void_all(stripe_id, key)
            return
        if seen.subscription_status not in {SubscriptionStatus.PAUSED, *FINAL}:
            await self._pause(stripe_id, key)
        # Reason: after the pause. Voided first, the subscription would look as if it were paid up.
        await self._give_up_invoice(wanted)

    async def _pause(self, stripe_id: str, key: str) -> None:
        async def find() -> bool | None:
            seen = await self._desk.subscriptions.status(stripe_id)
            return seen.subscription_status is SubscriptionStatus.PAUSED or None

        async def post(numbered: str) -> bool:
            await self._desk.subscriptions.pause(stripe_id, numbered)
            return True

        await post_once(key, post, find)


def _key(stripe_invoice_id: str, purpose: str) -> str:
    return f"{payment_retry_workflow_id(stripe_invoice_id)}:{purpose}"
