"""Opens runs and adds messages to them; uses only the database."""

from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity

from agents.limits import check_message
from agents.registry import find_agent
from database.agents.agent_runs import AgentRunRepository
from database.agents.conversations import ConversationRepository
from database.agents.messages import MessageRepository
from database.agents.models import AgentRun
from database.session import Sessions
from database.usage.usage_records import UsageRepository
from domain.agents.budgets import raised
from domain.agents.runs import (
    NewRunMessage,
    OnBusy,
    QueuePosition,
    RaiseBudget,
    RunRequest,
    RunStatus,
)
from domain.errors import ConflictError, IllegalCommandError, NotFoundError
from domain.ids import agent_run_workflow_id, message_key
from domain.llm.messages import Role
from services.agents.admission import check_admission, record_run
from services.agents.run_records import (
    add_input,
    append_run_events,
    message_event,
    run_status_event,
)
from services.agents.tools.catalog import ToolCatalog

TITLE_LENGTH = 80


class RunActivities:
    """The activities that open runs and add messages to them."""

    def __init__(self, sessions: Sessions, catalog: ToolCatalog) -> None:
        self._sessions = sessions
        self._catalog = catalog

    @activity.defn
    async def open_run(self, request: RunRequest) -> QueuePosition:
        """Admit a run and write its row, or find the row of an earlier call.

        Args:
            request: The run to open.

        Returns:
            Whether the run begins at once.

        Raises:
            EntitlementRequiredError: No subscription gives access; no row is written.
            LimitReachedError: The plan's limits are used up; no row is written.
            ConflictError: The conversation is busy, and the request forbids to wait.
        """
        async with self._sessions.begin() as session:
            runs, conversations = AgentRunRepository(session), ConversationRepository(session)
            # Reason: an earlier attempt of this activity may still be admitting the run.
            await UsageRepository(session).lock_user_usage(request.user_id)
            existing = await runs.get(request.agent_run_id, None)
            if existing is not None:
                return QueuePosition(is_first=existing.run_status != RunStatus.QUEUED)
            at = datetime.now(UTC)
            entitled = await check_admission(session, request.user_id, at)
            title = request.input[:TITLE_LENGTH]
            await conversations.put(request.conversation_id, request.user_id, title)
            if await conversations.get(request.conversation_id, request.user_id) is None:
                raise NotFoundError("there is no such conversation")
            await conversations.lock(request.conversation_id)
            is_busy = bool(await runs.open_runs_of_conversation(request.conversation_id))
            if is_busy and request.on_busy is OnBusy.REJECT:
                raise ConflictError(
                    "another run of this conversation is not over yet",
                    "conversation_busy",
                )
            booking = entitled.booking or (None, None)
            run = await runs.add(_run_columns(request, *booking, is_queued=is_busy))
            await record_run(session, run, at)
            events = [run_status_event(RunStatus.QUEUED)]
            if not is_busy:
                events += await add_input(session, request)
            await append_run_events(session, run.agent_run_id, *events)
            return QueuePosition(is_first=not is_busy)

    @activity.defn
    async def add_run_message(self, message: NewRunMessage) -> None:
        """Add a user's message to a run; the run's next step reads it.

        Args:
            message: The message and its run.

        Raises:
            IllegalCommandError: The run is closed.
            InvalidInputError: The message and the input together exceed what the model can read.
            TooManyRequestsError: The model has to read the earlier messages first.
        """
        async with self._sessions.begin() as session:
            run = await _find(session, message.agent_run_id)
            await ConversationRepository(session).lock(run.conversation_id)
            await AgentRunRepository(session).lock(run.agent_run_id)
            if run.completed_at is not None:
                state = {"run_status": run.run_status}
                raise IllegalCommandError(f"the run is {run.run_status}", details=state)
            messages, key = MessageRepository(session), message_key(message.command_id)
            if await messages.has(key):
                return
            unread = await messages.unread(run.agent_run_id)
            agent = find_agent(run.agent)
            tools = self._catalog.definitions(agent.tool_names)
            check_message(message.content, unread, agent, run.prompt_version, tools)
            is_new = await messages.add(
                run.conversation_id,
                key,
                Role.USER,
                message.content,
                agent_run_id=run.agent_run_id,
            )
            if is_new:
                event = message_event(Role.USER, message.content)
                await append_run_events(session, run.agent_run_id, event)

    @activity.defn
    async def raise_budget(self, command: RaiseBudget) -> None:
        """Raise the budget of an open run; the same command again changes nothing.

        Args:
            command: The new limits.

        Raises:
            IllegalCommandError: The run is closed.
            InvalidInputError: A limit would be lowered.
        """
        async with self._sessions.begin() as session:
            runs = AgentRunRepository(session)
            run = await runs.lock(command.agent_run_id)
            if run is None:
                raise NotFoundError("there is no such run")
            if run.completed_at is not None:
                state = {"run_status": run.run_status}
                raise IllegalCommandError(f"the run is {run.run_status}", details=state)
            tokens = raised(run.budget_token_count, command.budget.token_count)
            cents = raised(run.budget_cost_cents, command.budget.cost_cents)
            values = {"budget_token_count": tokens, "budget_cost_cents": cents}
            await runs.change(run.agent_run_id, values)


async def _find(session: AsyncSession, agent_run_id: UUID) -> AgentRun:
    run = await AgentRunRepository(session).get(agent_run_id, None)
    if run is None:
        raise NotFoundError("there is no such run")
    return run


def _run_columns(
    request: RunRequest,
    subscription_id: UUID | None,
    period_start: datetime | None,
    *,
    is_queued: bool,
) -> dict[str, object]:
    return {
        "agent_run_id": request.agent_run_id,
        "user_id": request.user_id,
        "conversation_id": request.conversation_id,
        "agent": request.agent,
        "prompt_version": request.prompt_version,
        "run_status": RunStatus.QUEUED if is_queued else RunStatus.RUNNING,
        "started_at": None if is_queued else datetime.now(UTC),
        "budget_token_count": request.budget.token_count,
        "budget_cost_cents": request.budget.cost_cents,
        "urgency": request.urgency,
        "subscription_id": subscription_id,
        "period_start": period_start,
        "workflow_id": agent_run_workflow_id(request.agent_run_id),
    }
