"""Stores a model's answer: its message, its calls and what its stream told, all or nothing."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncSession

from agents.registry import find_agent
from database.agents.agent_runs import AgentRunRepository, RunAtStep
from database.agents.conversations import ConversationRepository
from database.agents.messages import MessageRepository
from database.agents.models import AgentRun, Approval, ToolCall
from database.agents.run_events import RunEventRepository
from database.agents.tool_calls import ToolCallRepository
from database.agents.usage_records import UsageRepository
from domain.agents.approvals import ApprovalStatus
from domain.agents.run_events import NewRunEvent, RunEventKind
from domain.agents.runs import CallRef, RunFinish, StepInput, StepReply
from domain.errors import NotFoundError
from domain.ids import agent_run_workflow_id
from domain.llm.messages import ModelReply, Role
from services.agents.model_calls.attempts import SUCCEEDED, Attempt
from services.agents.model_calls.failures import finish_of
from services.agents.tool_call_ledger import CheckedCall, check, enter


class Answer(NamedTuple):
    """What a model has answered, and where it belongs.

    Args:
        attempt: What was asked.
        reply: What came.
        last_seq: The number of the conversation's last message by now.
        at: When it came; a person's time to decide about its calls begins here.
    """

    attempt: Attempt
    reply: ModelReply
    last_seq: int
    at: datetime


async def lock_run(session: AsyncSession, attempt: Attempt) -> tuple[int, AgentRun]:
    """Lock the conversation, then the run; return the conversation's last number, and the run."""
    last_seq = await ConversationRepository(session).lock(attempt.conversation_id)
    run = await AgentRunRepository(session).lock(attempt.order.agent_run_id)
    if run is None:
        raise NotFoundError("there is no such run")
    return last_seq, run


async def find_step(session: AsyncSession, order: StepInput) -> RunAtStep:
    """Return a run as one of its steps finds it.

    Raises:
        NotFoundError: There is no such run.
    """
    found = await AgentRunRepository(session).at_step(order.agent_run_id, _message_key(order))
    if found is None:
        raise NotFoundError("there is no such run")
    return found


async def known_reply(session: AsyncSession, order: StepInput) -> StepReply:
    """Return what an earlier attempt has stored; its answer got lost on the way back."""
    ledger = ToolCallRepository(session)
    asked = await ledger.of_step(order.agent_run_id, order.step)
    approvals = {row.call_id: row for row in await ledger.approvals(order.agent_run_id)}
    made = [_ref(call, approvals.get(call.call_id)) for call in asked if call.completed_at is None]
    run = await AgentRunRepository(session).get(order.agent_run_id, None)
    is_cut = not asked and await _was_cut(session, order)
    finish = RunFinish(run.finish_reason or RunFinish.STOP) if run and not asked else RunFinish.STOP
    return StepReply(calls=tuple(made), is_answer=not asked, is_cut_by_budget=is_cut, finish=finish)


def _ref(call: ToolCall, approval: Approval | None) -> CallRef:
    is_decided = approval is not None and approval.approval_status != ApprovalStatus.PENDING
    return CallRef(
        call_id=call.call_id,
        tool=call.tool,
        expires_at=None if approval is None else approval.expires_at,
        is_decided=is_decided,
    )


async def _was_cut(session: AsyncSession, order: StepInput) -> bool:
    """Tell whether an answer fills a reservation that the budget had cut."""
    run = await AgentRunRepository(session).get(order.agent_run_id, None)
    attempts = await UsageRepository(session).of_step(order.agent_run_id, order.step)
    wanted = find_agent(run.agent).max_answer_tokens if run else 0
    return any(
        attempt.reserved_completion_token_count < wanted
        and attempt.completion_token_count >= attempt.reserved_completion_token_count
        for attempt in attempts
        if attempt.outcome == SUCCEEDED
    )


async def store_answer(
    session: AsyncSession,
    run: AgentRun,
    answer: Answer,
    told: Sequence[NewRunEvent],
) -> StepReply:
    """Store an answer with its calls and its events, in the caller's transaction.

    Args:
        session: The caller's.
        run: Locked, with its conversation.
        answer: What came.
        told: What its stream has not stored yet.

    Returns:
        The calls to be made, or that this is the answer.
    """
    attempt, reply = answer.attempt, answer.reply
    if run.completed_at is not None:
        return StepReply(is_answer=True)  # the run was ended while we were asking
    order, spec = attempt.order, attempt.prompt.spec
    calls = [check(order, spec, place, asked) for place, asked in enumerate(reply.tool_calls)]
    if not await _file(session, run, answer, calls):
        # Reason: an attempt that was given up for lost has come first after all.
        if told:
            await RunEventRepository(session).append(run.agent_run_id, told)
        return await known_reply(session, order)
    facts = {
        "role": Role.ASSISTANT,
        "text": reply.text,
        "step": order.step,
        "attempt": attempt.number,
        "finish_reason": reply.finish_reason,
    }
    said = NewRunEvent(kind=RunEventKind.MESSAGE, data=facts)
    entered = await enter(session, run, order.model_copy(update={"at": answer.at}), spec, calls)
    await RunEventRepository(session).append(run.agent_run_id, [*told, said, *entered.notes])
    finish = finish_of(reply)
    if not calls:
        values = {"finish_reason": finish}
        await AgentRunRepository(session).change(run.agent_run_id, values)
    is_cut = finish is RunFinish.LENGTH and attempt.reservation.is_cut
    return StepReply(
        calls=entered.made,
        is_answer=not calls,
        is_cut_by_budget=is_cut,
        finish=finish,
        read_count=attempt.prompt.read_count,
    )


async def _file(
    session: AsyncSession,
    run: AgentRun,
    answer: Answer,
    calls: Sequence[CheckedCall],
) -> bool:
    """Add an answer to the conversation, before whatever was said while it was generated.

    Returns:
        Whether it is new.
    """
    attempt, reply = answer.attempt, answer.reply
    messages, read = MessageRepository(session), attempt.prompt.last_seq
    distance = answer.last_seq - read
    if distance:
        await messages.move_later(run.conversation_id, read, answer.last_seq)
    is_new = await messages.add(
        run.conversation_id,
        _message_key(attempt.order),
        Role.ASSISTANT,
        reply.text,
        agent_run_id=run.agent_run_id,
        tool_calls=[call.stored for call in calls],
        provider_data=reply.provider_parts(attempt.request.model).model_dump(mode="json"),
    )
    if distance:
        await messages.end_at(run.conversation_id, answer.last_seq + distance)
    return is_new


def _message_key(order: StepInput) -> str:
    return f"{agent_run_workflow_id(order.agent_run_id)}:step:{order.step}"
