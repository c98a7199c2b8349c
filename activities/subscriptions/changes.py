"""The activities that change what a subscription costs: plan, quantity and discount."""

from temporalio import activity

from domain.errors import IllegalCommandError, InternalError
from domain.ids import command_key, subscription_workflow_id
from domain.subscriptions.lifecycle import RefusalCode
from domain.subscriptions.previews import ChangeTerms
from domain.subscriptions.snapshots import SubscriptionSnapshot
from domain.subscriptions.state import SyncResult
from domain.subscriptions.steps import CommandInput
from services.subscriptions.changes.at_once import SubscriptionChanges
from services.subscriptions.changes.previews import ChangePreviews
from services.subscriptions.changes.scheduled import ScheduledChanges, refuse_foreign_schedule
from services.subscriptions.changes.unpaid_credits import UnpaidCredits
from services.subscriptions.command_refusals import refuse_by_end
from services.subscriptions.stripe_sync import SubscriptionSync


class SubscriptionChangeActivities:
    """The activities that change plan, quantity and discount at a person's command."""

    def __init__(
        self,
        sync: SubscriptionSync,
        changes: SubscriptionChanges,
        scheduled: ScheduledChanges,
        previews: ChangePreviews,
        unpaid_credits: UnpaidCredits,
    ) -> None:
        self._sync = sync
        self._terms = changes
        self._scheduled = scheduled
        self._previews = previews
        self._unpaid_credits = unpaid_credits

    @activity.defn
    async def change_subscription_plan(self, step_input: CommandInput) -> SyncResult:
        """Change plan or quantity at once, if that is paid; drop the change that waits.

        Args:
            step_input: The subscription and the command with its new terms.

        Returns:
            The subscription's current state.

        Raises:
            PaymentRefusedError: The change was not paid, and nothing has changed.
            IllegalCommandError: A schedule that is not ours manages it (`managed_at_stripe`), or
                it would credit what nobody has paid (`period_not_paid`).
            ApplicationError: Stripe refused, or is down.
        """
        subscription, key = await self._read(step_input), _key(step_input)
        terms, command_id = _terms(step_input), step_input.command.command_id
        subscription_id, stripe_id = step_input.subscription_id, subscription.stripe_subscription_id
        await self._unpaid_credits.refuse(subscription_id, stripe_id, terms, key)
        await self._scheduled.release(step_input.subscription_id, subscription, key)
        await self._terms.change(subscription, terms, command_id, key)
        return await self._sync.sync(step_input, subscription.stripe_subscription_id)

    @activity.defn
    async def schedule_change(self, step_input: CommandInput) -> SyncResult:
        """Plan a change of plan or quantity for the end of the period, in place of any other.

        Args:
            step_input: The subscription and the command with its new terms.

        Returns:
            The subscription's current state.

        Raises:
            IllegalCommandError: The subscription ends with the period, or a schedule that is not
                ours manages it (`managed_at_stripe`).
            ApplicationError: Stripe refused, or is down.
        """
        stripe_id = await self._sync.stripe_id(step_input)
        subscription = await self._sync.subscriptions.status(stripe_id)
        if not await self._scheduled.is_begun_by_us(subscription):
            refuse_foreign_schedule(step_input.subscription_id, subscription)
        refuse_by_end(step_input.command.kind, subscription)
        await self._scheduled.plan(
            step_input.subscription_id,
            subscription,
            _terms(step_input),
            step_input.command.command_id,
            _key(step_input),
        )
        return await self._sync.sync(step_input, subscription.stripe_subscription_id)

    @activity.defn
    async def cancel_scheduled_change(self, step_input: CommandInput) -> SyncResult:
        """Drop the change that waits for the end of the period.

        Args:
            step_input: The subscription and the command.

        Returns:
            The subscription's current state.

        Raises:
            IllegalCommandError: No change waits, or a schedule that is not ours manages the
                subscription (`managed_at_stripe`).
            ApplicationError: Stripe refused, or is down.
        """
        subscription = await self._read(step_input)
        row = await self._sync.row(step_input)
        if subscription.stripe_schedule_id is None and row.scheduled_change_data is None:
            raise _illegal("no change waits for the end of the period", subscription)
        await self._scheduled.release(step_input.subscription_id, subscription, _key(step_input))
        return await self._sync.sync(step_input, subscription.stripe_subscription_id)

    @activity.defn
    async def change_discount(self, step_input: CommandInput) -> SyncResult:
        """Apply the discount of a coupon or promotion code in place of all others, or remove it.

        Args:
            step_input: The subscription and the command with its coupon or promotion code.

        Returns:
            The subscription's current state.

        Raises:
            NotFoundError: There is no such coupon or promotion code.
            ConflictError: Stripe refused the discount (`discount_refused`).
            IllegalCommandError: A schedule that is not ours manages it (`managed_at_stripe`).
            ApplicationError: Stripe is down.
        """
        stripe_id, key = (await self._read(step_input)).stripe_subscription_id, _key(step_input)
        command = step_input.command
        coupon = await self._previews.coupon(command.coupon, command.promotion_code)
        if coupon is None:
            await self._terms.remove_discount(stripe_id, key)
        else:
            await self._terms.apply_discount(stripe_id, coupon, key)
        await self._scheduled.keep(step_input.subscription_id, stripe_id, key)
        return await self._sync.sync(step_input, stripe_id)

    async def _read(self, step_input: CommandInput) -> SubscriptionSnapshot:
        """Return the subscription at Stripe, unless a schedule that is not ours manages it."""
        stripe_id = await self._sync.stripe_id(step_input)
        subscription = await self._sync.subscriptions.status(stripe_id)
        refuse_foreign_schedule(step_input.subscription_id, subscription)
        return subscription


def _terms(step_input: CommandInput) -> ChangeTerms:
    if step_input.command.terms is None:
        raise InternalError("a change of plan or quantity needs new terms")
    return step_input.command.terms


def _illegal(message: str, subscription: SubscriptionSnapshot) -> IllegalCommandError:
    details = {"subscription_status": subscription.subscription_status}
    return IllegalCommandError(message, RefusalCode.ILLEGAL_COMMAND, details)


def _key(step_input: CommandInput) -> str:
    workflow_id = subscription_workflow_id(step_input.subscription_id)
    return command_key(workflow_id, "change", step_input.command.command_id)
