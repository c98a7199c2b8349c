"""Stores a model's answer with its tool calls and stream events in one transaction."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncSession

from agents.registry import find_agent, prompt_text
from database.agents.agent_runs import AgentRunRepository, RunAtStep
from database.agents.conversations import ConversationRepository
from database.agents.messages import MessageRepository, count_unfit
from database.agents.models import AgentRun, Approval, ToolCall
from database.agents.run_events import RunEventRepository
from database.agents.tool_calls import ToolCallRepository
from database.usage.usage_records import UsageRepository
from domain.agents.approvals import ApprovalStatus
from domain.agents.output_checks import CheckedOutput, check_output
from domain.agents.run_events import NewRunEvent, RunEventKind
from domain.agents.runs import CallRef, RunFinish, StepInput, StepResult
from domain.errors import NotFoundError
from domain.ids import agent_run_workflow_id
from domain.llm.messages import ModelReply, Role
from services.agents.model_calls.attempt import Attempt
from services.agents.model_calls.failures import finish_of
from services.agents.model_calls.output import Output
from services.agents.model_calls.planning import SUCCEEDED
from services.agents.tool_call_ledger import CheckedCall, check, enter, named_agent


class Answer(NamedTuple):
    """A model's answer, and the attempt that it belongs to.

    Args:
        attempt: The attempt that was made.
        reply: What the model returned.
        last_seq: The current number of the conversation's last message.
        at: When the answer came; the time to approve its tool calls begins here.
        output: Its JSON, if the agent has a schema and this is its final answer.
    """

    attempt: Attempt
    reply: ModelReply
    last_seq: int
    at: datetime
    output: Output = Output()


async def lock_run(session: AsyncSession, attempt: Attempt) -> tuple[int, AgentRun]:
    """Lock the conversation, then the run; return the last message's number and the run."""
    last_seq = await ConversationRepository(session).lock(attempt.conversation_id)
    run = await AgentRunRepository(session).lock(attempt.step_input.agent_run_id)
    if run is None:
        raise NotFoundError("there is no such run")
    return last_seq, run


async def find_run_at_step(session: AsyncSession, step_input: StepInput) -> RunAtStep:
    """Return a run with its attempts, and whether one of its steps has a stored answer.

    Raises:
        NotFoundError: There is no such run.
    """
    found = await AgentRunRepository(session).at_step(
        step_input.agent_run_id, step_message_key(step_input)
    )
    if found is None:
        raise NotFoundError("there is no such run")
    return found


async def stored_reply(session: AsyncSession, step_input: StepInput) -> StepResult:
    """Return the reply that an earlier attempt stored, but whose activity result was lost."""
    ledger = ToolCallRepository(session)
    requested = await ledger.of_step(step_input.agent_run_id, step_input.step)
    approvals = {row.call_id: row for row in await ledger.approvals(step_input.agent_run_id)}
    run = await AgentRunRepository(session).get(step_input.agent_run_id, None)
    open_calls = [
        _ref(call, approvals.get(call.call_id)).model_copy(
            update={"agent": run and await named_agent(session, run, call.tool, call.call_id)}
        )
        for call in requested
        if call.completed_at is None
    ]
    if run and (count := await count_unfit(session, step_message_key(step_input))):
        is_last = count > find_agent(run.agent).repair_count
        finish = RunFinish.OUTPUT_INVALID if is_last else RunFinish.STOP
        return StepResult(is_answer=is_last, finish=finish)
    is_cut = not requested and await _was_cut(session, step_input)
    finish = (
        RunFinish(run.finish_reason or RunFinish.STOP) if run and not requested else RunFinish.STOP
    )
    return StepResult(
        calls=tuple(open_calls), is_answer=not requested, is_cut_by_budget=is_cut, finish=finish
    )


def _ref(call: ToolCall, approval: Approval | None) -> CallRef:
    is_decided = approval is not None and approval.approval_status != ApprovalStatus.PENDING
    return CallRef(
        call_id=call.call_id,
        tool=call.tool,
        expires_at=None if approval is None else approval.expires_at,
        is_decided=is_decided,
    )


async def _was_cut(session: AsyncSession, step_input: StepInput) -> bool:
    """Return whether an answer used up a reservation that the budget had cut."""
    run = await AgentRunRepository(session).get(step_input.agent_run_id, None)
    attempts = await UsageRepository(session).of_step(step_input.agent_run_id, step_input.step)
    full_token_count = find_agent(run.agent).max_answer_tokens if run else 0
    return any(
        attempt.reserved_completion_token_count < full_token_count
        and attempt.completion_token_count >= attempt.reserved_completion_token_count
        for attempt in attempts
        if attempt.outcome == SUCCEEDED
    )


