"""Routes for runs of agents."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends
from fastapi.responses import JSONResponse
from temporalio.client import Client

from adapters.temporal.calls import CALL_TIMEOUT, CANCEL_TIMEOUT, naming_pending
from api.commands import send_command
from api.deps import Caller, CallerDep, SessionsDep, TemporalDep, ToolsDep
from api.http.routing import ApiRouter
from api.idempotency import Claim, IdempotentDep
from api.lookup import resolve_user_id
from api.openapi.examples import answer
from api.openapi.problems import (
    APPROVAL_CLOSED,
    APPROVER_REQUIRED,
    CONVERSATION_BUSY,
    INPUT_TOO_LONG,
    INVALID_ARGUMENTS,
    LIMIT_REACHED,
    MESSAGE_TOO_LONG,
    OTHER_ARGUMENTS,
    TEMPORAL_DOWN,
    TOO_MANY_MESSAGES,
    UNKNOWN_CALL,
    WORKFLOW_MISSING,
    illegal,
    no_such,
    pending,
    problems,
    start_pending,
)
from api.queries.agent_runs import read_run
from api.routes.agent_run_reads import OwnDep, find_agent_run
from api.schemas.agent_runs import (
    NEW_RUN_EXAMPLE,
    AgentRunOut,
    ApprovalIn,
    DecidedRunOut,
    NewAgentRun,
    RunMessageIn,
)
from api.starters.agent_runs import cancel_lost_run, check_new_message, start_run
from database.agents.approvals import ApprovalRepository
from database.agents.models import AgentRun
from database.agents.tool_calls import ToolCallRepository
from database.session import Sessions
from domain.agents.approvals import (
    ApprovalCommand,
    decide_approval,
    decided_digest,
    unknown_call,
)
from domain.agents.runs import CLOSED, CancelRun, NewRunMessage
from domain.errors import IllegalCommandError, WorkflowMissingError
from services.agents.admission import access_required_error
from services.agents.approvals import approval_snapshot, edited_arguments
from workflows.agents.agent_run import AgentRunWorkflow

router = ApiRouter(prefix="/agent-runs", tags=["agent-runs"])


async def get_decidable(agent_run_id: UUID, caller: CallerDep, sessions: SessionsDep) -> AgentRun:
    """Return the run in the path if it is the caller's, or if the caller may decide a call of it.

    Raises:
        NotFoundError: There is no such run.
    """
    scope = caller.scope
    async with sessions() as session:
        approvals = ApprovalRepository(session)
        if scope is not None and await approvals.is_delegated(agent_run_id, scope):
            scope = None
    return await find_agent_run(sessions, agent_run_id, scope)


DecidableDep = Annotated[AgentRun, Depends(get_decidable)]
_NO_ANSWER = (pending("agent_run_id"), TEMPORAL_DOWN)


@router.post(
    "",
    status_code=202,
    response_model=AgentRunOut,
    responses=answer(202, NEW_RUN_EXAMPLE)
    | problems(
        access_required_error(),
        LIMIT_REACHED,
        no_such("agent", "unknown_agent"),
        no_such("conversation"),
        no_such("user"),
        CONVERSATION_BUSY,
        INPUT_TOO_LONG,
        start_pending("run", "agent_run_id"),
        TEMPORAL_DOWN,
    ),
)
async def start_agent_run(
    body: NewAgentRun,
    caller: CallerDep,
    sessions: SessionsDep,
    temporal: TemporalDep,
    tools: ToolsDep,
    once: IdempotentDep,
) -> JSONResponse:
    """Start a run. Follow its stream, or read the run again later.

    The answer is 402 if no subscription gives access, or if the limits of the plan are used up.
    """
    user_id = await resolve_user_id(sessions, caller, body.user_id)

    async def work(claim: Claim) -> AgentRunOut:
        row = await start_run(temporal, sessions, claim.resource_id, user_id, body, tools)
        return await read_run(sessions, row)

    return await once.run(caller.user_id, work, status=202, location="agent_run_id")


@router.post(
    "/{agent_run_id}/approve",
    response_model=DecidedRunOut,
    responses=problems(
        APPROVER_REQUIRED,
        INVALID_ARGUMENTS,
        no_such("agent run"),
        UNKNOWN_CALL,
        OTHER_ARGUMENTS,
        APPROVAL_CLOSED,
        illegal("run", "run_status", "completed"),
        *_NO_ANSWER,
        WORKFLOW_MISSING,
    ),
)
async def decide_tool_call(
    body: ApprovalIn,
    run: DecidableDep,
    caller: CallerDep,
    sessions: SessionsDep,
    temporal: TemporalDep,
    tools: ToolsDep,
    once: IdempotentDep,
) -> JSONResponse:
    """Approve or reject a tool call that waits for approval.

    An approval may change the call's `arguments`; the answer has the digest of those that were
    decided. Repeating a decision changes nothing.
    """

    async def work(claim: Claim) -> DecidedRunOut:
        async with sessions() as session:
            ledger = ToolCallRepository(session)
            approval, call = await ledger.approval(body.call_id), await ledger.get(body.call_id)
        if approval is None or call is None or approval.agent_run_id != run.agent_run_id:
            raise unknown_call()
        command = _decision(body, run, caller, claim)
        if body.arguments is not None:
            edited = edited_arguments(tools.find(call.tool), body.arguments)
            command = command.model_copy(update={"arguments": edited})
        snapshot = approval_snapshot(approval, call.tool)
        if decide_approval(snapshot, command, datetime.now(UTC)) is not None:
            update = AgentRunWorkflow.decide
            await _send(temporal, sessions, run, update, command, claim, CALL_TIMEOUT)
        shown = await _now(sessions, run)
        return DecidedRunOut(**shown.model_dump(), args_sha256=decided_digest(call.tool, command))

    return await once.run(caller.user_id, work)


@router.post(
    "/{agent_run_id}/messages",
    response_model=AgentRunOut,
    responses=problems(
        no_such("agent run"),
        illegal("run", "run_status", "completed"),
        MESSAGE_TOO_LONG,
        TOO_MANY_MESSAGES,
        *_NO_ANSWER,
        WORKFLOW_MISSING,
    ),
)
async def add_agent_run_message(
    body: RunMessageIn,
    run: OwnDep,
    caller: CallerDep,
    sessions: SessionsDep,
    temporal: TemporalDep,
    tools: ToolsDep,
    once: IdempotentDep,
) -> JSONResponse:
    """Add a message while the run is in progress. The next step reads it."""

    async def work(claim: Claim) -> AgentRunOut:
        await check_new_message(sessions, run, claim.command_id, body.content, tools)
        message = NewRunMessage(
            command_id=claim.command_id,
            agent_run_id=run.agent_run_id,
            content=body.content,
        )
        update = AgentRunWorkflow.add_message
        await _send(temporal, sessions, run, update, message, claim, CALL_TIMEOUT)
        return await _now(sessions, run)

    return await once.run(caller.user_id, work)


@router.post(
    "/{agent_run_id}/cancel",
    response_model=AgentRunOut,
    responses=problems(
        no_such("agent run"),
        illegal("run", "run_status", "completed"),
        *_NO_ANSWER,
    ),
)
async def cancel_agent_run(
    run: OwnDep,
    caller: CallerDep,
    sessions: SessionsDep,
    temporal: TemporalDep,
    once: IdempotentDep,
) -> JSONResponse:
    """Cancel a run. A model call is stopped at once, an effect of a tool is completed first."""

    async def work(claim: Claim) -> AgentRunOut:
        command = CancelRun(command_id=claim.command_id)
        update = AgentRunWorkflow.cancel
        try:
            await _send(temporal, sessions, run, update, command, claim, CANCEL_TIMEOUT)
        except WorkflowMissingError:
            await cancel_lost_run(temporal, run, command)
        return await _now(sessions, run)

    return await once.run(caller.user_id, work)


def _decision(body: ApprovalIn, run: AgentRun, caller: Caller, claim: Claim) -> ApprovalCommand:
    return ApprovalCommand(
        command_id=claim.command_id,
        agent_run_id=run.agent_run_id,
        decided_by=caller.user_id,
        role=caller.role,
        **body.model_dump(),
    )


async def _send(
    temporal: Client,
    sessions: Sessions,
    run: AgentRun,
    update: Any,
    argument: Any,
    claim: Claim,
    within: timedelta,
) -> None:
    """Send a command to the workflow of a run."""

    async def refusal() -> IllegalCommandError | None:
        row = await find_agent_run(sessions, run.agent_run_id, None)
        if row.run_status not in CLOSED:
            return None
        state = {"run_status": row.run_status}
        return IllegalCommandError(f"the run is {row.run_status}", details=state)

    handle = temporal.get_workflow_handle(run.workflow_id)
    with naming_pending(agent_run_id=run.agent_run_id):
        await send_command(handle, update, argument, claim.command_id, refusal, within)


async def _now(sessions: Sessions, run: AgentRun) -> AgentRunOut:
    return await read_run(sessions, await find_agent_run(sessions, run.agent_run_id, None))
