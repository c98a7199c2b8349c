"""What `SubscriptionWorkflow` writes without asking Stripe."""

from temporalio import activity

from activities.subscription_view import state_of
from database.invoices import InvoiceRepository
from database.session import Sessions
from database.subscription_events import SubscriptionEventRepository
from database.subscriptions import SubscriptionRepository
from domain.billing import EventNote, SubscriptionOrder, SubscriptionState
from domain.errors import NotFoundError
from domain.ids import subscription_workflow_id
from domain.subscriptions import SubscriptionStatus


class SubscriptionRowActivities:
    """The first word about a subscription, and the one that a person is needed."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    @activity.defn
    async def open_subscription(self, order: SubscriptionOrder) -> SubscriptionState | None:
        """Write the row before anything is asked of Stripe, or find the one that is there.

        Args:
            order: With the request, if this is to be a new subscription.

        Returns:
            What the row says; None if there is none and nothing was requested.
        """
        async with self._sessions.begin() as session:
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
    async def park_subscription(self, order: SubscriptionOrder) -> SubscriptionState:
        """Show that a person is needed.

        Args:
            order: With the reason.

        Returns:
            The subscription as it is now.

        Raises:
            NotFoundError: There is no such subscription.
        """
        async with self._sessions.begin() as session:
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
