"""Opens the run of a team's member: its row, its conversation and its task."""

from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from agents.guards import fence, screen, warning
from agents.registry import find_agent
from database.agents.agent_runs import AgentRunRepository
from database.agents.conversations import ConversationRepository
from database.agents.messages import MessageRepository
from database.agents.models import AgentRun
from database.agents.tool_calls import ToolCallRepository
from domain.agents.runs import ParentRun, RunRequest, RunStatus
from domain.errors import IllegalCommandError, NotFoundError
from domain.ids import agent_run_workflow_id
from services.agents.run_records import add_input, append_run_events, tell_parent
from services.agents.teams.members import MemberRun, read_members


class Task(NamedTuple):
    """What a member is asked.

    Args:
        text: The whole task.
        before: The member's run whose result is part of it; None if there is none.
    """

    text: str
    before: AgentRun | None = None


async def open_child(session: AsyncSession, request: RunRequest, parent: ParentRun) -> None:
    """Write the row of a child run and its input; the same call again changes nothing.

    The run uses the allowance of its parent: it is no run of its own to the plan's limits.

    Args:
        session: The caller's transaction.
        request: The run to open, whose input is read here.
        parent: The run that began it.

    Raises:
        IllegalCommandError: The parent has ended meanwhile.
        NotFoundError: There is no such parent, or no such call.
    """
    runs, conversations = AgentRunRepository(session), ConversationRepository(session)
    if await runs.get(request.agent_run_id, None) is not None:
        return
    leader = await runs.get(parent.agent_run_id, None)
    if leader is None or leader.user_id != request.user_id:
        raise NotFoundError("there is no such parent run")
    if leader.completed_at is not None:
        state = {"run_status": leader.run_status}
        raise IllegalCommandError(f"the parent run is {leader.run_status}", details=state)
    task = await _task(session, leader, parent.call_id)
    conversation_id = request.conversation_id
    await conversations.put_child(conversation_id, request.user_id, leader.conversation_id)
    await runs.add(_columns(request, parent, leader, task))
    events = await add_input(session, request.model_copy(update={"input": task.text}))
    await append_run_events(session, request.agent_run_id, *events)
    await tell_parent(session, request.agent_run_id, parent.agent_run_id, request.agent)


def _columns(
    request: RunRequest, parent: ParentRun, leader: AgentRun, task: Task
) -> dict[str, object]:
    # Reason: what a member before has cited stays citable, unless the next one searches itself.
    is_searching = find_agent(request.agent).passage_count > 0
    passages = None if is_searching or task.before is None else task.before.passages_data
    columns: dict[str, object] = {
        "agent_run_id": request.agent_run_id,
        "user_id": request.user_id,
        "conversation_id": request.conversation_id,
        "parent_run_id": parent.agent_run_id,
        "root_run_id": parent.root_run_id,
        "agent": request.agent,
        "prompt_version": request.prompt_version,
        "run_status": RunStatus.RUNNING,
        "started_at": datetime.now(UTC),
        "budget_token_count": request.budget.token_count,
        "budget_cost_cents": request.budget.cost_cents,
        "urgency": request.urgency,
        "subscription_id": leader.subscription_id,
        "period_start": leader.period_start,
        "workflow_id": agent_run_workflow_id(request.agent_run_id),
    }
    # Reason: a column that is set to None would hold a null of JSON.
    return columns if passages is None else columns | {"passages_data": passages}


async def _task(session: AsyncSession, leader: AgentRun, call_id: UUID) -> Task:
    """Return the task of a call: as a model wrote it, or made from what there is so far."""
    call = await ToolCallRepository(session).get(call_id)
    if call is None or call.agent_run_id != leader.agent_run_id:
        raise NotFoundError("there is no such call")
    if call.arguments_data["task"]:
        return Task(call.arguments_data["task"])
    key = f"{agent_run_workflow_id(leader.agent_run_id)}:input"
    question = await MessageRepository(session).content_of(key) or ""
    earlier = [
        member
        for member in await read_members(session, leader)
        if member.call.step < call.step and member.end.is_completed
    ]
    return _after(question, earlier[-1]) if earlier else Task(question)


def _after(question: str, before: MemberRun) -> Task:
    """Return the task of a member who works after another one."""
    agent = before.end.agent
    if before.hand_over is not None:
        said, text = "handed this over to you", before.hand_over.arguments_data["task"]
    else:
        said, text = "has worked on this before you", (before.child and before.child.output) or ""
    head = f"{agent} {said} {warning(screen(text))}".rstrip()
    return Task(f"{question}\n\n{head}:\n{fence(text, agent)}", before.child)
