"""What all activities about a subscription share: its row, and one look at Stripe."""

from dataclasses import dataclass

from adapters.stripe.customers import StripeCustomers
from adapters.stripe.invoices import StripeInvoices
from adapters.stripe.subscriptions import StripeSubscriptions
from database.session import Sessions
from database.subscriptions.invoices import InvoiceRepository
from database.subscriptions.models import Subscription
from database.subscriptions.subscriptions import SubscriptionRepository
from domain.errors import NotFoundError, ProviderRejectedError
from domain.subscriptions.snapshots import SubscriptionSnapshot
from domain.subscriptions.state import SyncResult
from domain.subscriptions.steps import SubscriptionInput
from services.payments.customers import StripeCustomerOf
from services.stripe_idempotency import post_once
from services.subscriptions.view import write_view


@dataclass(frozen=True)
class SubscriptionSync:
    """Stripe's side and our side of subscriptions."""

    subscriptions: StripeSubscriptions
    invoices: StripeInvoices
    customers: StripeCustomers
    sessions: Sessions

    async def row(self, order: SubscriptionInput) -> Subscription:
        """Return the order's row.

        Raises:
            NotFoundError: There is no such subscription.
        """
        async with self.sessions() as session:
            row = await SubscriptionRepository(session).get(order.subscription_id, None)
        if row is None:
            raise NotFoundError("there is no such subscription")
        return row

    async def stripe_id(self, order: SubscriptionInput) -> str:
        """Return Stripe's id of the order's subscription, also if no answer ever told it.

        Raises:
            NotFoundError: Stripe has not made it.
        """
        row = await self.row(order)
        stripe_id = row.stripe_subscription_id or await self.find(row)
        if stripe_id is None:
            raise NotFoundError("Stripe has no such subscription yet", "not_at_stripe")
        return stripe_id

    async def find(self, row: Subscription) -> str | None:
        """Look for a subscription at Stripe that an unanswered call may have made."""
        if row.creation_sent_at is None:
            return None
        owner = StripeCustomerOf(row.user_id, self.customers, self.sessions)
        customer_id = await owner.known()
        if customer_id is None:
            return None
        return await self.subscriptions.find(row.subscription_id, customer_id)

    async def void_all(self, stripe_subscription_id: str, key: str) -> list[str]:
        """Void all open and draft invoices of a subscription, and return which.

        Args:
            stripe_subscription_id: Whose.
            key: Beginning of the idempotency keys.

        Raises:
            ApplicationError: Stripe refused, or is down.
        """
        unsettled = await self.invoices.list_unsettled(stripe_subscription_id)
        for stripe_invoice_id, _ in unsettled:
            await self.void(stripe_invoice_id, f"{key}:void:{stripe_invoice_id}")
        return [stripe_invoice_id for stripe_invoice_id, _ in unsettled]

    async def void(self, stripe_invoice_id: str, key: str) -> None:
        """Void an invoice, unless it was paid or given up; a draft is finalized first.

        Raises:
            ApplicationError: Stripe refused, or is down.
        """

        async def status() -> str | None:
            now = await self.invoices.status(stripe_invoice_id)
            return None if now == "open" else now

        async def is_finalized() -> str | None:
            now = await self.invoices.status(stripe_invoice_id)
            return None if now == "draft" else now

        async def finalize(numbered: str) -> str:
            await self.invoices.finalize(stripe_invoice_id, numbered)
            return "open"

        async def void(numbered: str) -> str:
            await self.invoices.void(stripe_invoice_id, numbered)
            return "void"

        try:
            if await is_finalized() is None:
                await post_once(f"{key}:finalize", finalize, is_finalized)
            if await status() is None:
                await post_once(key, void, status)
        except ProviderRejectedError:
            # Reason: it may have been paid, or voided by support, since we looked.
            if await self.invoices.status(stripe_invoice_id) in {"open", "draft"}:
                raise

    async def look(
        self,
        order: SubscriptionInput,
        stripe_subscription_id: str,
        *,
        written_off_invoice_id: str | None = None,
    ) -> SyncResult:
        """Read the subscription from Stripe and write its view.

        Raises:
            ApplicationError: Stripe does not know it, or is down.
        """
        seen = await self.read(order, stripe_subscription_id)
        return await write_view(
            self.sessions,
            order,
            seen,
            written_off_invoice_id=written_off_invoice_id,
        )

    async def read(
        self, order: SubscriptionInput, stripe_subscription_id: str
    ) -> SubscriptionSnapshot:
        """Read the subscription from Stripe, with what may have changed of its invoices."""
        async with self.sessions() as session:
            known = await InvoiceRepository(session).known(order.subscription_id)
        return await self.subscriptions.read(stripe_subscription_id, known)
