"""How `SubscriptionWorkflow` creates a subscription at Stripe, and looks at it."""

from temporalio import activity

from activities.customers import ensure_customer
from activities.subscription_desk import SubscriptionDesk
from domain.billing import Refreshed, SubscriptionOrder
from domain.errors import NotFoundError
from domain.ids import subscription_workflow_id


class SubscriptionActivities:
    """A subscription at Stripe and its view here, brought to agree."""

    def __init__(self, desk: SubscriptionDesk) -> None:
        self._desk = desk

    @activity.defn
    async def create_subscription(self, order: SubscriptionOrder) -> Refreshed:
        """Create the subscription at Stripe once, however often this is tried.

        Args:
            order: With the request.

        Returns:
            The new subscription; a declined card leaves it incomplete.

        Raises:
            ApplicationError: Stripe refused, or is down.
        """
        if order.request is None:
            raise NotFoundError("there is nothing to create")
        desk = self._desk
        customer_id = await ensure_customer(order.request.user_id, desk.customers, desk.sessions)
        stripe_id = None
        if activity.info().attempt > 1:
            # Reason: the answer of an earlier try may be lost, and its key may be used up.
            stripe_id = await desk.subscriptions.find(order.subscription_id, customer_id)
        if stripe_id is None:
            key = f"{subscription_workflow_id(order.subscription_id)}:create"
            stripe_id = await desk.subscriptions.create(
                order.subscription_id,
                customer_id,
                order.request,
                await desk.has_card(order.request),
                key,
            )
        return await desk.look(order, stripe_id)

    @activity.defn
    async def refresh_subscription(self, order: SubscriptionOrder) -> Refreshed:
        """Look at Stripe and bring the view up to date.

        Args:
            order: With the hints and the notes that go into the same transaction.

        Returns:
            The subscription as it is now.

        Raises:
            ApplicationError: Stripe does not know it, or is down.
        """
        return await self._desk.look(order, await self._desk.stripe_id(order))
