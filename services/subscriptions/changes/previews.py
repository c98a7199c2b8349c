"""Computes what a change of a subscription costs, from invoice previews of Stripe."""

from dataclasses import dataclass

from adapters.stripe.coupons import StripeCoupons
from adapters.stripe.previews import StripePreviews
from adapters.stripe.subscriptions import StripeSubscriptions
from domain.errors import ConflictError, ProviderRejectedError
from domain.subscriptions.preview_amounts import (
    combine,
    combine_start,
    is_immediate,
)
from domain.subscriptions.previews import (
    ChangePreview,
    ChangeTerms,
    CouponSnapshot,
    InvoicePreview,
    NewTerms,
)
from domain.subscriptions.snapshots import SubscriptionSnapshot
from services.stripe_idempotency import post_once


@dataclass(frozen=True)
class ChangePreviews:
    """Previews changes and starts of subscriptions."""

    subscriptions: StripeSubscriptions
    previews: StripePreviews
    coupons: StripeCoupons

    async def of_change(self, stripe_id: str, terms: ChangeTerms, key: str) -> ChangePreview:
        """Return what a change costs.

        Args:
            stripe_id: Stripe's id of the subscription.
            terms: The change.
            key: Prefix of the idempotency keys.

        Raises:
            ApplicationError: Stripe refused, or is down.
        """
        subscription = await self.subscriptions.status(stripe_id)
        now = None if terms.is_at_period_end else await self._now(subscription, terms, key)
        is_billed = now is not None and is_immediate(now, subscription)
        if not is_billed and subscription.stripe_schedule_id is not None:
            # Reason: it is the next renewal, but with the change that waits, which is dropped.
            now = None
        if now is not None and (not is_billed or any(line.is_period for line in now.lines)):
            return combine(subscription, now, None)
        later = await self._renewal(subscription, terms, key)
        return combine(subscription, now, later)

    async def of_start(
        self,
        stripe_customer_id: str | None,
        terms: NewTerms,
        coupon: CouponSnapshot | None,
        key: str,
    ) -> ChangePreview:
        """Return what a new subscription costs.

        Args:
            stripe_customer_id: Customer at Stripe; None if the user has none yet.
            terms: The new subscription.
            coupon: The coupon that reduces it.
            key: Prefix of the idempotency keys.

        Raises:
            ConflictError: Stripe refused the discount (`discount_refused`).
            ApplicationError: Stripe refused, or is down.
        """

        async def post(numbered_key: str) -> InvoicePreview:
            return await self.previews.start(stripe_customer_id, terms, coupon, numbered_key)

        try:
            preview = await post_once(f"{key}:start", post, _nothing)
        except ProviderRejectedError as error:
            if coupon is None:
                raise
            raise ConflictError(error.message, "discount_refused", error.details) from error
        return combine_start(preview, terms.trial_days, coupon)

    async def coupon(self, coupon: str | None, promotion_code: str | None) -> CouponSnapshot | None:
        """Return the coupon that is named, or that a promotion code leads to.

        Raises:
            NotFoundError: There is no such coupon or promotion code.
            ApplicationError: Stripe refused, or is down.
        """
        if promotion_code is not None:
            return await self.coupons.by_code(promotion_code)
        return None if coupon is None else await self.coupons.coupon(coupon)

    async def _now(
        self, subscription: SubscriptionSnapshot, terms: ChangeTerms, key: str
    ) -> InvoicePreview | None:
        async def post(numbered_key: str) -> InvoicePreview | None:
            return await self.previews.change_now(subscription, terms, numbered_key)

        return await post_once(f"{key}:now", post, _nothing)

    async def _renewal(
        self, subscription: SubscriptionSnapshot, terms: ChangeTerms, key: str
    ) -> InvoicePreview | None:
        end, at = subscription.cancel_at, subscription.current_period_end
        if end is not None and at is not None and end <= at:
            return None

        async def post(numbered_key: str) -> InvoicePreview | None:
            return await self.previews.renewal(subscription, terms, numbered_key)

        return await post_once(f"{key}:renewal", post, _nothing)


async def _nothing() -> None:
    """Find no effect of an earlier preview, since a preview has none."""
