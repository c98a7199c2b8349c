"""Runs and calls of models against limits per hour, day and period: at borders, and in parallel."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import event, select, update

from activities.agents.runs import RunActivities
from adapters.llm.pricing import Prices
from database.agents.models import AgentRun
from database.session import Sessions
from database.usage.models import UsageRecord
from domain.agents.budgets import Reservation
from domain.errors import BudgetExceededError, LimitReachedError
from domain.llm.messages import TokenUsage
from domain.llm.routing import Target
from services.agents.admission import check_admission, record_run
from services.agents.tools.catalog import ToolCatalog
from services.agents.usage import Call, UsageMeter, source_key
from services.usage.entitlements import read_entitlements
from tests.integration.agents.test_rows import customer, request

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
TARGET = Target(model="m")
METER = UsageMeter(Prices("openai", None, None, None, None))


async def open_run(sessions: Sessions, user_id: UUID) -> AgentRun:
    wanted = request(user_id)
    await RunActivities(sessions, ToolCatalog()).open_run(wanted)
    async with sessions() as session:
        return await session.get_one(AgentRun, wanted.agent_run_id)


async def reserve(sessions: Sessions, run: AgentRun, step: int) -> Reservation:
    call = Call(step=step, attempt=1, target=TARGET, prompt_tokens=10, requested_tokens=30)
    async with sessions.begin() as session:
        return await METER.reserve(session, run, call)


async def settle(sessions: Sessions, run: AgentRun, step: int, used: TokenUsage) -> None:
    async with sessions.begin() as session:
        key = source_key(run.agent_run_id, step, 1)
        await METER.settle(session, key, TARGET, used, outcome="succeeded")


async def move_usage(sessions: Sessions, user_id: UUID, at: datetime) -> None:
    """Let all usage of a user have been made at another time."""
    async with sessions.begin() as session:
        await session.execute(
            update(UsageRecord).where(UsageRecord.user_id == user_id).values(created_at=at)
        )


def border_of(at: datetime, per: str) -> datetime:
    hour = at.replace(minute=0, second=0, microsecond=0)
    return hour if per == "hour" else hour.replace(hour=0)


@pytest.mark.parametrize("per", ["hour", "day"])
async def test_a_limit_is_new_when_its_window_begins(sessions: Sessions, per: str) -> None:
    user_id = await customer(sessions, agent_run_count={"count": 2, "per": per})
    for _ in range(2):
        await open_run(sessions, user_id)
    with pytest.raises(LimitReachedError) as caught:
        await open_run(sessions, user_id)
    now = datetime.now(UTC)
    ends = border_of(now, per) + (HOUR if per == "hour" else DAY)
    assert caught.value.details == {
        "limit": "agent_run_count",
        "limit_value": 2,
        "per": per,
        "resets_at": ends.isoformat(),
    }
    async with sessions() as session:
        # Reason: grace and periods do not end between these times.
        with pytest.raises(LimitReachedError):
            await check_admission(session, user_id, ends - timedelta(microseconds=1))
        await check_admission(session, user_id, ends)
    await move_usage(sessions, user_id, border_of(now, per) - timedelta(microseconds=1))
    await open_run(sessions, user_id)


async def test_a_run_counts_in_the_window_for_which_it_was_admitted(sessions: Sessions) -> None:
    user_id = await customer(sessions, agent_run_count={"count": 5, "per": "hour"})
    run = await open_run(sessions, user_id)
    last = border_of(datetime.now(UTC), "hour") - timedelta(microseconds=1)
    async with sessions.begin() as session:
        await session.execute(
            update(UsageRecord).where(UsageRecord.user_id == user_id).values(source_key=uuid4().hex)
        )
        await record_run(session, run, last)
        rows = await session.scalars(
            select(UsageRecord.created_at)
            .where(UsageRecord.user_id == user_id)
            .order_by(UsageRecord.created_at)
        )
        assert rows.first() == last


@pytest.mark.parametrize("per", ["hour", "day", "period"])
async def test_calls_in_parallel_never_exceed_the_limit(sessions: Sessions, per: str) -> None:
    """Each call takes 40 tokens at most: three fit in 120, whoever comes first."""
    user_id = await customer(sessions, token_count={"count": 120, "per": per})
    runs = [await open_run(sessions, user_id) for _ in range(2)]
    asked = [reserve(sessions, runs[step % 2], step) for step in range(12)]
    given = await asyncio.gather(*asked, return_exceptions=True)
    taken = [each for each in given if isinstance(each, Reservation)]
    assert sum(each.token_count for each in taken) <= 120
    assert len(taken) == 3
    assert all(isinstance(each, BudgetExceededError | Reservation) for each in given)
    for step, outcome in enumerate(given):
        if isinstance(outcome, Reservation):
            await settle(sessions, runs[step % 2], step, TokenUsage(prompt_tokens=4))
    # Reason: what was reserved and not used can be used by others.
    assert (await reserve(sessions, runs[0], 99)).token_count == 40


@pytest.mark.parametrize("per", ["hour", "day", "period"])
async def test_runs_in_parallel_never_exceed_the_limit(sessions: Sessions, per: str) -> None:
    user_id = await customer(sessions, agent_run_count={"count": 3, "per": per})
    tries = [open_run(sessions, user_id) for _ in range(10)]
    done = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(each, AgentRun) for each in done) == 3
    assert sum(isinstance(each, LimitReachedError) for each in done) == 7


async def test_calls_at_the_end_of_an_hour_leave_the_next_one_whole(sessions: Sessions) -> None:
    user_id = await customer(sessions, token_count={"count": 40, "per": "hour"})
    run = await open_run(sessions, user_id)
    assert (await reserve(sessions, run, 1)).token_count == 40
    with pytest.raises(BudgetExceededError):
        await reserve(sessions, run, 2)
    border = border_of(datetime.now(UTC), "hour")
    await move_usage(sessions, user_id, border - timedelta(microseconds=1))
    assert (await reserve(sessions, run, 2)).token_count == 40


async def test_a_period_that_ended_is_not_counted_in_the_next(sessions: Sessions) -> None:
    user_id = await customer(sessions, agent_run_count=1, token_count={"count": 9, "per": "day"})
    run = await open_run(sessions, user_id)
    with pytest.raises(LimitReachedError):
        await open_run(sessions, user_id)
    async with sessions.begin() as session:
        await session.execute(
            update(UsageRecord)
            .where(UsageRecord.user_id == user_id)
            .values(period_start=(run.period_start or datetime.now(UTC)) - 30 * DAY)
        )
    assert await open_run(sessions, user_id)


async def test_entitlements_are_one_statement(sessions: Sessions) -> None:
    limits: Mapping[str, Any] = {"agent_run_count": {"count": 5, "per": "hour"}, "token_count": 900}
    user_id = await customer(sessions, **limits)
    run = await open_run(sessions, user_id)
    await reserve(sessions, run, 1)
    await settle(sessions, run, 1, TokenUsage(prompt_tokens=4, completion_tokens=3))
    await reserve(sessions, run, 2)
    statements: list[str] = []
    async with sessions() as session:
        engine = session.get_bind().engine

        def note(_: object, __: object, statement: str, *___: object) -> None:
            statements.append(statement)

        event.listen(engine, "before_cursor_execute", note)
        try:
            found = await read_entitlements(session, user_id, datetime.now(UTC))
        finally:
            event.remove(engine, "before_cursor_execute", note)
    assert found is not None
    assert len(statements) == 1
    runs, tokens, _ = found.metrics
    assert [runs.used, runs.held] == [Decimal(1)] * 2
    assert [tokens.used, tokens.held] == [Decimal(7), Decimal(47)]


async def test_a_user_who_is_not_there_has_no_entitlements(sessions: Sessions) -> None:
    async with sessions() as session:
        assert await read_entitlements(session, uuid4(), datetime.now(UTC)) is None
