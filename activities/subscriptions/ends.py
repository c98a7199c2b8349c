"""The activities of commands that plan the end of a subscription, or take it back."""

from temporalio import activity

from adapters.stripe.subscription_commands import StripeSubscriptionCommands
from domain.ids import command_key, subscription_workflow_id
from domain.subscriptions.state import SyncResult
from domain.subscriptions.steps import CommandInput
from services.stripe_idempotency import post_once
from services.subscriptions.changes.planned_ends import PlannedEnds
from services.subscriptions.changes.scheduled import ScheduledChanges
from services.subscriptions.command_refusals import refusing_by_status
from services.subscriptions.stripe_sync import SubscriptionSync


class SubscriptionEndActivities:
    """The activities that let a subscription end with its period, or go on after it."""

    def __init__(
        self,
        sync: SubscriptionSync,
        commands: StripeSubscriptionCommands,
        scheduled: ScheduledChanges,
        planned_ends: PlannedEnds,
    ) -> None:
        self._sync = sync
        self._subscription_commands = commands
        self._scheduled = scheduled
        self._planned_ends = planned_ends

    @activity.defn
    async def cancel_at_period_end(self, step_input: CommandInput) -> SyncResult:
        """Let a subscription end with its current period, and drop the change that waits.

        Args:
            step_input: The subscription and the command.

        Returns:
            The subscription's current state.

        Raises:
            ApplicationError: Stripe refused, or is down.
        """
        stripe_id = await self._sync.stripe_id(step_input)

        async def post(key: str) -> bool:
            await self._subscription_commands.cancel_at_period_end(stripe_id, key)
            return True

        async def find() -> bool | None:
            snapshot = await self._sync.subscriptions.status(stripe_id)
            return snapshot.is_ending_with_period or None

        key = _key(step_input, "cancel-at-period-end")
        subscription = await self._sync.subscriptions.status(stripe_id)
        async with refusing_by_status(self._sync, step_input.command.kind, stripe_id):
            await self._scheduled.release(step_input.subscription_id, subscription, key)
            await post_once(key, post, find)
        return await self._sync.sync(step_input, stripe_id)

    @activity.defn
    async def uncancel_subscription(self, step_input: CommandInput) -> SyncResult:
        """Let a subscription go on after its current period, whatever end was planned.

        Args:
            step_input: The subscription and the command.

        Returns:
            The subscription's current state.

        Raises:
            ApplicationError: Stripe refused, or is down.
        """
        stripe_id = await self._sync.stripe_id(step_input)
        planned = await self._sync.subscriptions.status(stripe_id)
        async with refusing_by_status(self._sync, step_input.command.kind, stripe_id):
            cause = str(step_input.command.command_id)
            await self._planned_ends.take_back(step_input.subscription_id, planned, cause)
        return await self._sync.sync(step_input, stripe_id)


def _key(step_input: CommandInput, purpose: str) -> str:
    workflow_id = subscription_workflow_id(step_input.subscription_id)
    return command_key(workflow_id, purpose, str(step_input.command.command_id))
