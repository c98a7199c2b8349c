"""Coupons and promotion codes at Stripe."""

import stripe

from adapters.stripe.client import translate_stripe_errors
from adapters.stripe.reading import field, object_id, required
from domain.errors import NotFoundError
from domain.subscriptions.previews import CouponSnapshot


class StripeCoupons:
    """Finds coupons and promotion codes at Stripe."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._client = client

    async def coupon(self, coupon: str) -> CouponSnapshot:
        """Return a coupon.

        Raises:
            NotFoundError: There is no such coupon (`coupon_not_found`).
            ApplicationError: See `translate_stripe_errors`.
        """
        try:
            with translate_stripe_errors():
                found = await self._client.v1.coupons.retrieve_async(coupon)
        except NotFoundError as error:
            raise NotFoundError("there is no such coupon", "coupon_not_found") from error
        return _coupon(found, None)

    async def by_code(self, code: str) -> CouponSnapshot:
        """Return the coupon of an active promotion code, which customers enter.

        Raises:
            NotFoundError: There is no such active code (`promotion_code_not_found`).
            ApplicationError: See `translate_stripe_errors`.
        """
        with translate_stripe_errors():
            page = await self._client.v1.promotion_codes.list_async(
                {
                    "code": code,
                    "active": True,
                    "limit": 1,
                    "expand": ["data.promotion.coupon"],
                },
            )
            for found in required(page, "data"):
                return _coupon(field(found, "promotion.coupon"), object_id(found))
        raise NotFoundError("there is no such promotion code", "promotion_code_not_found")


def _coupon(found: object, stripe_promotion_code_id: str | None) -> CouponSnapshot:
    return CouponSnapshot(
        coupon=object_id(found) or "",
        stripe_promotion_code_id=stripe_promotion_code_id,
        duration=field(found, "duration") or "forever",
        duration_in_months=field(found, "duration_in_months"),
    )
