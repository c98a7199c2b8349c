"""Plans the steps of teams whose patterns are planned by rule, and adopts a member's answer."""

from collections.abc import Mapping, Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from agents.registry import find_agent
from agents.tools.teams import DELEGATE_SPEC
from database.agents.agent_runs import AgentRunRepository
from database.agents.messages import MessageRepository
from database.agents.models import AgentRun
from database.agents.run_events import RunEventRepository
from domain.agents.patterns import HOP_LIMIT, NO_ANSWER, next_move
from domain.agents.runs import PlanInput, RunFinish, StepResult
from domain.errors import ConflictError
from domain.ids import call_id
from domain.llm.messages import RequestedCall, Role
from services.agents.model_calls.answers import step_message_key
from services.agents.run_records import message_event
from services.agents.teams.members import MemberRun, read_members
from services.agents.teams.tools import DELEGATE_TOOL
from services.agents.tool_call_ledger import CheckedCall, enter

_MESSAGES: Mapping[str, str] = {
    HOP_LIMIT: "the peers handed the task over too often",
    NO_ANSWER: "no member of the team brought an answer",
}


async def plan_step(session: AsyncSession, run: AgentRun, step_input: PlanInput) -> StepResult:
    """Make the next move of a team: give tasks, or take over a member's answer as the run's.

    Args:
        session: The caller's transaction, in which the run is locked.
        run: The run.
        step_input: The step, with the rules of the team.

    Returns:
        The tasks as calls of `delegate`, or that the run has its answer.

    Raises:
        ConflictError: There is nothing left to do.
    """
    members = await read_members(session, run)
    ends = [member.end for member in members]
    move = next_move(step_input.pattern, step_input.team, ends)
    if move.error_code is not None:
        raise ConflictError(_MESSAGES[move.error_code], move.error_code)
    if move.answered_by is not None:
        return await _adopt(session, run, step_input, members[move.answered_by])
    return await _delegate(session, run, step_input, move.members)


async def _delegate(
    session: AsyncSession, run: AgentRun, step_input: PlanInput, members: Sequence[str]
) -> StepResult:
    """Store the tasks as if a model had asked for them, so that they are told and kept alike."""
    calls = [
        CheckedCall(
            call_id(run.agent_run_id, step_input.step, position),
            RequestedCall(provider_call_id="", tool=DELEGATE_SPEC.name, arguments="{}"),
            DELEGATE_TOOL,
            # Reason: an empty task is one that the rules give; its text is made from the run's
            # input and what the other members brought.
            {"agent": member, "task": ""},
            None,
        )
        for position, member in enumerate(members)
    ]
    await MessageRepository(session).add(
        run.conversation_id,
        step_message_key(step_input),
        Role.ASSISTANT,
        "",
        agent_run_id=run.agent_run_id,
        tool_calls=[call.stored for call in calls],
    )
    entered = await enter(session, run, step_input, find_agent(run.agent), calls)
    await RunEventRepository(session).append(run.agent_run_id, entered.events)
    return StepResult(calls=entered.open_calls, is_answer=False)


async def _adopt(
    session: AsyncSession, run: AgentRun, step_input: PlanInput, member: MemberRun
) -> StepResult:
    """Take over a member's answer, with the passages that it cites and why its model stopped."""
    child = member.child
    output = (child and child.output) or ""
    finish = RunFinish.STOP if output else RunFinish.EMPTY
    await MessageRepository(session).add(
        run.conversation_id,
        step_message_key(step_input),
        Role.ASSISTANT,
        output,
        agent_run_id=run.agent_run_id,
    )
    event = message_event(Role.ASSISTANT, output)
    await RunEventRepository(session).append(run.agent_run_id, [event])
    values: dict[str, object] = {"finish_reason": finish}
    values["output_data"] = child and child.output_data
    if child is not None and child.passages_data is not None:
        values["passages_data"] = child.passages_data
    await AgentRunRepository(session).change(run.agent_run_id, values)
    return StepResult(is_answer=True, finish=finish)
