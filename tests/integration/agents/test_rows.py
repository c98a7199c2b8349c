"""What agents' activities write when two of them, or two attempts at one, run at the same time."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import update

from activities.agents.approvals import ApprovalActivities
from activities.agents.runs import RunActivities
from database.agents.agent_runs import AgentRunRepository
from database.agents.messages import MessageRepository, OptionalMessageFields
from database.agents.models import AgentRun
from database.agents.tool_calls import ToolCallRepository
from database.plans.models import Plan
from database.session import Sessions
from database.subscriptions.models import Subscription
from domain.agents.approvals import ApprovalCommand, Decision
from domain.agents.runs import NewRunMessage, OnBusy, QueuePosition, RunRequest, RunStatus
from domain.errors import IllegalCommandError, NotFoundError
from domain.llm.messages import ProviderCallParts, ProviderParts, Role
from services.agents.prompts import chat_message
from services.agents.tools.catalog import ToolCatalog
from tests.api.support import add_subscription, add_user
from tests.support.streams import add_run, append, finish, step


async def customer(sessions: Sessions, **limits: Any) -> UUID:
    """Somebody with access, within these limits."""
    user_id = await add_user(sessions)
    subscription_id = await add_subscription(sessions, user_id)
    now = datetime.now(UTC)
    async with sessions.begin() as session:
        found = await session.get_one(Subscription, subscription_id)
        found.current_period_start = now - timedelta(days=1)
        found.current_period_end = now + timedelta(days=1)
        await session.execute(
            update(Plan).where(Plan.plan_id == found.plan_id).values(limits_data=limits),
        )
    return user_id


def request(user_id: UUID, conversation_id: UUID | None = None, **more: OnBusy) -> RunRequest:
    return RunRequest(
        agent_run_id=uuid4(),
        user_id=user_id,
        agent="research",
        prompt_version="v1",
        input="hello",
        conversation_id=conversation_id or uuid4(),
        **more,
    )


async def ask_for_yes(sessions: Sessions, agent_run_id: UUID, position: int) -> UUID:
    call_id = uuid4()
    async with sessions.begin() as session:
        calls = ToolCallRepository(session)
        facts = {"call_id": call_id, "agent_run_id": agent_run_id, "args_sha256": "0" * 64}
        await calls.add(
            facts
            | {
                "step": 0,
                "position": position,
                "provider_call_id": "x",
                "tool": "refund_payment",
                "arguments_data": {},
                "tool_call_status": "requested",
            },
        )
        until = datetime.now(UTC) + timedelta(hours=1)
        status = {"approver_role": "admin", "approval_status": "pending", "expires_at": until}
        await calls.add_approval(facts | status)
    return call_id


async def test_the_last_of_two_yeses_at_once_sets_the_run_going(sessions: Sessions) -> None:
    admin_id = await add_user(sessions, role="admin")
    desk = ApprovalActivities(sessions, ToolCatalog())
    for _ in range(5):
        run_id = await add_run(sessions)
        async with sessions.begin() as session:
            waiting = {"run_status": RunStatus.WAITING_APPROVAL}
            await AgentRunRepository(session).change(run_id, waiting)
        calls = [await ask_for_yes(sessions, run_id, position) for position in range(4)]
        commands = [
            ApprovalCommand(
                command_id=uuid4(),
                agent_run_id=run_id,
                call_id=call_id,
                args_sha256="0" * 64,
                decision=Decision.APPROVE,
                decided_by=admin_id,
                role="admin",
            )
            for call_id in calls
        ]
        await asyncio.gather(*map(desk.decide_approval, commands))
        async with sessions() as session:
            run = await session.get_one(AgentRun, run_id)
        assert run.run_status == RunStatus.RUNNING


async def test_a_run_opened_twice_at_once_is_admitted_once(sessions: Sessions) -> None:
    """The second attempt must not be refused for what the first has taken."""
    desk = RunActivities(sessions, ToolCatalog())
    for limits, on_busy in (({"agent_run_count": 1}, OnBusy.ENQUEUE), ({}, OnBusy.REJECT)):
        for _ in range(3):
            wanted = request(await customer(sessions, **limits), on_busy=on_busy)
            turns = await asyncio.gather(*[desk.open_run(wanted) for _ in range(3)])
            assert turns == [QueuePosition(is_first=True)] * 3


async def test_a_run_under_way_is_before_older_ones_that_wait(sessions: Sessions) -> None:
    """Which transaction began first says nothing about which run was let in first."""
    desk, user_id = RunActivities(sessions, ToolCatalog()), await customer(sessions)
    first = request(user_id)
    second = request(user_id, first.conversation_id)
    assert (await desk.open_run(first)).is_first
    assert not (await desk.open_run(second)).is_first
    async with sessions.begin() as session:
        earlier = {"created_at": datetime.now(UTC) - timedelta(minutes=1)}
        await AgentRunRepository(session).change(second.agent_run_id, earlier)
    async with sessions() as session:
        line = await AgentRunRepository(session).open_runs_of_conversation(first.conversation_id)
    assert [run.agent_run_id for run in line] == [first.agent_run_id, second.agent_run_id]


async def test_nothing_is_told_after_done(sessions: Sessions) -> None:
    run_id = await add_run(sessions)
    await finish(sessions, run_id)
    with pytest.raises(NotFoundError):
        await append(sessions, run_id, step(1))
    message = NewRunMessage(command_id=uuid4(), agent_run_id=run_id, content="too late")
    with pytest.raises(IllegalCommandError) as caught:
        await RunActivities(sessions, ToolCatalog()).add_run_message(message)
    assert caught.value.details == {"run_status": "completed"}


async def test_what_a_provider_gave_is_kept_with_its_message(sessions: Sessions) -> None:
    run_id = await add_run(sessions)
    given = ProviderParts(
        model="m",
        parts={"reasoning_content": "Hm."},
        calls=(ProviderCallParts(id="abcDEF123", parts={"extra_content": {"x": 1}}),),
    )
    call = {"call_id": str(uuid4()), "tool": "search_memory", "arguments": "{}"}
    async with sessions.begin() as session:
        run = await session.get_one(AgentRun, run_id)
        messages = MessageRepository(session)
        rows: dict[str, OptionalMessageFields] = {
            "with": {"tool_calls": [call], "provider_data": given.model_dump(mode="json")},
            "old": {"tool_calls": [call]},
        }
        for key, data in rows.items():
            assert await messages.add(
                run.conversation_id,
                f"{run_id}:{key}",
                Role.ASSISTANT,
                "",
                agent_run_id=run_id,
                **data,
            )
        kept, old = map(chat_message, (await messages.prompt_messages(run, 0))[-2:])
    assert kept.provider == given
    (asked,) = kept.tool_calls
    assert (asked.provider_call_id, asked.given_id) == (call["call_id"], "abcDEF123")
    assert asked.parts == {"extra_content": {"x": 1}}
    assert (old.provider, old.tool_calls[0].given_id) == (None, "")
