"""How `SubscriptionWorkflow` creates a subscription at Stripe, and looks at it."""

from temporalio import activity

from database.subscriptions.subscriptions import SubscriptionRepository
from domain.errors import NotFoundError
from domain.ids import subscription_workflow_id
from domain.subscriptions.messages import Refreshed, SubscriptionOrder, SubscriptionRequest
from services.payments.customers import StripeCustomerOf
from services.stripe_idempotency import post_once
from services.subscriptions.stripe_sync import SubscriptionDesk
from services.subscriptions.view import unchanged


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
        row = await self._desk.row(order)
        request = order.request.model_copy(update={"trial_days": row.trial_days})
        owner = StripeCustomerOf(request.user_id, self._desk.customers, self._desk.sessions)

        async def create(stripe_customer_id: str) -> str:
            return await self._create(order, request, stripe_customer_id)

        stripe_id = row.stripe_subscription_id
        if stripe_id is None:
            stripe_id = await owner.use(create)
        return await self._desk.look(order, stripe_id)

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
        row = await self._desk.row(order)
        stripe_id = row.stripe_subscription_id or await self._desk.find(row)
        if stripe_id is None:
            return await unchanged(self._desk.sessions, order)
        return await self._desk.look(order, stripe_id)

    async def _create(
        self,
        order: SubscriptionOrder,
        request: SubscriptionRequest,
        stripe_customer_id: str,
    ) -> str:
        desk = self._desk
        async with desk.sessions.begin() as session:
            # Reason: a cancel must know whether there can be anything at Stripe.
            await SubscriptionRepository(session).note_creation(order.subscription_id, order.at)

        async def find() -> str | None:
            return await desk.subscriptions.find(order.subscription_id, stripe_customer_id)

        async def post(key: str) -> str:
            return await desk.subscriptions.create(
                order.subscription_id,
                stripe_customer_id,
                request,
                key,
            )

        # Reason: another customer is another parameter, which wants another key.
        key = f"{subscription_workflow_id(order.subscription_id)}:create:{stripe_customer_id}"
        return await post_once(key, post, find, is_repeated=order.is_repeated)
