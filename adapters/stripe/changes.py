"""Changes of price, quantity and discount of subscriptions at Stripe."""

from typing import TYPE_CHECKING, Any
from uuid import UUID

import stripe

from adapters.stripe.client import translate_stripe_errors
from adapters.stripe.previews import item_of, wish_of
from adapters.stripe.reading import field
from adapters.stripe.terms import TERMS, discounts_of, pending_invoice_of
from domain.base import Frozen
from domain.subscriptions.previews import ChangeTerms, CouponSnapshot
from domain.subscriptions.snapshots import DiscountSnapshot, SubscriptionSnapshot

if TYPE_CHECKING:
    from stripe.params import SubscriptionUpdateParams

# Key in the metadata of a subscription; its value is the command that changed it last.
CHANGE = "change_command_id"


class ChangeOutcome(Frozen):
    """What became of a change; `pending_invoice_id` has to be paid before it takes effect."""

    pending_invoice_id: str | None = None


class StripeChanges:
    """Changes what a subscription costs."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._client = client

    async def change(
        self,
        subscription: SubscriptionSnapshot,
        terms: ChangeTerms,
        command_id: UUID,
        key: str,
    ) -> ChangeOutcome:
        """Change price or quantity at once, and charge the difference; unpaid, nothing changes.

        Args:
            subscription: The subscription before the change.
            terms: The change.
            command_id: The command; it is stored in the metadata once the change takes effect.
            key: Idempotency key.

        Raises:
            ApplicationError: See `translate_stripe_errors`.
        """
        params: Any = {
            "items": [item_of(subscription, terms)],
            "metadata": {CHANGE: str(command_id)},
            "payment_behavior": "pending_if_incomplete",
            "proration_behavior": "always_invoice",
        }
        if terms.proration_date is not None:
            params["proration_date"] = terms.proration_date
        update: SubscriptionUpdateParams = params
        with translate_stripe_errors():
            found = await self._client.v1.subscriptions.update_async(
                subscription.stripe_subscription_id,
                update,
                {"idempotency_key": key},
            )
        return ChangeOutcome(pending_invoice_id=pending_invoice_of(found))

    async def find_change(self, stripe_id: str, command_id: UUID) -> ChangeOutcome | None:
        """Return what became of a command's change; None if it had no effect so far."""
        with translate_stripe_errors():
            found = await self._client.v1.subscriptions.retrieve_async(stripe_id)
        if field(found, f"metadata.{CHANGE}") == str(command_id):
            return ChangeOutcome()
        if field(found, f"pending_update.metadata.{CHANGE}") == str(command_id):
            return ChangeOutcome(pending_invoice_id=pending_invoice_of(found))
        return None

    async def apply_discount(self, stripe_id: str, coupon: CouponSnapshot, key: str) -> None:
        """Replace the discounts of a subscription by one."""
        wish: Any = wish_of(coupon)
        with translate_stripe_errors():
            await self._client.v1.subscriptions.update_async(
                stripe_id,
                {"discounts": [wish], "proration_behavior": "none"},
                {"idempotency_key": key},
            )

    async def remove_discount(self, stripe_id: str, key: str) -> None:
        """Remove all discounts of a subscription."""
        with translate_stripe_errors():
            await self._client.v1.subscriptions.update_async(
                stripe_id,
                {"discounts": "", "proration_behavior": "none"},
                {"idempotency_key": key},
            )

    async def discounts(self, stripe_id: str) -> tuple[DiscountSnapshot, ...]:
        """Return the discounts of a subscription."""
        with translate_stripe_errors():
            found = await self._client.v1.subscriptions.retrieve_async(
                stripe_id,
                {"expand": TERMS},
            )
        return discounts_of(found)
