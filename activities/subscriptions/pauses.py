"""The activities that pause a subscription and resume it."""

from contextlib import suppress

from temporalio import activity

from adapters.stripe.subscription_commands import StripeSubscriptionCommands
from domain.errors import CardDeclinedError, PaymentRefusedError
from domain.ids import command_key, subscription_workflow_id
from domain.payment_retries.declines import AUTHENTICATION_REQUIRED, NO_CARD
from domain.payment_retries.snapshots import UnpaidInvoice
from domain.subscriptions.events import resume_failed_event
from domain.subscriptions.lifecycle import CommandKind, SubscriptionStatus
from domain.subscriptions.snapshots import SubscriptionSnapshot
from domain.subscriptions.state import SyncResult
from domain.subscriptions.steps import CommandInput, ResumeInput
from services.stripe_idempotency import is_later_attempt, post_once
from services.subscriptions.changes.pause_credits import PauseCredits
from services.subscriptions.changes.planned_ends import PlannedEnds
from services.subscriptions.changes.scheduled import ScheduledChanges, refuse_foreign_schedule
from services.subscriptions.command_refusals import refuse_by_end, refusing_by_status
from services.subscriptions.stripe_sync import SubscriptionSync


class PauseActivities:
    """The activities that pause a subscription and resume it.

    Stripe credits the unused time of a paused subscription; resuming begins a new period, whose
    invoice has the credit.
    """

    def __init__(
        self,
        sync: SubscriptionSync,
        commands: StripeSubscriptionCommands,
        scheduled: ScheduledChanges,
        planned_ends: PlannedEnds,
        credits: PauseCredits,
    ) -> None:
        self._sync = sync
        self._credits = credits
        self._subscription_commands = commands
        self._scheduled = scheduled
        self._planned_ends = planned_ends

    @activity.defn
    async def pause_subscription(self, step_input: CommandInput) -> SyncResult:
        """Pause a subscription, until it is resumed or until a time; drop the change that waits.

        Args:
            step_input: The subscription and the command.

        Returns:
            The subscription's current state.

        Raises:
            IllegalCommandError: The end of the subscription is planned, or a schedule that is not
                ours manages it (`managed_at_stripe`).
            ApplicationError: Stripe refused, or is down.
        """
        stripe_id = await self._sync.stripe_id(step_input)
        is_paid = not (await self._sync.read(step_input, stripe_id)).is_period_given_up

        async def post(key: str) -> bool:
            await self._sync.subscriptions.pause(stripe_id, key, is_period_paid=is_paid)
            return True

        async def find() -> bool | None:
            snapshot = await self._sync.subscriptions.status(stripe_id)
            return snapshot.subscription_status is SubscriptionStatus.PAUSED or None

        key = _key(
            step_input, "pause" if is_paid else "pause-unpaid", str(step_input.command.command_id)
        )
        subscription = await self._sync.subscriptions.status(stripe_id)
        refuse_foreign_schedule(step_input.subscription_id, subscription)
        # Reason: an earlier attempt may have paused it already.
        if subscription.subscription_status is SubscriptionStatus.ACTIVE:
            refuse_by_end(CommandKind.PAUSE, subscription)
        async with refusing_by_status(self._sync, CommandKind.PAUSE, stripe_id):
            await self._scheduled.release(step_input.subscription_id, subscription, key)
            await post_once(key, post, find)
        resume_at = {"resume_at": step_input.command.resume_at}
        return await self._sync.sync(step_input, stripe_id, columns=resume_at)

    @activity.defn
    async def resume_subscription(self, step_input: ResumeInput) -> SyncResult:
        """Resume a paused subscription, as soon as the invoice of its new period is paid.

        An invoice that waits for the customer's authentication stays open, and so does the pause.
        An end that was planned meanwhile is taken back first; by itself, nothing is resumed then.

        Args:
            step_input: The subscription, and what asks for it.

        Returns:
            The subscription's current state; still paused if its invoice waits, or if nobody
            waits for the answer and the charge was declined.

        Raises:
            PaymentRefusedError: The charge was declined; the subscription stays paused.
            ApplicationError: Stripe refused, or is down.
        """
        stripe_id = await self._sync.stripe_id(step_input)
        before = await self._sync.subscriptions.status(stripe_id)
        if before.subscription_status is SubscriptionStatus.PAUSED:
            if step_input.is_scheduled and before.cancel_at is not None:
                return await self._stay_until_end(step_input, stripe_id)
            await self._resume(step_input, before)
        unpaid = await self._unpaid(step_input, stripe_id)
        if unpaid is None:
            return await self._sync.sync(step_input, stripe_id)
        if unpaid.decline_code != AUTHENTICATION_REQUIRED:
            await self._credits.keep(step_input, stripe_id)
        decline_code = unpaid.decline_code or NO_CARD
        if step_input.is_scheduled:
            events = (resume_failed_event(step_input.cause, decline_code),)
            failed = step_input.model_copy(update={"events": events})
            return await self._sync.sync(failed, stripe_id, columns={"resume_at": None})
        if unpaid.decline_code == AUTHENTICATION_REQUIRED:
            return await self._sync.sync(step_input, stripe_id)
        details = {"decline_code": decline_code, "advice_code": unpaid.advice_code}
        raise PaymentRefusedError("the charge for the new period was declined", details=details)

    async def _stay_until_end(self, step_input: ResumeInput, stripe_id: str) -> SyncResult:
        """Leave a subscription paused until its planned end, with nothing to pay."""
        await self._credits.keep(step_input, stripe_id)
        return await self._sync.sync(step_input, stripe_id, columns={"resume_at": None})

    async def _resume(self, step_input: ResumeInput, before: SubscriptionSnapshot) -> None:
        stripe_id = before.stripe_subscription_id

        async def post(key: str) -> bool:
            await self._subscription_commands.resume(stripe_id, key)
            return True

        async def find() -> bool | None:
            snapshot = await self._sync.read(step_input, stripe_id)
            is_paused = snapshot.subscription_status is SubscriptionStatus.PAUSED
            return not is_paused or snapshot.resumption is not None or None

        is_repeated = step_input.is_repeated or is_later_attempt()
        if not is_repeated:
            # Reason: an earlier try may have left an invoice that nobody has paid.
            await self._credits.keep(step_input, stripe_id)
        async with refusing_by_status(self._sync, CommandKind.RESUME, stripe_id):
            subscription_id, cause = step_input.subscription_id, step_input.cause
            await self._planned_ends.take_back(subscription_id, before, cause)
            with suppress(CardDeclinedError):  # the open invoice shows why
                key = _key(step_input, "resume", step_input.cause)
                await post_once(key, post, find, is_repeated=is_repeated)

    async def _unpaid(self, step_input: ResumeInput, stripe_id: str) -> UnpaidInvoice | None:
        """Return the invoice that has to be paid before the subscription goes on, if any."""
        snapshot = await self._sync.read(step_input, stripe_id)
        # Reason: if it is paused still, an earlier try of this step has voided the invoice.
        resumption = snapshot.resumption or snapshot.void_resumption
        if resumption is None:
            return None
        return await self._sync.invoices.read(resumption.stripe_invoice_id)


def _key(step_input: CommandInput | ResumeInput, purpose: str, cause: str) -> str:
    return command_key(subscription_workflow_id(step_input.subscription_id), purpose, cause)
