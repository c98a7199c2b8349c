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

    async def get_by_product(self, stripe_product_id: str) -> Plan | None:
        """Return the plan of a product at Stripe, or None."""
        statement = select(Plan).where(Plan.stripe_product_id == stripe_product_id).limit(1)
        return await self._session.scalar(statement)

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
