"""The activities that create and change plans, with their products and prices at Stripe."""

from typing import Any

from temporalio import activity

from adapters.stripe.catalog import StripeCatalog
from database.plans.plans import PlanRepository
from database.session import Sessions
from domain.errors import InvalidInputError, NotFoundError
from domain.ids import derived_id, stripe_operation_workflow_id
from domain.plans import PlanRequest
from domain.stripe_operations import ChangePlan, CreatePlan, StripeOperation, StripeOperationResult
from services.plans import OveragePrices
from services.stripe_idempotency import post_once

COLUMNS = {"features": "features_data", "limits": "limits_data", "overage": "overage_data"}
PRICED = ("amount_cents", "currency_code", "interval", "interval_count")


class CatalogActivities:
    """The activities that write plans, products and prices."""

    def __init__(self, catalog: StripeCatalog, overage: OveragePrices, sessions: Sessions) -> None:
        self._catalog = catalog
        self._overage = overage
        self._sessions = sessions

    @activity.defn
    async def create_plan(self, operation: CreatePlan) -> StripeOperationResult:
        """Create a product and a price at Stripe, or take over a price, then write the plan's row.

        Args:
            operation: The whole plan; the operation's resource id becomes the row's id.

        Returns:
            The id of the plan's row.

        Raises:
            ConflictError: Another plan has this code.
            InvalidInputError: The price to take over does not exist, or is another one.
            ApplicationError: Stripe refused, or is down.
        """
        plan, key = operation.plan, stripe_operation_workflow_id(operation.operation_id)
        if plan.stripe_price_id is None:
            product_id = await self._create_product(operation, plan, key)
            price_id = await self._create_price(product_id, operation, plan, key)
        else:
            product_id = await self._product_of(plan.stripe_price_id, plan)
            price_id = plan.stripe_price_id
        ids: dict[str, Any] = {"stripe_product_id": product_id, "stripe_price_id": price_id}
        if plan.overage:
            ids["stripe_overage_data"] = await self._overage.ensure(
                operation.resource_id, plan, {}, key
            )
        async with self._sessions.begin() as session:
            await PlanRepository(session).put(operation.resource_id, _values(plan) | ids)
        return StripeOperationResult(resource_id=operation.resource_id)

    @activity.defn
    async def change_plan(self, operation: ChangePlan) -> StripeOperationResult:
        """Change a plan; a new amount needs a new price, and existing subscriptions keep theirs.

        Args:
            operation: The fields to change.

        Returns:
            The id of the plan's row.

        Raises:
            ApplicationError: There is no such plan, or Stripe refused or is down.
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
            priced_plan = PlanRequest(
                **{name: values.get(name, getattr(row, name)) for name in PRICED}
            )
            # Reason: each key needs fixed parameters, and the row may change between two attempts.
            price_key = f"{key}:{derived_id(*priced_plan.model_dump().values())}"
            values["stripe_price_id"] = await self._create_price(
                row.stripe_product_id,
                operation,
                priced_plan,
                price_key,
            )
        if change.overage is not None:
            priced = {name: getattr(row, name) for name in (*PRICED, "code")}
            wanted = PlanRequest(**priced, overage=change.overage)
            values["stripe_overage_data"] = await self._overage.ensure(
                row.plan_id, wanted, row.stripe_overage_data, key
            )
        async with self._sessions.begin() as session:
            await PlanRepository(session).change(operation.resource_id, values)
        return StripeOperationResult(resource_id=operation.resource_id)

    async def _product_of(self, stripe_price_id: str, plan: PlanRequest) -> str:
        """Return the product of a price that a plan takes over."""
        try:
            price = await self._catalog.price(stripe_price_id)
        except NotFoundError as error:
            raise InvalidInputError("Stripe has no such price") from error
        if not price.is_active:
            raise InvalidInputError("the price is not active at Stripe")
        if names := price.differences(plan):
            raise InvalidInputError(f"the price at Stripe has another {', '.join(names)}")
        return price.stripe_product_id

    async def _create_product(self, operation: StripeOperation, plan: PlanRequest, key: str) -> str:
        async def post(numbered_key: str) -> str:
            return await self._catalog.create_product(
                operation.resource_id,
                plan.name or "",
                numbered_key,
            )

        async def find() -> str | None:
            return await self._catalog.find_product(operation.resource_id)

        return await post_once(f"{key}:product", post, find)

    async def _create_price(
        self,
        stripe_product_id: str,
        operation: StripeOperation,
        plan: PlanRequest,
        key: str,
    ) -> str:
        async def post(numbered_key: str) -> str:
            return await self._catalog.create_price(
                stripe_product_id,
                operation.operation_id,
                plan,
                numbered_key,
            )

        async def find() -> str | None:
            return await self._catalog.find_price(stripe_product_id, operation.operation_id)

        return await post_once(f"{key}:price", post, find)

    async def _rename(self, stripe_product_id: str, name: str, key: str) -> None:
        async def post(numbered_key: str) -> bool:
            await self._catalog.rename_product(stripe_product_id, name, numbered_key)
            return True

        async def find() -> bool | None:
            return await self._catalog.product_name(stripe_product_id) == name or None

        await post_once(key, post, find)


def _values(plan: PlanRequest) -> dict[str, Any]:
    given = plan.model_dump(mode="json", exclude_none=True)
    return {COLUMNS.get(name, name): value for name, value in given.items()}
