"""What recoveries ask of a subscription, having tried all else."""

from temporalio import activity

from activities.subscription_desk import SubscriptionDesk
from domain.billing import Refreshed, SubscriptionOrder
from domain.errors import NotFoundError
from domain.ids import payment_retry_workflow_id
from domain.retries import LastResort


class LastResortActivities:
    """Gives up invoices, and the subscriptions that they belong to, as the policy says."""

    def __init__(self, desk: SubscriptionDesk) -> None:
        self._desk = desk

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
                key = _key(wanted.stripe_invoice_id, "uncollectible")
                await self._desk.invoices.mark_uncollectible(wanted.stripe_invoice_id, key)
            # Reason: alone it makes Stripe report the subscription as active.
            end = wanted.after_uncollectible
        key = _key(wanted.stripe_invoice_id, "last_resort")
        if end is LastResort.PAUSE:
            await self._desk.subscriptions.pause(stripe_id, key)
        else:
            await self._desk.subscriptions.cancel(stripe_id, key)
        return await self._desk.look(order, stripe_id)

    @activity.defn
    async def void_invoices(self, order: SubscriptionOrder) -> Refreshed:
        """Void older invoices that the policy gives up once a newer one is paid.

        Args:
            order: With the invoices.

        Returns:
            The subscription as it is now.

        Raises:
            ApplicationError: Stripe refused, or is down.
        """
        for stripe_invoice_id in order.void_stripe_invoice_ids:
            key = _key(stripe_invoice_id, "void")
            await self._desk.void_if_open(stripe_invoice_id, key)
        return await self._desk.look(order, await self._desk.stripe_id(order))


def _key(stripe_invoice_id: str, purpose: str) -> str:
    return f"{payment_retry_workflow_id(stripe_invoice_id)}:{purpose}"
