"""Changes what a subscription costs at Stripe: plan, quantity and discount."""

from dataclasses import dataclass
from uuid import UUID

from adapters.stripe.changes import ChangeOutcome, StripeChanges
from adapters.stripe.invoice_items import StripeInvoiceItems
from domain.errors import ConflictError, PaymentRefusedError, ProviderRejectedError
from domain.subscriptions.previews import ChangeTerms, CouponSnapshot
from domain.subscriptions.snapshots import SubscriptionSnapshot
from services.stripe_idempotency import post_once
from services.subscriptions.changes.void_invoices import give_back
from services.subscriptions.stripe_sync import SubscriptionSync


@dataclass(frozen=True)
class SubscriptionChanges:
    """Makes changes at once, and only if they are paid."""

    sync: SubscriptionSync
    changes: StripeChanges
    items: StripeInvoiceItems

    async def change(
        self, subscription: SubscriptionSnapshot, terms: ChangeTerms, command_id: UUID, key: str
    ) -> None:
        """Change plan or quantity at once, and charge the difference.

        Args:
            subscription: The subscription before the change.
            terms: The change.
            command_id: The command, which is stored with the change at Stripe.
            key: Prefix of the idempotency keys.

        Raises:
            PaymentRefusedError: The difference was not paid; its invoice is void, and nothing has
                changed.
            ApplicationError: Stripe refused, or is down.
        """
        stripe_id = subscription.stripe_subscription_id

        async def post(numbered_key: str) -> ChangeOutcome:
            return await self.changes.change(subscription, terms, command_id, numbered_key)

        async def find() -> ChangeOutcome | None:
            return await self.changes.find_change(stripe_id, command_id)

        outcome = await post_once(f"{key}:change", post, find)
        if outcome.pending_invoice_id is not None:
            await self._refuse_unless_paid(outcome.pending_invoice_id, key)

    async def apply_discount(self, stripe_id: str, coupon: CouponSnapshot, key: str) -> None:
        """Replace the discounts of a subscription by that of a coupon or promotion code.

        Raises:
            ConflictError: Stripe refused the discount (`discount_refused`).
            ApplicationError: Stripe is down.
        """

        async def post(numbered_key: str) -> bool:
            await self.changes.apply_discount(stripe_id, coupon, numbered_key)
            return True

        async def find() -> bool | None:
            held = await self.changes.discounts(stripe_id)
            return [each.coupon for each in held] == [coupon.coupon] or None

        try:
            await post_once(f"{key}:discount", post, find)
        except ProviderRejectedError as error:
            raise ConflictError(error.message, "discount_refused", error.details) from error

    async def remove_discount(self, stripe_id: str, key: str) -> None:
        """Remove all discounts of a subscription.

        Raises:
            ApplicationError: Stripe refused, or is down.
        """

        async def post(numbered_key: str) -> bool:
            await self.changes.remove_discount(stripe_id, numbered_key)
            return True

        async def find() -> bool | None:
            return not await self.changes.discounts(stripe_id) or None

        await post_once(f"{key}:no_discount", post, find)

    async def _refuse_unless_paid(self, stripe_invoice_id: str, key: str) -> None:
        """Void the invoice of a change that was not paid, and raise why it was not paid."""
        # Reason: a payment intent does not tell any more why it failed, once its invoice is void.
        invoice = await self.sync.invoices.read(stripe_invoice_id)
        # Reason: an open invoice of a change could still be paid, and would change the plan later.
        await self.sync.void(stripe_invoice_id, f"{key}:void")
        if await self.sync.invoices.status(stripe_invoice_id) == "paid":
            return  # the customer has paid it on Stripe's page meanwhile
        await self._keep_waiting(stripe_invoice_id, key)
        raise PaymentRefusedError(
            "the payment failed, so nothing was changed",
            details={
                "stripe_invoice_id": stripe_invoice_id,
                "decline_code": invoice.decline_code,
                "advice_code": invoice.advice_code,
            },
        )

    async def _keep_waiting(self, voided_invoice_id: str, key: str) -> None:
        """Let those items of a void invoice wait again that had waited before the change."""
        # Reason: the change makes its own items anew when it is tried again.
        for item in await self.items.waited_for(voided_invoice_id):
            name = f"{key}:give-back:{item.stripe_invoice_item_id}"
            await give_back(self.items, item, voided_invoice_id, name)
