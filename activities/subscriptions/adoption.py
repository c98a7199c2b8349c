"""The activity that adopts a subscription which was not made by this product."""

from temporalio import activity

from domain.stripe_operations import AdoptSubscription, StripeOperationResult
from services.subscriptions.adoption import SubscriptionAdoption


class AdoptionActivities:
    """The activity that finds the owner of a subscription at Stripe."""

    def __init__(self, adoption: SubscriptionAdoption) -> None:
        self._adoption = adoption

    @activity.defn
    async def adopt_subscription(self, operation: AdoptSubscription) -> StripeOperationResult:
        """Find the owner of a subscription at Stripe, and settle the events that named it.

        Args:
            operation: The subscription, and the events.

        Returns:
            Our id of the subscription; the operation's own id if it belongs to no user of ours.

        Raises:
            ApplicationError: Stripe or Temporal is down.
        """
        adopted_id = await self._adoption.adopt_named(
            operation.stripe_subscription_id, operation.stripe_event_ids
        )
        return StripeOperationResult(resource_id=adopted_id or operation.resource_id)
