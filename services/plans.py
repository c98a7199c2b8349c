"""Creates what the overage prices of a plan need at Stripe: meters and metered prices."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from adapters.stripe.catalog import StripeCatalog, product_id
from adapters.stripe.meters import StripeMeters
from domain.ids import derived_id
from domain.plans import MeteredPrice, Metric, OveragePrice, OverageTerms, PlanRequest
from services.stripe_idempotency import post_once


class OveragePrices:
    """Creates meters and metered prices of plans, each once; used within activities only."""

    def __init__(self, catalog: StripeCatalog, meters: StripeMeters) -> None:
        self._catalog = catalog
        self._meters = meters

    async def ensure(
        self, plan_id: UUID, plan: PlanRequest, stored: Mapping[str, Any], key: str
    ) -> dict[str, Any]:
        """Create the meters and metered prices that a plan's overage prices still lack.

        Args:
            plan_id: The plan.
            plan: Its code, currency, interval and overage prices.
            stored: Metered prices that it has or had, as they are stored.
            key: Prefix of the idempotency keys.

        Returns:
            All metered prices, to be stored with the plan; an unchanged price is kept.

        Raises:
            ApplicationError: Stripe refused, or is down.
        """
        found = dict(stored)
        for metric, price in sorted((plan.overage or {}).items()):
            known = MeteredPrice.model_validate(found[metric]) if metric in found else None
            if known is None or not price.is_same(known):
                made = await self._create(plan_id, plan, metric, price, known, key)
                found[metric] = made.model_dump(mode="json")
        return found

    async def _create(
        self,
        plan_id: UUID,
        plan: PlanRequest,
        metric: Metric,
        price: OveragePrice,
        known: MeteredPrice | None,
        key: str,
    ) -> MeteredPrice:
        event_name = f"perdure_{plan_id.hex}_{metric}"
        if known is not None:
            meter_id = known.stripe_meter_id
        else:
            meter_id = await self._create_meter(event_name, f"{plan.code}: {metric}", key)
        overage_id = derived_id(plan_id, metric, price.unit_amount_decimal, price.unit_count)
        terms = OverageTerms(overage_id=overage_id, stripe_meter_id=meter_id, price=price)
        price_id = await self._create_price(product_id(plan_id), plan, terms, key)
        return MeteredPrice(
            **price.model_dump(),
            stripe_meter_id=meter_id,
            event_name=event_name,
            stripe_price_id=price_id,
        )

    async def _create_meter(self, event_name: str, display_name: str, key: str) -> str:
        async def post(numbered_key: str) -> str:
            return await self._meters.create(event_name, display_name, numbered_key)

        async def find() -> str | None:
            return await self._meters.find(event_name)

        return await post_once(f"{key}:meter:{event_name}", post, find)

    async def _create_price(
        self, stripe_product_id: str, plan: PlanRequest, terms: OverageTerms, key: str
    ) -> str:
        async def post(numbered_key: str) -> str:
            return await self._catalog.create_metered_price(
                stripe_product_id, plan, terms, numbered_key
            )

        async def find() -> str | None:
            return await self._catalog.find_metered_price(terms.stripe_meter_id, terms.overage_id)

        return await post_once(f"{key}:overage:{terms.overage_id}", post, find)
