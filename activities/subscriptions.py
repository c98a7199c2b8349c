"""What `SubscriptionWorkflow` does to Stripe and to its view, outside of commands."""

from temporalio import activity

from activities.customers import ensure_customer
from activities.subscription_desk import SubscriptionDesk
from activities.subscription_view import state_of
from database.invoices import InvoiceRepository
from database.subscription_events import SubscriptionEventRepository
from database.subscriptions import SubscriptionRepository
from domain.billing import EventNote, Refreshed, SubscriptionOrder, SubscriptionState
from domain.errors import NotFoundError
from domain.ids import subscription_workflow_id
from domain.subscriptions import SubscriptionStatus


class SubscriptionActivities:
    """Creates a subscription, looks at it, and parks it when a person is needed."""

    def __init__(self, desk: SubscriptionDesk) -> None:
        self._desk = desk

    @activity.defn
    async def open_subscription(self, order: SubscriptionOrder) -> SubscriptionState | None:
        """Write the row before anything is asked of Stripe, or find the one that is there.

        Args:
            order: With the request, if this is to be a new subscription.

        Returns:
            What the row says; None if there is none and nothing was requested.
        """
        async with self._desk.sessions.begin() as session:
            repository = SubscriptionRepository(session)
            if order.request is not None:
                await repository.insert(
                    subscription_id=order.subscription_id,
                    user_id=order.request.user_id,
                    plan_id=order.request.plan_id,
                    quantity=order.request.quantity,
                    subscription_status=SubscriptionStatus.INCOMPLETE,
                    workflow_id=subscription_workflow_id(order.subscription_id),
                )
            row = await repository.get(order.subscription_id, None)
            if row is None:
                return None
            latest = await InvoiceRepository(session).stripe_id(row.latest_invoice_id)
            return await state_of(session, row, latest)

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

    @activity.defn
    async def park_subscription(self, order: SubscriptionOrder) -> SubscriptionState:
        """Show that a person is needed.

        Args:
            order: With the reason.

        Returns:
            The subscription as it is now.

        Raises:
            NotFoundError: There is no such subscription.
        """
        async with self._desk.sessions.begin() as session:
            row = await SubscriptionRepository(session).lock(order.subscription_id)
            if row is None:
                raise NotFoundError("there is no such subscription")
            row.parked_reason = order.parked_reason
            note = EventNote(
                source_key=f"parked:{order.at.isoformat()}",
                kind="parked",
                summary="Something went wrong that needs a person.",
                data={"reason": order.parked_reason},
            )
            events = SubscriptionEventRepository(session)
            await events.append(order.subscription_id, [*order.notes, note])
            latest = await InvoiceRepository(session).stripe_id(row.latest_invoice_id)
            return await state_of(session, row, latest)
