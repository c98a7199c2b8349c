"""Products and prices at Stripe."""

from typing import TYPE_CHECKING, Literal, cast
from uuid import UUID

import stripe

from adapters.stripe.client import translate_stripe_errors
from adapters.stripe.reading import field, metadata_id, object_id, required
from domain.errors import NotFoundError
from domain.plans import OverageTerms, PlanRequest, PriceSnapshot

if TYPE_CHECKING:
    from decimal import Decimal

    from stripe.params import PriceCreateParams

PAGE_SIZE = 100


class StripeCatalog:
    """Reads and changes products and prices at Stripe."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._client = client

    async def create_product(self, plan_id: UUID, name: str, key: str) -> str:
        """Create the product of a plan, with an id that is made from the plan's id.

        Returns:
            Id of the product.

        Raises:
            ApplicationError: See `translate_stripe_errors`.
        """
        with translate_stripe_errors():
            made = await self._client.v1.products.create_async(
                {"id": product_id(plan_id), "name": name, "metadata": {"plan_id": str(plan_id)}},
                {"idempotency_key": key},
            )
        return str(required(made, "id"))

    async def find_product(self, plan_id: UUID) -> str | None:
        """Return the id of a plan's product; None if there is no product."""
        try:
            with translate_stripe_errors():
                found = await self._client.v1.products.retrieve_async(product_id(plan_id))
        except NotFoundError:
            return None
        return str(required(found, "id"))

    async def create_price(
        self,
        stripe_product_id: str,
        operation_id: UUID,
        plan: PlanRequest,
        key: str,
    ) -> str:
        """Create a recurring price; a price never changes, so a new amount needs a new price.

        Returns:
            Id of the price.

        Raises:
            ApplicationError: See `translate_stripe_errors`.
        """
        interval = cast("Literal['day', 'week', 'month', 'year']", plan.interval)
        with translate_stripe_errors():
            made = await self._client.v1.prices.create_async(
                {
                    "product": stripe_product_id,
                    "unit_amount": plan.amount_cents or 0,
                    "currency": plan.currency_code or "",
                    "recurring": {
                        "interval": interval,
                        "interval_count": plan.interval_count or 1,
                    },
                    "metadata": {"operation_id": str(operation_id)},
                },
                {"idempotency_key": key},
            )
        return str(required(made, "id"))

    async def price(self, stripe_price_id: str) -> PriceSnapshot:
        """Return a price.

        Raises:
            NotFoundError: Stripe does not know the price.
            ApplicationError: See `translate_stripe_errors`.
        """
        with translate_stripe_errors():
            found = await self._client.v1.prices.retrieve_async(stripe_price_id)
        return _price_snapshot(found)

    async def find_price(self, stripe_product_id: str, operation_id: UUID) -> str | None:
        """Return the price that an earlier, unanswered call has created; None if there is none."""
        with translate_stripe_errors():
            page = await self._client.v1.prices.list_async(
                {"product": stripe_product_id, "limit": PAGE_SIZE},
            )
            async for found in page.auto_paging_iter():
                if metadata_id(found, "operation_id") == operation_id:
                    return str(required(found, "id"))
        return None

    async def create_metered_price(
        self, stripe_product_id: str, plan: PlanRequest, terms: OverageTerms, key: str
    ) -> str:
        """Create a recurring price of what a meter counts, billed at the end of each period.

        Returns:
            Id of the price.

        Raises:
            ApplicationError: See `translate_stripe_errors`.
        """
        interval = cast("Literal['day', 'week', 'month', 'year']", plan.interval)
        params: PriceCreateParams = {
            "product": stripe_product_id,
            # Reason: the SDK would write a very small amount with an exponent.
            "unit_amount_decimal": cast("Decimal", f"{terms.price.unit_amount_decimal:f}"),
            "currency": plan.currency_code or "",
            "recurring": {
                "interval": interval,
                "interval_count": plan.interval_count or 1,
                "usage_type": "metered",
                "meter": terms.stripe_meter_id,
            },
            "metadata": {"overage_id": str(terms.overage_id)},
        }
        if terms.price.unit_count > 1:
            params["transform_quantity"] = {"divide_by": terms.price.unit_count, "round": "up"}
        with translate_stripe_errors():
            made = await self._client.v1.prices.create_async(params, {"idempotency_key": key})
        return str(required(made, "id"))

    async def find_metered_price(self, stripe_meter_id: str, overage_id: UUID) -> str | None:
        """Return the metered price that an earlier, unanswered call has created, or None."""
        with translate_stripe_errors():
            page = await self._client.v1.prices.list_async(
                {"recurring": {"meter": stripe_meter_id}, "limit": PAGE_SIZE},
            )
            async for found in page.auto_paging_iter():
                if metadata_id(found, "overage_id") == overage_id:
                    return str(required(found, "id"))
        return None

    async def rename_product(self, stripe_product_id: str, name: str, key: str) -> None:
        """Rename a product."""
        with translate_stripe_errors():
            await self._client.v1.products.update_async(
                stripe_product_id,
                {"name": name},
                {"idempotency_key": key},
            )

    async def product_name(self, stripe_product_id: str) -> str | None:
        """Return the name of a product."""
        with translate_stripe_errors():
            found = await self._client.v1.products.retrieve_async(stripe_product_id)
        name = field(found, "name")
        return None if name is None else str(name)


def product_id(plan_id: UUID) -> str:
    """Return the id of a plan's product, which is made from the plan's id to find it again."""
    return f"prod_{plan_id.hex}"


def _price_snapshot(found: stripe.Price) -> PriceSnapshot:
    is_metered = field(found, "recurring.usage_type") == "metered"
    return PriceSnapshot(
        stripe_product_id=object_id(required(found, "product")) or "",
        is_active=bool(field(found, "active")),
        amount_cents=None if is_metered else field(found, "unit_amount"),
        currency_code=required(found, "currency"),
        interval=field(found, "recurring.interval"),
        interval_count=field(found, "recurring.interval_count"),
    )
