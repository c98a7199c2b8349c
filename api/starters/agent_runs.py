"""Starts a run of an agent: resolves the request, starts the workflow, waits for the row."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from temporalio.client import Client, WithStartWorkflowOperation
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import TemporalError

from adapters.temporal.calls import (
    CALL_TIMEOUT,
    CANCEL_TIMEOUT,
    naming_pending,
    start_workflow_once,
    update_with_start,
)
from adapters.temporal.errors import from_temporal
from agents.limits import check_input, check_message
from agents.registry import find_agent, find_route
from api.lookup import or_404
from api.schemas.agent_runs import NewAgentRun
from database.agents.agent_runs import AgentRunRepository
from database.agents.conversations import ConversationRepository
from database.agents.messages import MessageRepository
from database.agents.models import AgentRun
from database.session import Sessions
from domain.agents.routes import Budget, Route
from domain.agents.runs import RUN_REVISION, CancelRun, RunRequest, RunStart, RunStatus
from domain.errors import OutcomePendingError
from domain.ids import agent_run_workflow_id, derived_id, message_key
from domain.workflow_names import AGENTS
from services.agents.admission import check_admission
from services.agents.tools.catalog import ToolCatalog
from workflows.agents.agent_run import AgentRunWorkflow
from workflows.search_attributes import starting_attributes

_FIRST_PAUSE_SECONDS = 0.02
# From here on, the workflow is also asked whether it has refused the run.
_LONG_PAUSE_SECONDS = 0.06
_LAST_PAUSE_SECONDS = 0.2


async def start_run(
    temporal: Client,
    sessions: Sessions,
    agent_run_id: UUID,
    user_id: UUID,
    body: NewAgentRun,
    tools: ToolCatalog,
) -> AgentRun:
    """Start a run, or continue a start that was interrupted.

    Args:
        temporal: Client of Temporal.
        sessions: Factory of database sessions.
        agent_run_id: Id of the run; the same for the same idempotency key.
        user_id: User who owns the run, and whose allowance it uses.
        body: Body of the POST.
        tools: Catalogue of the agents' tools.

    Returns:
        The row of the run.

    Raises:
        NotFoundError: The agent, its prompt or the user's conversation does not exist.
        InvalidInputError: The input is longer than the context of the agent's model.
        EntitlementRequiredError: No subscription gives access, or its limits are used up.
        ConflictError: The conversation is busy, and `on_busy` is `reject`.
        OutcomePendingError: No row was committed within 5 s; the start goes on.
    """
    row = await _read(sessions, agent_run_id)
    if row is not None:
        return row
    request, route = await _resolve(sessions, agent_run_id, user_id, body, tools)
    await start_workflow_once(
        temporal,
        AgentRunWorkflow.run,
        RunStart(request=request, route=route, revision=RUN_REVISION),
        workflow_id=agent_run_workflow_id(agent_run_id),
        summary=f"agent {request.agent}, prompt {request.prompt_version}, user {user_id}",
        search_attributes=starting_attributes(user_id=user_id, status=RunStatus.RUNNING),
        task_queue=AGENTS,
    )
    return await _wait_for_row(temporal, sessions, agent_run_id)


async def check_new_message(
    sessions: Sessions, run: AgentRun, command_id: UUID, content: str, tools: ToolCatalog
) -> None:
    """Refuse a new message that the run's model could not read.

    Raises:
        InvalidInputError: The message and the input together exceed what the model can read.
        TooManyRequestsError: The model has to read the earlier messages first.
    """
    async with sessions() as session:
        messages = MessageRepository(session)
        is_known = await messages.has(message_key(command_id))
        unread = await messages.unread(run.agent_run_id)
    if not is_known:
        # Reason: an early refusal spares the workflow, which checks again with the run locked.
        agent = find_agent(run.agent)
        definitions = tools.definitions(agent.tool_names)
        check_message(content, unread, agent, run.prompt_version, definitions)


async def cancel_lost_run(temporal: Client, run: AgentRun, command: CancelRun) -> None:
    """Cancel a run whose workflow was terminated, through a new workflow that only closes it.

    Raises:
        ApplicationError: Temporal cannot be reached, or the outcome is pending.
    """
    request = RunRequest(
        agent_run_id=run.agent_run_id,
        user_id=run.user_id,
        agent=run.agent,
        prompt_version=run.prompt_version,
        input="",
        conversation_id=run.conversation_id,
    )

    def make_start() -> WithStartWorkflowOperation[Any, Any]:
        return WithStartWorkflowOperation(
            AgentRunWorkflow.run,
            # Reason: from step 1 on, a workflow does not open the run again; the cancel is
            # processed before its next step.
            RunStart(request=request, step=1),
            id=run.workflow_id,
            task_queue=AGENTS,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            static_summary="started again to cancel the run",
            search_attributes=starting_attributes(user_id=run.user_id),
        )

    with naming_pending(agent_run_id=run.agent_run_id):
        await update_with_start(
            temporal,
            AgentRunWorkflow.cancel,
            command,
            command.command_id,
            make_start,
            within=CANCEL_TIMEOUT,
        )


async def _resolve(
    sessions: Sessions,
    agent_run_id: UUID,
    user_id: UUID,
    body: NewAgentRun,
    tools: ToolCatalog,
) -> tuple[RunRequest, Route]:
    spec = find_agent(body.agent)
    prompt_version = body.prompt_version or spec.prompt_version
    check_input(body.input, spec, prompt_version, tools.definitions(spec.tool_names))
    async with sessions() as session:
        if body.conversation_id is not None:
            conversations = ConversationRepository(session)
            or_404(await conversations.get(body.conversation_id, user_id), "conversation")
        # Reason: an early refusal saves a workflow, which checks again with the user locked.
        await check_admission(session, user_id, datetime.now(UTC))
    request = RunRequest(
        agent_run_id=agent_run_id,
        user_id=user_id,
        agent=spec.name,
        prompt_version=prompt_version,
        input=body.input,
        conversation_id=body.conversation_id or derived_id("conversation", agent_run_id),
        budget=Budget(**body.budget.model_dump()),
        on_busy=body.on_busy,
        on_budget=body.on_budget,
        urgency=body.urgency,
    )
    return request, find_route(spec)


async def _wait_for_row(temporal: Client, sessions: Sessions, agent_run_id: UUID) -> AgentRun:
    """Poll for the row with growing pauses; raise the failure of a run that was refused."""
    pause = _FIRST_PAUSE_SECONDS
    while pause < _LONG_PAUSE_SECONDS:
        await asyncio.sleep(pause)
        if (row := await _read(sessions, agent_run_id)) is not None:
            return row
        pause *= 1.5
    workflow_id = agent_run_workflow_id(agent_run_id)
    handle = temporal.get_workflow_handle(workflow_id)
    # Reason: few starts take long or are refused, and for the others this costs more than a look.
    result = asyncio.ensure_future(handle.result(rpc_timeout=CALL_TIMEOUT))
    try:
        async with asyncio.timeout(CALL_TIMEOUT.total_seconds()):
            while (row := await _read(sessions, agent_run_id)) is None:
                if result.done() and (failure := result.exception()) is not None:
                    raise failure
                await asyncio.sleep(pause)
                pause = min(pause * 1.5, _LAST_PAUSE_SECONDS)
            return row
    except TimeoutError as error:
        raise OutcomePendingError(
            "the run is not created yet; its start goes on",
            details={"agent_run_id": str(agent_run_id)},
        ) from error
    except TemporalError as error:
        raise from_temporal(error) from error
    finally:
        result.cancel()
        await asyncio.gather(result, return_exceptions=True)


async def _read(sessions: Sessions, agent_run_id: UUID) -> AgentRun | None:
    async with sessions() as session:
        return await AgentRunRepository(session).get(agent_run_id, None)
