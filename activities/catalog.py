"""Stripe's small jobs about plans: a product and its price."""

from typing import Any

from temporalio import activity

from adapters.stripe.catalog import StripeCatalog
from database.plans import PlanRepository
from database.session import Sessions
from domain.errands import ErrandResult, PlanRequest, StripeErrand
from domain.errors import InvalidInputError, NotFoundError
from domain.ids import errand_workflow_id

COLUMNS = {"features": "features_data", "limits": "limits_data"}
PRICED = ("amount_cents", "currency_code", "interval", "interval_count")


class CatalogActivities:
    """Plans here, products and prices at Stripe."""

    def __init__(self, catalog: StripeCatalog, sessions: Sessions) -> None:
        self._catalog = catalog
        self._sessions = sessions

    @activity.defn
    async def create_plan(self, errand: StripeErrand) -> ErrandResult:
        """Make product and price at Stripe, then the plan here.

        Args:
            errand: With the whole plan; its resource id becomes the row's.

        Returns:
            The plan's row.

        Raises:
            ConflictError: Another plan has this code.
            ApplicationError: Stripe refused, or is down.
        """
        plan, key = _plan(errand), errand_workflow_id(errand.errand_id)
        product_id = await self._catalog.create_product(
            str(errand.resource_id),
            plan.name or "",
            f"{key}:product",
        )
        price_id = await self._catalog.create_price(product_id, plan, f"{key}:price")
        ids = {"stripe_product_id": product_id, "stripe_price_id": price_id}
        async with self._sessions.begin() as session:
            await PlanRepository(session).put(errand.resource_id, _values(plan) | ids)
        return ErrandResult(resource_id=errand.resource_id)

    @activity.defn
    async def change_plan(self, errand: StripeErrand) -> ErrandResult:
        """Change a plan; another amount is another price, and subscriptions keep the one they have.

        Args:
            errand: With what is to change.

        Returns:
            The plan's row.

        Raises:
            ApplicationError: There is no such plan, Stripe refused, or is down.
        """
        change, key = _plan(errand), errand_workflow_id(errand.errand_id)
        async with self._sessions() as session:
            row = await PlanRepository(session).get(errand.resource_id)
        if row is None:
            raise NotFoundError("there is no such plan")
        values = _values(change)
        if change.name is not None and change.name != row.name:
            product_id = row.stripe_product_id
            await self._catalog.rename_product(product_id, change.name, f"{key}:product")
        if any(values.get(name, getattr(row, name)) != getattr(row, name) for name in PRICED):
            whole = PlanRequest(**{name: values.get(name, getattr(row, name)) for name in PRICED})
            price_id = await self._catalog.create_price(
                row.stripe_product_id,
                whole,
                f"{key}:price",
            )
            values["stripe_price_id"] = price_id
        async with self._sessions.begin() as session:
            await PlanRepository(session).change(errand.resource_id, values)
        return ErrandResult(resource_id=errand.resource_id)


def _plan(errand: StripeErrand) -> PlanRequest:
    if errand.plan is None:
        raise InvalidInputError("this errand needs a plan")
    return errand.plan


def _values(plan: PlanRequest) -> dict[str, Any]:
    given = plan.model_dump(exclude_none=True)
    return {COLUMNS.get(name, name): value for name, value in given.items()}
