"""Keeps the credit that a pause gives, through resumes that nobody pays and through a cancel."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from adapters.stripe.customer_balance import StripeCustomerBalance
from adapters.stripe.invoice_items import StripeInvoiceItems
from adapters.stripe.unused_time import StripeUnusedTime
from domain.errors import NotFoundError
from domain.ids import command_key, subscription_workflow_id
from domain.subscriptions.snapshots import InvoiceItemSnapshot, PaidInvoice, UnusedTime
from domain.subscriptions.steps import CancelInput, SubscriptionInput, UnusedTimeInput
from services.stripe_idempotency import post_once
from services.subscriptions.changes.paid_invoices import paid_since
from services.subscriptions.changes.void_invoices import give_back
from services.subscriptions.stripe_sync import SubscriptionSync


@dataclass(frozen=True)
class PauseCredits:
    """Keeps the credits of paused subscriptions, which wait at Stripe as invoice items."""

    sync: SubscriptionSync
    items: StripeInvoiceItems
    balance: StripeCustomerBalance
    unused_time: StripeUnusedTime

    async def keep(self, step_input: SubscriptionInput | UnusedTimeInput, stripe_id: str) -> None:
        """Void the resumption of a paused subscription, and give back the credit that it had used.

        A resumption that is paid stays, and so does a subscription that is not paused.

        Args:
            step_input: The subscription.
            stripe_id: Stripe's id of the subscription.

        Raises:
            ApplicationError: Stripe refused, or is down.
        """
        snapshot = await self.sync.read(step_input, stripe_id)
        resumption = snapshot.resumption or snapshot.void_resumption
        if resumption is None:
            return
        invoice_id = resumption.stripe_invoice_id
        await self.sync.void(invoice_id, _key(step_input, "void", invoice_id))
        if await self.sync.invoices.status(invoice_id) != "void":
            return  # the customer has paid it on Stripe's page meanwhile
        if snapshot.paused_at is not None and resumption.invoiced_at < snapshot.paused_at:
            return  # it is a change from before the pause, and has credits of its own
        # Reason: a void invoice keeps its items; the next one would not have the credit.
        items = await self.items.of_invoice(invoice_id)
        customer_id = snapshot.stripe_customer_id
        if items and not await self.balance.has_credit_of(customer_id, invoice_id):
            for item in items:
                key = _key(step_input, "give-back", item.stripe_invoice_item_id)
                await give_back(self.items, item, invoice_id, key)

    async def price(
        self, step_input: UnusedTimeInput | CancelInput, stripe_id: str, *, is_period_paid: bool
    ) -> UnusedTime:
        """Return what Stripe would credit if a subscription were canceled now.

        Args:
            step_input: The subscription, and the cause for the idempotency key.
            stripe_id: Stripe's id of the subscription.
            is_period_paid: Whether the present period was paid; else only what waits is a credit.

        Raises:
            ApplicationError: Stripe refused, or is down.
        """

        async def post(key: str) -> UnusedTime:
            return await self.unused_time.price(stripe_id, key, is_period_paid=is_period_paid)

        async def find() -> UnusedTime | None:
            return None  # a preview changes nothing, so it is made again

        purpose = "price-unused" if is_period_paid else "price-waiting"
        try:
            return await post_once(_key(step_input, purpose, step_input.cause), post, find)
        except NotFoundError:
            return UnusedTime(amount_cents=0)

    async def paid_since(
        self, subscription_id: UUID, stripe_id: str, since: datetime
    ) -> list[PaidInvoice]:
        """Return the paid invoices since a time, less what was given back; see `paid_since`."""
        sessions = self.sync.sessions
        return await paid_since(sessions, self.unused_time, subscription_id, stripe_id, since)

    async def move_to_balance(
        self, step_input: CancelInput, stripe_id: str, customer_id: str
    ) -> None:
        """Credit the customer's balance with what waits, as Stripe does at a planned end.

        Nothing is charged: a debt that waits is left alone. What was not paid is no credit.

        Args:
            step_input: The subscription, which is paused and about to be canceled; what is
                refunded of the credit is not credited.
            stripe_id: Stripe's id of the subscription.
            customer_id: Stripe's id of the customer.

        Raises:
            ApplicationError: Stripe refused, or is down.
        """
        waiting = await self.items.waiting(customer_id, stripe_id)
        waiting_cents = -sum(item.amount_cents for item in waiting)
        if waiting_cents <= 0:
            return
        # Reason: usage that was not billed yet is taken off.
        rest = await self.price(step_input, stripe_id, is_period_paid=False)
        since = min(item.period_start for item in waiting)
        paid = await self.paid_since(step_input.subscription_id, stripe_id, since)
        charged_cents = sum(each.charged_cents for each in paid)
        refunded_cents = step_input.refunded_cents
        credit_cents = min(waiting_cents, rest.amount_cents, charged_cents) - refunded_cents
        if credit_cents > 0:
            await self._credit(step_input, waiting[0], credit_cents)
            if not refunded_cents:
                # Reason: until the cancel, what is refunded is still the subscription's.
                await self._delete(waiting)

    async def drop(self, stripe_id: str, customer_id: str) -> None:
        """Delete what waits for an invoice of a canceled subscription, since it was refunded.

        Args:
            stripe_id: Stripe's id of the subscription.
            customer_id: Stripe's id of the customer.

        Raises:
            ApplicationError: Stripe refused, or is down.
        """
        await self._delete(await self.items.waiting(customer_id, stripe_id))

    async def _credit(
        self, step_input: SubscriptionInput, first: InvoiceItemSnapshot, amount_cents: int
    ) -> None:
        async def post(key: str) -> bool:
            await self.balance.credit(first, amount_cents, key)
            return True

        async def find() -> bool | None:
            return await self.balance.is_credited(first) or None

        key = _key(step_input, "credit", first.stripe_invoice_item_id)
        await post_once(key, post, find, is_repeated=True)

    async def _delete(self, waiting: list[InvoiceItemSnapshot]) -> None:
        # Reason: the first item shows that the balance was credited, so it goes last.
        for item in reversed(waiting):
            await self.items.delete(item.stripe_invoice_item_id)


def _key(step_input: SubscriptionInput | UnusedTimeInput, purpose: str, cause: str) -> str:
    return command_key(subscription_workflow_id(step_input.subscription_id), purpose, cause)
