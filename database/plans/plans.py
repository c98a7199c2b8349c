"""Repository of plans; the caller owns the transaction."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import column, func, select, true, update
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from database.paging import Page, newest_first
from database.plans.models import Plan
from domain.errors import ConflictError


class PlanRepository:
    """Reads and writes `plans` within one session."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def get(self, plan_id: UUID) -> Plan | None:
        """Return a plan, or None."""
        return await self._session.get(Plan, plan_id)

    async def get_by_code(self, code: str) -> Plan | None:
        """Return the plan with this code, or None."""
        return await self._session.scalar(select(Plan).where(Plan.code == code))

    async def of_price(
        self, stripe_price_id: str | None, stripe_product_id: str | None
    ) -> Plan | None:
        """Return the plan that a price at Stripe belongs to, or None.

        Args:
            stripe_price_id: The price, which may be an older one of the plan.
            stripe_product_id: Product of the price; it decides if only one plan has it.
        """
        by_price = select(Plan).where(Plan.stripe_price_id == stripe_price_id).limit(1)
        if stripe_price_id and (plan := await self._session.scalar(by_price)):
            return plan
        if stripe_product_id is None:
            return None
        by_product = select(Plan).where(Plan.stripe_product_id == stripe_product_id).limit(2)
        plans = (await self._session.scalars(by_product)).all()
        return plans[0] if len(plans) == 1 else None

    async def of_meters(self, stripe_meter_ids: Collection[str]) -> Sequence[tuple[UUID, str]]:
        """Return the plans whose usage these meters at Stripe count, with the meter of each."""
        prices = func.jsonb_each(Plan.stripe_overage_data).table_valued(
            "key", column("value", JSONB), name="prices"
        )
        meter_id = prices.c.value["stripe_meter_id"].as_string()
        statement = (
            select(Plan.plan_id, meter_id)
            .select_from(Plan)
            .join(prices, true())
            .where(meter_id.in_(stripe_meter_ids))
        )
        return [(row[0], row[1]) for row in await self._session.execute(statement)]

    async def list(self, is_active: bool | None, limit: int, cursor: str | None) -> Page[Plan]:
        """Return one page of plans, newest first; for `is_active` None, of both kinds."""
        statement = select(Plan)
        if is_active is not None:
            statement = statement.where(Plan.is_active.is_(is_active))
        sort_key = (Plan.created_at, Plan.plan_id)
        return await newest_first(self._session, statement, sort_key, limit, cursor)

    async def put(self, plan_id: UUID, values: Mapping[str, Any]) -> None:
        """Store a plan, or update the stored plan with this id.

        Raises:
            ConflictError: Another plan has this code.
        """
        statement = insert(Plan).values(plan_id=plan_id, **values)
        statement = statement.on_conflict_do_update(index_elements=["plan_id"], set_=values)
        try:
            await self._session.execute(statement)
        except IntegrityError as error:
            raise ConflictError("another plan has this code", "plan_code_taken") from error

    async def change(self, plan_id: UUID, values: Mapping[str, Any]) -> None:
        """Change some columns of a plan."""
        await self._session.execute(update(Plan).where(Plan.plan_id == plan_id).values(**values))