async def store_answer(
    session: AsyncSession, run: AgentRun, answer: Answer, stream_events: Sequence[NewRunEvent]
) -> StepResult:
    """Store an answer with its tool calls and stream events, in the caller's transaction.

    Args:
        session: The caller's transaction.
        run: The run, locked together with its conversation.
        answer: The model's answer.
        stream_events: Token events of the answer that are not stored yet.

    Returns:
        The tool calls to make, or that this is the run's final answer.
    """
    if run.completed_at is not None:
        return StepResult(is_answer=True)  # the run was ended during the model call
    checked = _checked(run, answer)
    answer = answer._replace(reply=answer.reply.model_copy(update={"text": checked.text}))
    attempt, reply = answer.attempt, answer.reply
    step_input, prompt = attempt.step_input, attempt.prompt
    calls = [
        check(step_input, prompt.tools, index, call) for index, call in enumerate(reply.tool_calls)
    ]
    if not await _add_message(session, run, answer, calls):
        # Reason: an earlier attempt, believed to be lost, has stored its answer first.
        if stream_events:
            await RunEventRepository(session).append(run.agent_run_id, stream_events)
        return await stored_reply(session, step_input)
    dated_input = step_input.model_copy(update={"at": answer.at})
    entered = await enter(session, run, dated_input, prompt.spec, calls)
    events = [*stream_events, _message_event(answer, checked), *entered.events]
    await RunEventRepository(session).append(run.agent_run_id, events)
    finish = await _finish(session, answer)
    if not calls:
        values = {"finish_reason": finish, "output_data": answer.output.data}
        await AgentRunRepository(session).change(run.agent_run_id, values)
    is_cut = finish is RunFinish.LENGTH and attempt.reservation.is_cut
    return StepResult(
        calls=entered.open_calls,
        is_answer=not calls and finish is not None,
        is_cut_by_budget=is_cut,
        finish=finish or RunFinish.STOP,
        read_count=attempt.prompt.read_count,
    )


def _checked(run: AgentRun, answer: Answer) -> CheckedOutput:
    """Check an answer against what the model had read from others."""
    messages = answer.attempt.prompt.messages
    # Reason: an address that the model itself wrote before is no source of it.
    sources = "\n".join(each.content for each in messages if each.role is not Role.ASSISTANT)
    text = answer.reply.text
    checked = check_output(text, sources, prompt_text(run.agent, run.prompt_version))
    # Reason: JSON is read by programs, and a changed text might be none any more.
    return checked if answer.output.data is None else checked.model_copy(update={"text": text})


def _message_event(answer: Answer, checked: CheckedOutput) -> NewRunEvent:
    facts = {
        "role": Role.ASSISTANT,
        "text": checked.text,
        "step": answer.attempt.step_input.step,
        "attempt": answer.attempt.number,
        "finish_reason": answer.reply.finish_reason,
        "suspicions": list(checked.suspicions),
    }
    if answer.output.problem is not None:
        facts["output_problem"] = answer.output.problem
    return NewRunEvent(kind=RunEventKind.MESSAGE, data=facts)


async def _finish(session: AsyncSession, answer: Answer) -> RunFinish | None:
    """Return how an answer ends; None if it does not fit its schema and is asked for again."""
    if answer.output.problem is None:
        return finish_of(answer.reply)
    count = await count_unfit(session, step_message_key(answer.attempt.step_input))
    is_last = count > answer.attempt.prompt.spec.repair_count
    return RunFinish.OUTPUT_INVALID if is_last else None


async def _add_message(
    session: AsyncSession,
    run: AgentRun,
    answer: Answer,
    calls: Sequence[CheckedCall],
) -> bool:
    """Add an answer to the conversation, before messages that came while it was generated.

    Returns:
        Whether the answer is new.
    """
    attempt, reply = answer.attempt, answer.reply
    messages, read = MessageRepository(session), attempt.prompt.last_seq
    distance = answer.last_seq - read
    if distance:
        await messages.renumber_after(run.conversation_id, read, answer.last_seq)
    is_new = await messages.add(
        run.conversation_id,
        step_message_key(attempt.step_input),
        Role.ASSISTANT,
        reply.text,
        agent_run_id=run.agent_run_id,
        tool_calls=[call.stored for call in calls],
        provider_data=reply.provider_parts(attempt.request.model, attempt.request.slot).model_dump(
            mode="json"
        ),
        output_problem=answer.output.problem,
    )
    if distance:
        await messages.end_at(run.conversation_id, answer.last_seq + distance)
    return is_new


def step_message_key(step_input: StepInput) -> str:
    """Return the unique key of the message that a step stores."""
    return f"{agent_run_workflow_id(step_input.agent_run_id)}:step:{step_input.step}"
