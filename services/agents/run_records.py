"""Records the events of a run in its rows and its stream."""

from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from agents.guards import screen
from database.agents.agent_runs import AgentRunRepository
from database.agents.messages import MessageRepository
from database.agents.models import AgentRun
from database.agents.run_events import RunEventRepository
from domain.agents.run_events import NewRunEvent, RunEventKind
from domain.agents.runs import RunRequest, RunStatus
from domain.errors import ConflictError
from domain.ids import agent_run_workflow_id
from domain.llm.messages import Role


async def begin_run(session: AsyncSession, run: AgentRun, request: RunRequest) -> None:
    """Mark a queued run as running and add its input, within the caller's transaction."""
    events = await add_input(session, request)
    values = {"run_status": RunStatus.RUNNING, "started_at": datetime.now(UTC)}
    await AgentRunRepository(session).change(run.agent_run_id, values)
    await append_run_events(session, run.agent_run_id, *events)


async def add_input(session: AsyncSession, request: RunRequest) -> list[NewRunEvent]:
    """Add the input of a run as a message, within the caller's transaction.

    Returns:
        The events of the beginning of the run, for its stream.
    """
    await MessageRepository(session).add(
        request.conversation_id,
        f"{agent_run_workflow_id(request.agent_run_id)}:input",
        Role.USER,
        request.input,
        agent_run_id=request.agent_run_id,
    )
    return [run_status_event(RunStatus.RUNNING), message_event(Role.USER, request.input)]


async def append_run_events(
    session: AsyncSession, agent_run_id: UUID, *events: NewRunEvent
) -> None:
    """Append events to a run's stream, within the caller's transaction."""
    await RunEventRepository(session).append(agent_run_id, events)


async def tell_parent(
    session: AsyncSession,
    agent_run_id: UUID,
    parent_run_id: UUID,
    agent: str,
    run_status: RunStatus = RunStatus.RUNNING,
) -> None:
    """Tell on a run's stream what becomes of a child, within the caller's transaction."""
    parent = await AgentRunRepository(session).lock(parent_run_id)
    # Reason: `done` is the last event of a stream, and a child may end after its parent.
    if parent is None or parent.completed_at is not None:
        return
    facts = {"agent_run_id": str(agent_run_id), "agent": agent, "run_status": run_status}
    event = NewRunEvent(kind=RunEventKind.CHILD, data=facts)
    await RunEventRepository(session).append(parent_run_id, [event])


async def change_status(session: AsyncSession, run: AgentRun, status: RunStatus) -> None:
    """Change the status of an open run, and tell it, within the caller's transaction."""
    if run.run_status == status or run.completed_at is not None:
        return
    await AgentRunRepository(session).change(run.agent_run_id, {"run_status": status})
    await append_run_events(session, run.agent_run_id, run_status_event(status))


def run_busy_error(status: str) -> ConflictError:
    """Return the error for a message that is not to disturb a run which is busy."""
    details = {"run_status": status}
    return ConflictError("the run is busy with a step", "run_busy", details)


def run_status_event(status: RunStatus) -> NewRunEvent:
    """Build the stream event of a new status."""
    return NewRunEvent(kind=RunEventKind.STATUS, data={"run_status": status})


def message_event(role: Role, text: str) -> NewRunEvent:
    """Build the stream event of a message."""
    facts = {"role": role, "text": text, "suspicions": list(screen(text))}
    return NewRunEvent(kind=RunEventKind.MESSAGE, data=facts)
