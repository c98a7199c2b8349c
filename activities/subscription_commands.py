"""What persons ask of a subscription, carried out at Stripe."""

from temporalio import activity

from activities.subscription_desk import SubscriptionDesk
from activities.subscription_view import state_of
from database.subscription_events import SubscriptionEventRepository
from database.subscriptions import SubscriptionRepository
from domain.billing import Refreshed, SubscriptionOrder
from domain.errors import NotFoundError
from domain.ids import command_key, subscription_workflow_id
from domain.subscriptions import SubscriptionStatus


class SubscriptionCommandActivities:
    """Every POST carries a key made of workflow, purpose and command id.

    Without the command's id an older answer of the same purpose would be replayed.
    """

    def __init__(self, desk: SubscriptionDesk) -> None:
        self._desk = desk

    @activity.defn
    async def cancel_subscription(self, order: SubscriptionOrder) -> Refreshed:
        """Cancel at once, and void what is still open.

        Args:
            order: With the command.

        Returns:
            The subscription as it is now.

        Raises:
            ApplicationError: Stripe refused, or is down.
        """
        row = await self._desk.row(order)
        if row.stripe_subscription_id is None:
            return await self._cancel_unmade(order)
        stripe_id = row.stripe_subscription_id
        await self._desk.subscriptions.cancel(stripe_id, _key(order, "cancel"))
        seen = await self._desk.subscriptions.read(stripe_id)
        for invoice in seen.invoices:
            if invoice.invoice_status == "open":
                key = _key(order, f"void:{invoice.stripe_invoice_id}")
                await self._desk.void_if_open(invoice.stripe_invoice_id, key)
        return await self._desk.look(order, stripe_id)

    @activity.defn
    async def change_payment_method(self, order: SubscriptionOrder) -> Refreshed:
        """Make another card the subscription's own.

        Args:
            order: With the command, which names the card.

        Returns:
            The subscription as it is now.

        Raises:
            ApplicationError: Stripe refused, or is down.
        """
        stripe_id = await self._desk.stripe_id(order)
        if order.command is None or order.command.stripe_payment_method_id is None:
            raise NotFoundError("there is no card to change to")
        card = order.command.stripe_payment_method_id
        await self._desk.subscriptions.use_card(stripe_id, card, _key(order, "card"))
        return await self._desk.look(order, stripe_id)

    async def _cancel_unmade(self, order: SubscriptionOrder) -> Refreshed:
        async with self._desk.sessions.begin() as session:
            row = await SubscriptionRepository(session).lock(order.subscription_id)
            if row is None:
                raise NotFoundError("there is no such subscription")
            row.subscription_status, row.canceled_at = SubscriptionStatus.CANCELED, order.at
            events = SubscriptionEventRepository(session)
            await events.append(order.subscription_id, order.notes)
            return Refreshed(state=await state_of(session, row, None))


def _key(order: SubscriptionOrder, purpose: str) -> str:
    workflow_id = subscription_workflow_id(order.subscription_id)
    return command_key(workflow_id, purpose, order.command.command_id if order.command else "")
