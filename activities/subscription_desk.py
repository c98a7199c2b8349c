"""What all activities about a subscription share: its row, and one look at Stripe."""

from dataclasses import dataclass

from activities.subscription_view import write_view
from adapters.stripe.customers import StripeCustomers
from adapters.stripe.invoices import StripeInvoices
from adapters.stripe.subscriptions import StripeSubscriptions
from database.models import Subscription
from database.payment_methods import PaymentMethodRepository
from database.session import Sessions
from database.subscriptions import SubscriptionRepository
from domain.billing import Refreshed, SubscriptionOrder, SubscriptionRequest
from domain.errors import NotFoundError


@dataclass(frozen=True)
class SubscriptionDesk:
    """Stripe's side and our side of subscriptions."""

    subscriptions: StripeSubscriptions
    invoices: StripeInvoices
    customers: StripeCustomers
    sessions: Sessions

    async def row(self, order: SubscriptionOrder) -> Subscription:
        """Return the order's row.

        Raises:
            NotFoundError: There is no such subscription.
        """
        async with self.sessions() as session:
            row = await SubscriptionRepository(session).get(order.subscription_id, None)
        if row is None:
            raise NotFoundError("there is no such subscription")
        return row

    async def stripe_id(self, order: SubscriptionOrder) -> str:
        """Return Stripe's id of the order's subscription.

        Raises:
            NotFoundError: Stripe has not made it.
        """
        row = await self.row(order)
        if row.stripe_subscription_id is None:
            raise NotFoundError("Stripe has no such subscription yet", "not_at_stripe")
        return row.stripe_subscription_id

    async def has_card(self, request: SubscriptionRequest) -> bool:
        """Tell whether a new subscription has a card to charge."""
        if request.stripe_payment_method_id is not None:
            return True
        async with self.sessions() as session:
            return await PaymentMethodRepository(session).has_default(request.user_id)

    async def void_if_open(self, stripe_invoice_id: str, key: str) -> None:
        """Void an invoice, unless it was paid or given up meanwhile.

        Args:
            stripe_invoice_id: Which.
            key: Idempotency key.

        Raises:
            ApplicationError: Stripe refused, or is down.
        """
        invoice = await self.invoices.read(stripe_invoice_id)
        if invoice.invoice_status == "open":
            await self.invoices.void(stripe_invoice_id, key)

    async def look(self, order: SubscriptionOrder, stripe_subscription_id: str) -> Refreshed:
        """Read the subscription from Stripe and write its view.

        Raises:
            ApplicationError: Stripe does not know it, or is down.
        """
        seen = await self.subscriptions.read(stripe_subscription_id)
        return await write_view(self.sessions, order, seen)
