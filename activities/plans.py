"""Stripe's small jobs about plans: a product and its price."""

from typing import Any

from temporalio import activity

from adapters.stripe.catalog import StripeCatalog
from database.plans.plans import PlanRepository
from database.session import Sessions
from domain.errors import NotFoundError
from domain.ids import derived_id, stripe_operation_workflow_id
from domain.plans import PlanRequest
from domain.stripe_operations import ChangePlan, CreatePlan, StripeOperation, StripeOperationResult
from services.stripe_idempotency import post_once

COLUMNS = {"features": "features_data", "limits": "limits_data"}
PRICED = ("amount_cents", "currency_code", "interval", "interval_count")


class CatalogActivities:
    """Plans here, products and prices at Stripe."""

    def __init__(self, catalog: StripeCatalog, sessions: Sessions) -> None:
        self._catalog = catalog
        self._sessions = sessions

    @activity.defn
    async def create_plan(self, operation: CreatePlan) -> StripeOperationResult:
        """Make product and price at Stripe, then the plan here.

        Args:
            operation: With the whole plan; its resource id becomes the row's.

        Returns:
            The plan's row.

        Raises:
            ConflictError: Another plan has this code.
            ApplicationError: Stripe refused, or is down.
        """
        plan, key = operation.plan, stripe_operation_workflow_id(operation.operation_id)
        product_id = await self._product(operation, plan, key)
        price_id = await self._price(product_id, operation, plan, key)
        ids = {"stripe_product_id": product_id, "stripe_price_id": price_id}
        async with self._sessions.begin() as session:
            await PlanRepository(session).put(operation.resource_id, _values(plan) | ids)
        return StripeOperationResult(resource_id=operation.resource_id)

    @activity.defn
    async def change_plan(self, operation: ChangePlan) -> StripeOperationResult:
        """Change a plan; another amount is another price, and subscriptions keep the one they have.

        Args:
            operation: With what is to change.

        Returns:
            The plan's row.

        Raises:
            ApplicationError: There is no such plan, Stripe refused, or is down.
        """
        change, key = operation.plan, stripe_operation_workflow_id(operation.operation_id)
        async with self._sessions() as session:
            row = await PlanRepository(session).get(operation.resource_id)
        if row is None:
            raise NotFoundError("there is no such plan")
        values = _values(change)
        if change.name is not None and change.name != row.name:
            await self._rename(row.stripe_product_id, change.name, f"{key}:product")
        if any(values.get(name, getattr(row, name)) != getattr(row, name) for name in PRICED):
            whole = PlanRequest(**{name: values.get(name, getattr(row, name)) for name in PRICED})
            # Reason: another change may come between two tries; one key, one set of parameters.
            key = f"{key}:{derived_id(*whole.model_dump().values())}"
            values["stripe_price_id"] = await self._price(
                row.stripe_product_id,
                operation,
                whole,
                key,
            )
        async with self._sessions.begin() as session:
            await PlanRepository(session).change(operation.resource_id, values)
        return StripeOperationResult(resource_id=operation.resource_id)

    async def _product(self, operation: StripeOperation, plan: PlanRequest, key: str) -> str:
        async def post(numbered: str) -> str:
            return await self._catalog.create_product(
                operation.resource_id,
                plan.name or "",
                numbered,
            )

        async def find() -> str | None:
            return await self._catalog.find_product(operation.resource_id)

        return await post_once(f"{key}:product", post, find)

    async def _price(
        self,
        stripe_product_id: str,
        operation: StripeOperation,
        plan: PlanRequest,
        key: str,
    ) -> str:
        async def post(numbered: str) -> str:
            return await self._catalog.create_price(
                stripe_product_id,
                operation.operation_id,
                plan,
                numbered,
            )

        async def find() -> str | None:
            return await self._catalog.find_price(stripe_product_id, operation.operation_id)

        return await post_once(f"{key}:price", post, find)

    async def _rename(self, stripe_product_id: str, name: str, key: str) -> None:
        async def post(numbered: str) -> bool:
            await self._catalog.rename_product(stripe_product_id, name, numbered)
            return True

        async def find() -> bool | None:
            return await self._catalog.product_name(stripe_product_id) == name or None

        await post_once(key, post, find)


def _values(plan: PlanRequest) -> dict[str, Any]:
    given = plan.model_dump(exclude_none=True)
    return {COLUMNS.get(name, name): value for name, value in given.items()}
