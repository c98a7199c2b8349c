"""Repository of usage records; the caller owns the transaction.

A `reserved` record counts at its worst case, a `settled` one at its real usage.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, case, func, literal, select, true, tuple_, update
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import AsyncSession

from database.accounts.models import User
from database.usage.models import UsageRecord
from database.usage.sums import (
    HELD_CENTS,
    HELD_TOKENS,
    SETTLED,
    allowance_of,
    read_sums,
    usage_sums,
)
from domain.plans import LimitWindow
from domain.usage.amounts import Allowance, UsageTotal, WindowUsage
from domain.usage.windows import day_of, hour_of

Period = tuple[UUID, datetime]

# Reason: building these statements takes longer than executing them, and every step needs them.
_IN_PERIODS = (
    select(*usage_sums("period_"))
    .where(
        tuple_(UsageRecord.subscription_id, UsageRecord.period_start).in_(
            bindparam("periods", expanding=True),
        ),
    )
    .subquery("in_periods")
)
_IN_HOUR = UsageRecord.created_at >= bindparam("hour")
_RECENT = (
    select(*usage_sums("hour_", _IN_HOUR), *usage_sums("day_"))
    .where(UsageRecord.user_id == bindparam("user_id"), UsageRecord.created_at >= bindparam("day"))
    .subquery("recent")
)
_BY_RUN = (
    select(func.sum(HELD_TOKENS).label("run_tokens"), func.sum(HELD_CENTS).label("run_cents"))
    .where(UsageRecord.agent_run_id == bindparam("agent_run_id"))
    .subquery("by_run")
)
_HELD = select(_BY_RUN, _IN_PERIODS, _RECENT).select_from(
    _BY_RUN.join(_IN_PERIODS, true()).join(_RECENT, true()),
)
_ADD = insert(UsageRecord).on_conflict_do_nothing(index_elements=["source_key"])
_SETTLE = (
    update(UsageRecord)
    .where(UsageRecord.source_key == bindparam("record"))
    .values(
        usage_status=SETTLED,
        settled_at=func.now(),
        # Reason: usage that is booked on no subscription has no limit and is not billed.
        review_due_at=case((UsageRecord.subscription_id.is_not(None), func.now())),
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

    async def name_batch(self, source_key: str, batch_id: str) -> str:
        """Store the provider's id of an attempt's batch, and return the one that counts.

        An id that is stored already counts: another worker has been faster.
        """
        data: Any = UsageRecord.batch_data
        named, unchanged = literal({"batch_id": batch_id}, JSONB), literal({}, JSONB)
        added = case((data["batch_id"].astext.is_(None), named), else_=unchanged)
        statement = (
            update(UsageRecord)
            .where(UsageRecord.source_key == source_key)
            .values(batch_data=data + added)
            .returning(data["batch_id"].astext)
            .execution_options(synchronize_session=False)
        )
        return await self._session.scalar(statement) or batch_id

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
        self, agent_run_id: UUID, user_id: UUID, periods: Sequence[Period], at: datetime
    ) -> tuple[Allowance, dict[LimitWindow, WindowUsage]]:
        """Return used and reserved amounts of a run, and the usage of its user by window.

        Args:
            agent_run_id: The run.
            user_id: Owner of the run.
            periods: Periods of subscriptions that count.
            at: Time whose hour and day count.
        """
        parameters = {
            "agent_run_id": agent_run_id,
            "user_id": user_id,
            "periods": periods,
            "hour": hour_of(at),
            "day": day_of(at),
        }
        row = (await self._session.execute(_HELD, parameters)).one()
        by_window = {per: read_sums(row, f"{per}_") for per in LimitWindow}
        return allowance_of(row.run_tokens, row.run_cents), by_window

    async def held_by_runs(self, agent_run_ids: Sequence[UUID]) -> Allowance:
        """Return used and reserved amounts of several runs together."""
        statement = select(func.sum(HELD_TOKENS), func.sum(HELD_CENTS)).where(
            UsageRecord.agent_run_id.in_(agent_run_ids)
        )
        tokens, cents = (await self._session.execute(statement)).one()
        return allowance_of(tokens, cents)

    async def totals(self, agent_run_ids: Sequence[UUID]) -> dict[UUID, UsageTotal]:
        """Return the usage of several runs, by run; runs without usage are left out."""
        statement = (
            select(UsageRecord.agent_run_id, *usage_sums())
            .where(UsageRecord.agent_run_id.in_(agent_run_ids))
            .group_by(UsageRecord.agent_run_id)
        )
        rows = await self._session.execute(statement)
        return {row.agent_run_id: read_sums(row) for row in rows}
