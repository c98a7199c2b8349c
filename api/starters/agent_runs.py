"""Starting a run: look everything up, start its workflow, wait for its row or its refusal."""

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
    start_once,
    update_with_start,
)
from adapters.temporal.errors import from_temporal
from agents.limits import check_input
from agents.registry import find_agent
from api.lookup import found
from api.schemas.agent_runs import NewAgentRun
from database.agents.agent_runs import AgentRunRepository
from database.agents.conversations import ConversationRepository
from database.agents.models import AgentRun
from database.session import Sessions
from domain.agents.runs import Budget, CancelRun, Route, RunRequest, RunStart
from domain.errors import OutcomePendingError
from domain.ids import agent_run_workflow_id, derived_id
from domain.workflow_names import AGENTS
from services.agents.admission import check_allowance
from workflows.agents.agent_run import AgentRunWorkflow
from workflows.search_attributes import starting_attributes

_FIRST_PAUSE_SECONDS = 0.015
_LAST_PAUSE_SECONDS = 0.2


async def start_run(
    temporal: Client,
    sessions: Sessions,
    agent_run_id: UUID,
    user_id: UUID,
    wanted: NewAgentRun,
) -> AgentRun:
    """Start a run, or take up a start that broke in the middle.

    Args:
        temporal: Where its workflow runs.
        sessions: Where its row appears.
        agent_run_id: The same for the same idempotency key.
        user_id: Whose run, and whose means.
        wanted: What was asked for.

    Returns:
        Its row.

    Raises:
        NotFoundError: There is no such agent, or no such conversation of this user.
        InvalidInputError: The input is longer than what the agent's model can read.
        EntitlementRequiredError: No subscription gives access, or its limits are used up.
        ConflictError: The conversation is busy, and the run was not to wait.
        OutcomePendingError: No row was committed within 5 s; the start goes on.
    """
    row = await _read(sessions, agent_run_id)
    if row is not None:
        return row
    request, route = await _resolve(sessions, agent_run_id, user_id, wanted)
    await start_once(
        temporal,
        AgentRunWorkflow.run,
        RunStart(request=request, route=route),
        workflow_id=agent_run_workflow_id(agent_run_id),
        summary=f"{request.agent} {request.prompt_version}",
        search_attributes=starting_attributes(user_id=user_id),
        task_queue=AGENTS,
    )
    return await _wait_for_row(temporal, sessions, agent_run_id)


async def cancel_lost_run(temporal: Client, run: AgentRun, command: CancelRun) -> None:
    """End a run whose workflow was terminated: a new one takes it up, only to close it.

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
            # Reason: with a step behind it, it opens nothing; the cancel comes before its next one.
            RunStart(request=request, step=1),
            id=run.workflow_id,
            task_queue=AGENTS,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            static_summary="taken up to be canceled",
            search_attributes=starting_attributes(user_id=run.user_id),
        )

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
    wanted: NewAgentRun,
) -> tuple[RunRequest, Route]:
    spec = find_agent(wanted.agent)
    check_input(wanted.input, spec, spec.prompt_version)
    async with sessions() as session:
        if wanted.conversation_id is not None:
            conversations = ConversationRepository(session)
            found(await conversations.get(wanted.conversation_id, user_id), "conversation")
        # Reason: a courtesy that spares us a workflow; it decides again, with the user locked.
        await check_allowance(session, user_id, datetime.now(UTC))
    request = RunRequest(
        agent_run_id=agent_run_id,
        user_id=user_id,
        agent=spec.name,
        prompt_version=spec.prompt_version,
        input=wanted.input,
        conversation_id=wanted.conversation_id or derived_id("conversation", agent_run_id),
        budget=Budget(**wanted.budget.model_dump()),
        on_busy=wanted.on_busy,
    )
    route = Route(
        has_retrieval=spec.passage_count > 0,
        max_step_count=spec.max_step_count,
    )
    return request, route


async def _wait_for_row(temporal: Client, sessions: Sessions, agent_run_id: UUID) -> AgentRun:
    """Poll with growing pauses; a run that is refused ends without a row."""
    workflow_id = agent_run_workflow_id(agent_run_id)
    handle = temporal.get_workflow_handle_for(AgentRunWorkflow.run, workflow_id)
    ending = asyncio.ensure_future(handle.result(rpc_timeout=CALL_TIMEOUT))
    pause = _FIRST_PAUSE_SECONDS
    try:
        async with asyncio.timeout(CALL_TIMEOUT.total_seconds()):
            while (row := await _read(sessions, agent_run_id)) is None:
                if ending.done() and (failure := ending.exception()) is not None:
                    raise failure
                await asyncio.sleep(pause)
                pause = min(pause * 1.5, _LAST_PAUSE_SECONDS)
            return row
    except TimeoutError as error:
        raise OutcomePendingError("the run is not written yet; its start goes on") from error
    except TemporalError as error:
        raise from_temporal(error) from error
    finally:
        ending.cancel()
        await asyncio.gather(ending, return_exceptions=True)


async def _read(sessions: Sessions, agent_run_id: UUID) -> AgentRun | None:
    async with sessions() as session:
        return await AgentRunRepository(session).get(agent_run_id, None)
