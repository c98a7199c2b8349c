"""Reads subscriptions from Stripe and writes their views."""

from collections.abc import Mapping
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
from domain.subscriptions.steps import SubscriptionInput, UnusedTimeInput
from services.payments.customers import UserStripeCustomer
from services.stripe_idempotency import post_once
from services.subscriptions.view import write_view


@dataclass(frozen=True)
class SubscriptionSync:
    """Syncs subscriptions from Stripe into our view."""

    subscriptions: StripeSubscriptions
    invoices: StripeInvoices
    customers: StripeCustomers
    sessions: Sessions

    async def row(self, step_input: SubscriptionInput | UnusedTimeInput) -> Subscription:
        """Return the subscription's row.

        Raises:
            NotFoundError: There is no such subscription.
        """
        async with self.sessions() as session:
            row = await SubscriptionRepository(session).get(step_input.subscription_id, None)
        if row is None:
            raise NotFoundError("there is no such subscription")
        return row

    async def stripe_id(self, step_input: SubscriptionInput) -> str:
        """Return Stripe's id of the subscription, even if the answer to its creation was lost.

        Raises:
            NotFoundError: The subscription does not exist at Stripe.
        """
        row = await self.row(step_input)
        stripe_id = row.stripe_subscription_id or await self.find(row)
        if stripe_id is None:
            raise NotFoundError("Stripe has no such subscription yet", "not_at_stripe")
        return stripe_id

    async def find(self, row: Subscription) -> str | None:
        """Find a subscription at Stripe that an unanswered call may have created."""
        if row.creation_sent_at is None:
            return None
        owner = UserStripeCustomer(row.user_id, self.customers, self.sessions)
        customer_id = await owner.known()
        if customer_id is None:
            return None
        return await self.subscriptions.find(row.subscription_id, customer_id)

    async def void_all(self, stripe_subscription_id: str, key: str) -> list[str]:
        """Void all open and draft invoices of a subscription, and return their ids.

        Args:
            stripe_subscription_id: Subscription whose invoices are voided.
            key: Prefix of the idempotency keys.

        Raises:
            ApplicationError: Stripe refused, or is down.
        """
        unsettled = await self.invoices.list_unsettled(stripe_subscription_id)
        for stripe_invoice_id, _ in unsettled:
            await self.void(stripe_invoice_id, f"{key}:void:{stripe_invoice_id}")
        return [stripe_invoice_id for stripe_invoice_id, _ in unsettled]

    async def void(self, stripe_invoice_id: str, key: str) -> None:
        """Void an invoice, unless it is paid or uncollectible; a draft is finalized first.

        Raises:
            ApplicationError: Stripe refused, or is down.
        """

        async def status() -> str | None:
            invoice_status = await self.invoices.status(stripe_invoice_id)
            return None if invoice_status == "open" else invoice_status

        async def is_finalized() -> str | None:
            invoice_status = await self.invoices.status(stripe_invoice_id)
            return None if invoice_status == "draft" else invoice_status

        async def finalize(numbered_key: str) -> str:
            await self.invoices.finalize(stripe_invoice_id, numbered_key)
            return "open"

        async def void(numbered_key: str) -> str:
            await self.invoices.void(stripe_invoice_id, numbered_key)
            return "void"

        try:
            if await is_finalized() is None:
                await post_once(f"{key}:finalize", finalize, is_finalized)
            if await status() is None:
                await post_once(key, void, status)
        except ProviderRejectedError:
            # Reason: the invoice may have been paid, or voided by support, since it was read.
            if await self.invoices.status(stripe_invoice_id) in {"open", "draft"}:
                raise

    async def sync(
        self,
        step_input: SubscriptionInput,
        stripe_subscription_id: str,
        *,
        written_off_invoice_id: str | None = None,
        columns: Mapping[str, object] | None = None,
    ) -> SyncResult:
        """Read the subscription from Stripe and write its view.

        Args:
            step_input: The subscription, and the reasons for the sync.
            stripe_subscription_id: Subscription to read.
            written_off_invoice_id: Invoice that our last resort marked uncollectible.
            columns: Values that Stripe does not know.

        Raises:
            ApplicationError: Stripe does not know the subscription, or is down.
        """
        snapshot = await self.read(step_input, stripe_subscription_id)
        return await write_view(
            self.sessions,
            step_input,
            snapshot,
            written_off_invoice_id=written_off_invoice_id,
            columns=columns,
        )

    async def read(
        self, step_input: SubscriptionInput | UnusedTimeInput, stripe_subscription_id: str
    ) -> SubscriptionSnapshot:
        """Read the subscription from Stripe, with those of its invoices that may have changed."""
        async with self.sessions() as session:
            known_invoices = await InvoiceRepository(session).known(step_input.subscription_id)
        return await self.subscriptions.read(stripe_subscription_id, known_invoices)
