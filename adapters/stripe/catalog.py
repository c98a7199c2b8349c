"""Products and prices at Stripe."""

from typing import Literal, cast

import stripe

from adapters.stripe.client import our_errors
from domain.errands import PlanRequest


class StripeCatalog:
    """What the activities need of Stripe's catalogue, and no more."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._client = client

    async def create_product(self, plan_id: str, name: str, key: str) -> str:
        """Make a product.

        Returns:
            Stripe's id.

        Raises:
            ApplicationError: See `our_errors`.
        """
        with our_errors():
            made = await self._client.v1.products.create_async(
                {"name": name, "metadata": {"plan_id": plan_id}},
                {"idempotency_key": key},
            )
        return made.id

    async def create_price(self, stripe_product_id: str, plan: PlanRequest, key: str) -> str:
        """Make a recurring price; prices never change, a new amount is a new price.

        Returns:
            Stripe's id.

        Raises:
            ApplicationError: See `our_errors`.
        """
        interval = cast("Literal['day', 'week', 'month', 'year']", plan.interval)
        with our_errors():
            made = await self._client.v1.prices.create_async(
                {
                    "product": stripe_product_id,
                    "unit_amount": plan.amount_cents or 0,
                    "currency": plan.currency_code or "",
                    "recurring": {
                        "interval": interval,
                        "interval_count": plan.interval_count or 1,
                    },
                },
                {"idempotency_key": key},
            )
        return made.id

    async def rename_product(self, stripe_product_id: str, name: str, key: str) -> None:
        """Rename a product."""
        with our_errors():
            await self._client.v1.products.update_async(
                stripe_product_id,
                {"name": name},
                {"idempotency_key": key},
            )
