"""Takes the planned end of a subscription back at Stripe."""

from dataclasses import dataclass
from uuid import UUID

from adapters.stripe.subscription_commands import StripeSubscriptionCommands
from adapters.stripe.subscriptions import StripeSubscriptions
from domain.ids import command_key, subscription_workflow_id
from domain.subscriptions.snapshots import SubscriptionSnapshot
from services.stripe_idempotency import post_once


@dataclass(frozen=True)
class PlannedEnds:
    """Takes back that a subscription ends with its period, or at a date."""

    subscriptions: StripeSubscriptions
    commands: StripeSubscriptionCommands

    async def take_back(
        self, subscription_id: UUID, subscription: SubscriptionSnapshot, cause: str
    ) -> None:
        """Let a subscription go on, whatever end is planned; without one, nothing is done.

        Args:
            subscription_id: Our id of the subscription.
            subscription: The subscription at Stripe.
            cause: Part of the idempotency keys: the command's id.

        Raises:
            ApplicationError: Stripe refused, or is down.
        """
        stripe_id = subscription.stripe_subscription_id
        workflow_id = subscription_workflow_id(subscription_id)

        async def keep_after_period(key: str) -> bool:
            await self.commands.keep_after_period(stripe_id, key)
            return True

        async def forget_end(key: str) -> bool:
            await self.commands.forget_end(stripe_id, key)
            return True

        async def find() -> bool | None:
            return (await self.subscriptions.status(stripe_id)).cancel_at is None or None

        if subscription.is_cancel_at_period_end:
            key = command_key(workflow_id, "uncancel", cause)
            await post_once(key, keep_after_period, find)
        elif subscription.cancel_at is not None:
            key = command_key(workflow_id, "uncancel-date", cause)
            await post_once(key, forget_end, find)
