"""All SQL about what was used up. Never commits: the caller owns the transaction.

A record that is `reserved` counts at its worst case, a `settled` one at what it really used.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import case, func, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.elements import ColumnElement

from database.agent_models import UsageRecord
from database.models import User
from domain.agent_runs import UsageTotal
from domain.budgets import Means

RESERVED = "reserved"
SETTLED = "settled"
AGENT_RUN = "agent_run"
MODEL_CALL = "model_call"

Period = tuple[UUID, datetime]


class UsageRepository:
    """Reads and writes `usage_records` within one session."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def lock_means(self, user_id: UUID) -> None:
        """Let nobody else decide about this user's means until the transaction ends."""
        statement = select(User.user_id).where(User.user_id == user_id)
        # Reason: other rows refer to the user, and need not wait for us.
        await self._session.execute(statement.with_for_update(key_share=True))

    async def add(self, values: Mapping[str, Any]) -> None:
        """Store a record; one with the same source is there already and stays as it is."""
        statement = insert(UsageRecord).values(**values)
        await self._session.execute(
            statement.on_conflict_do_nothing(index_elements=["source_key"]),
        )

    async def get(self, source_key: str) -> UsageRecord:
        """Return a record that was reserved."""
        statement = select(UsageRecord).where(UsageRecord.source_key == source_key)
        return (await self._session.scalars(statement)).one()

    async def settle(self, source_key: str, values: Mapping[str, Any]) -> None:
        """Write down what was really used."""
        await self._session.execute(
            update(UsageRecord)
            .where(UsageRecord.source_key == source_key)
            .values(usage_status=SETTLED, settled_at=func.now(), **values),
        )

    async def of_step(self, agent_run_id: UUID, step: int) -> Sequence[UsageRecord]:
        """Return the attempts at one step, oldest first."""
        statement = (
            select(UsageRecord)
            .where(UsageRecord.agent_run_id == agent_run_id, UsageRecord.step == step)
            .order_by(UsageRecord.attempt)
        )
        return (await self._session.scalars(statement)).all()

    async def of_run(self, agent_run_id: UUID) -> Sequence[UsageRecord]:
        """Return all records of a run, in the order of its steps and their attempts."""
        statement = (
            select(UsageRecord)
            .where(UsageRecord.agent_run_id == agent_run_id)
            .order_by(UsageRecord.step, UsageRecord.attempt)
        )
        return (await self._session.scalars(statement)).all()

    async def open_ones(self, agent_run_id: UUID) -> Sequence[UsageRecord]:
        """Return the attempts of a run that were never settled."""
        statement = select(UsageRecord).where(
            UsageRecord.agent_run_id == agent_run_id,
            UsageRecord.usage_status == RESERVED,
        )
        return (await self._session.scalars(statement)).all()

    async def held_by_run(self, agent_run_id: UUID) -> Means:
        """Return what a run has used, and holds."""
        return await self._held(UsageRecord.agent_run_id == agent_run_id)

    async def held_in(self, periods: Sequence[Period]) -> Means:
        """Return what was used, and is held, in these subscriptions' periods."""
        return await self._held(_in(periods)) if periods else Means(token_count=0)

    async def totals(self, agent_run_ids: Sequence[UUID]) -> dict[UUID, UsageTotal]:
        """Return what runs have used up, by run; one that used nothing is left out."""
        statement = (
            select(UsageRecord.agent_run_id, *_sums())
            .where(UsageRecord.agent_run_id.in_(agent_run_ids))
            .group_by(UsageRecord.agent_run_id)
        )
        rows = await self._session.execute(statement)
        return {row[0]: _total(row[1:]) for row in rows}

    async def used_in(self, periods: Sequence[Period]) -> UsageTotal:
        """Return what was used up in these subscriptions' periods."""
        if not periods:
            return UsageTotal()
        return _total((await self._session.execute(select(*_sums()).where(_in(periods)))).one())

    async def _held(self, condition: ColumnElement[bool]) -> Means:
        is_open = UsageRecord.usage_status == RESERVED
        used_tokens = UsageRecord.prompt_token_count + UsageRecord.completion_token_count
        reserved_tokens = (
            UsageRecord.reserved_prompt_token_count + UsageRecord.reserved_completion_token_count
        )
        tokens = case((is_open, reserved_tokens), else_=used_tokens)
        cents = case((is_open, UsageRecord.reserved_cost_cents), else_=UsageRecord.cost_cents)
        statement = select(func.sum(tokens), func.sum(cents)).where(condition)
        row = (await self._session.execute(statement)).one()
        return Means(token_count=int(row[0] or 0), cost_cents=Decimal(row[1] or 0))


def _in(periods: Sequence[Period]) -> ColumnElement[bool]:
    place = tuple_(UsageRecord.subscription_id, UsageRecord.period_start)
    return or_(*(place == tuple_(*period) for period in periods))


def _sums() -> tuple[ColumnElement[Any], ...]:
    is_run = UsageRecord.usage_kind == AGENT_RUN
    return (
        func.count().filter(is_run),
        func.sum(UsageRecord.prompt_token_count),
        func.sum(UsageRecord.completion_token_count),
        func.sum(UsageRecord.cost_cents),
    )


def _total(row: Any) -> UsageTotal:
    return UsageTotal(
        agent_run_count=row[0] or 0,
        prompt_token_count=int(row[1] or 0),
        completion_token_count=int(row[2] or 0),
        cost_cents=Decimal(row[3] or 0),
    )
