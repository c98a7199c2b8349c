"""What persons and recoveries ask of a subscription, carried out at Stripe."""

from temporalio import activity

from activities.subscription_desk import SubscriptionDesk
from activities.subscription_view import state_of
from database.subscription_events import SubscriptionEventRepository
from database.subscriptions import SubscriptionRepository
from domain.billing import Refreshed, SubscriptionOrder
from domain.errors import NotFoundError
from domain.ids import command_key, subscription_workflow_id
from domain.retries import LastResort
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
                await self._void(order, invoice.stripe_invoice_id)
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

    @activity.defn
    async def carry_out_last_resort(self, order: SubscriptionOrder) -> Refreshed:
        """Do what the policy says when all retries have failed.

        Args:
            order: With what to do.

        Returns:
            The subscription as it is now.

        Raises:
            ApplicationError: Stripe refused, or is down.
        """
        stripe_id, wanted = await self._desk.stripe_id(order), order.last_resort
        if wanted is None:
            raise NotFoundError("there is no last resort to carry out")
        invoice = await self._desk.invoices.read(wanted.stripe_invoice_id)
        if invoice.invoice_status == "paid":
            return await self._desk.look(order, stripe_id)  # somebody paid in the last moment
        end = wanted.last_resort
        if end is LastResort.MARK_UNCOLLECTIBLE:
            if invoice.invoice_status == "open":
                key = _key(order, f"uncollectible:{wanted.stripe_invoice_id}")
                await self._desk.invoices.mark_uncollectible(wanted.stripe_invoice_id, key)
            # Reason: alone it makes Stripe report the subscription as active.
            end = wanted.after_uncollectible
        key = _key(order, f"last_resort:{wanted.stripe_invoice_id}")
        if end is LastResort.PAUSE:
            await self._desk.subscriptions.pause(stripe_id, key)
        else:
            await self._desk.subscriptions.cancel(stripe_id, key)
        return await self._desk.look(order, stripe_id)

    @activity.defn
    async def void_invoices(self, order: SubscriptionOrder) -> Refreshed:
        """Void older invoices that the policy gives up once a newer one is paid."""
        for stripe_invoice_id in order.void_stripe_invoice_ids:
            await self._void(order, stripe_invoice_id)
        return await self._desk.look(order, await self._desk.stripe_id(order))

    async def _void(self, order: SubscriptionOrder, stripe_invoice_id: str) -> None:
        invoice = await self._desk.invoices.read(stripe_invoice_id)
        if invoice.invoice_status == "open":
            key = _key(order, f"void:{stripe_invoice_id}")
            await self._desk.invoices.void(stripe_invoice_id, key)

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
