"""Repository of usage records; the caller owns the transaction.

A `reserved` record counts at its worst case, a `settled` one at its real usage.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Select, bindparam, case, func, select, true, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.elements import ColumnElement

from database.accounts.models import User
from database.agents.models import UsageRecord
from domain.agents.budgets import Allowance
from domain.agents.runs import UsageTotal

RESERVED = "reserved"
SETTLED = "settled"
AGENT_RUN = "agent_run"
MODEL_CALL = "model_call"

Period = tuple[UUID, datetime]


_IN_PERIODS = tuple_(UsageRecord.subscription_id, UsageRecord.period_start).in_(
    bindparam("periods", expanding=True),
)


def _held(condition: ColumnElement[bool]) -> Select[Decimal | None, Decimal | None]:
    """Build the statement that sums up reserved and used tokens and cents."""
    is_open = UsageRecord.usage_status == RESERVED
    used_tokens = UsageRecord.prompt_token_count + UsageRecord.completion_token_count
    reserved_tokens = (
        UsageRecord.reserved_prompt_token_count + UsageRecord.reserved_completion_token_count
    )
    tokens = case((is_open, reserved_tokens), else_=used_tokens)
    cents = case((is_open, UsageRecord.reserved_cost_cents), else_=UsageRecord.cost_cents)
    sums = func.sum(tokens).label("tokens"), func.sum(cents).label("cents")
    return select(*sums).where(condition)


def _sums() -> tuple[ColumnElement[Any], ...]:
    is_run = UsageRecord.usage_kind == AGENT_RUN
    return (
        func.count().filter(is_run),
        func.sum(UsageRecord.prompt_token_count),
        func.sum(UsageRecord.completion_token_count),
        func.sum(UsageRecord.cost_cents),
    )


# Reason: building these statements takes longer than executing them, and every step needs them.
_USED_IN = select(*_sums()).where(_IN_PERIODS)
_HELD_IN = _held(_IN_PERIODS)
_BY_RUN = _held(UsageRecord.agent_run_id == bindparam("agent_run_id")).subquery("by_run")
_IN_ALL = _HELD_IN.subquery("in_all")
_HELD = select(_BY_RUN, _IN_ALL).select_from(_BY_RUN.join(_IN_ALL, true()))
_ADD = insert(UsageRecord).on_conflict_do_nothing(index_elements=["source_key"])
_SETTLE = (
    update(UsageRecord)
    .where(UsageRecord.source_key == bindparam("record"))
    .values(
        usage_status=SETTLED,
        settled_at=func.now(),
        prompt_token_count=bindparam("prompt_token_count"),
        completion_token_count=bindparam("completion_token_count"),
        cached_prompt_token_count=bindparam("cached_prompt_token_count"),
        cache_write_token_count=bindparam("cache_write_token_count"),
        reasoning_token_count=bindparam("reasoning_token_count"),
        cost_cents=bindparam("cost_cents"),
        outcome=bindparam("outcome"),
        is_priced=bindparam("is_priced"),
        is_estimated=bindparam("is_estimated"),
    )
    .execution_options(synchronize_session=False)
)
_OF_RUN = (
    select(UsageRecord)
    .where(UsageRecord.agent_run_id == bindparam("agent_run_id"))
    .order_by(UsageRecord.step, UsageRecord.attempt)
)
_LOCK_USER = (
    select(User.user_id)
    .where(User.user_id == bindparam("user_id"))
    # Reason: with `key_share`, inserts of rows that refer to the user need not wait.
    .with_for_update(key_share=True)
)


class UsageRepository:
    """Reads and writes `usage_records` within one session."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def lock_user_usage(self, user_id: UUID) -> None:
        """Lock a user's allowance until the transaction ends."""
        await self._session.execute(_LOCK_USER, {"user_id": user_id})

    async def add(self, values: Mapping[str, Any]) -> None:
        """Store a record, unless one with the same source key is already stored."""
        await self._session.execute(_ADD, dict(values))

    async def settle(self, source_key: str, values: Mapping[str, Any]) -> None:
        """Settle a record at its real usage."""
        await self._session.execute(_SETTLE, {"record": source_key, **values})

    async def of_step(self, agent_run_id: UUID, step: int) -> Sequence[UsageRecord]:
        """Return the attempts at one step, oldest first."""
        statement = (
            select(UsageRecord)
            .where(UsageRecord.agent_run_id == agent_run_id, UsageRecord.step == step)
            .order_by(UsageRecord.attempt)
        )
        return (await self._session.scalars(statement)).all()

    async def of_run(self, agent_run_id: UUID) -> Sequence[UsageRecord]:
        """Return all records of a run, ordered by step and attempt."""
        return (await self._session.scalars(_OF_RUN, {"agent_run_id": agent_run_id})).all()

    async def held(
        self, agent_run_id: UUID, periods: Sequence[Period]
    ) -> tuple[Allowance, Allowance]:
        """Return used and reserved amounts: of a run, and of these periods of subscriptions."""
        parameters = {"agent_run_id": agent_run_id, "periods": periods}
        row = (await self._session.execute(_HELD, parameters)).one()
        return _allowance(*row[:2]), _allowance(*row[2:])

    async def held_in(self, periods: Sequence[Period]) -> Allowance:
        """Return used and reserved amounts of these periods of subscriptions."""
        return _allowance(*(await self._session.execute(_HELD_IN, {"periods": periods})).one())

    async def totals(self, agent_run_ids: Sequence[UUID]) -> dict[UUID, UsageTotal]:
        """Return the usage of several runs, by run; runs without usage are left out."""
        statement = (
            select(UsageRecord.agent_run_id, *_sums())
            .where(UsageRecord.agent_run_id.in_(agent_run_ids))
            .group_by(UsageRecord.agent_run_id)
        )
        rows = await self._session.execute(statement)
        return {row[0]: _total(row[1:]) for row in rows}

    async def used_in(self, periods: Sequence[Period]) -> UsageTotal:
        """Return the usage in these periods of subscriptions."""
        found = await self._session.execute(_USED_IN, {"periods": periods})
        return _total(found.one())


def _allowance(tokens: Decimal | None, cents: Decimal | None) -> Allowance:
    return Allowance(token_count=int(tokens or 0), cost_cents=Decimal(cents or 0))


def _total(row: Any) -> UsageTotal:
    return UsageTotal(
        agent_run_count=row[0] or 0,
        prompt_token_count=int(row[1] or 0),
        completion_token_count=int(row[2] or 0),
        cost_cents=Decimal(row[3] or 0),
    )
