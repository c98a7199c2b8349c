"""Routes for runs of agents."""

from fastapi.responses import JSONResponse

from adapters.llm.providers import PROVIDERS
from adapters.temporal.calls import CALL_TIMEOUT, CANCEL_TIMEOUT
from api.deps import CallerDep, SessionsDep, SettingsDep, TemporalDep, ToolsDep
from api.http.routing import ApiRouter
from api.idempotency import Claim, IdempotentDep
from api.lookup import resolve_user_id
from api.openapi.examples import answer
from api.openapi.problems import (
    BUDGET_LOWERED,
    CONVERSATION_BUSY,
    INPUT_TOO_LONG,
    LIMIT_REACHED,
    MESSAGE_TOO_LONG,
    PROMPT_FOR_ADMINS,
    TEMPORAL_DOWN,
    TOO_MANY_MESSAGES,
    WORKFLOW_MISSING,
    illegal,
    no_such,
    pending,
    problems,
    start_pending,
)
from api.queries.agent_runs import read_run
from api.routes.agent_run_reads import OwnDep
from api.schemas.agent_runs import (
    NEW_RUN_EXAMPLE,
    AgentRunOut,
    NewAgentRun,
    RaisedBudgetIn,
    RunMessageIn,
)
from api.starters.agent_runs import cancel_lost_run, check_new_message, start_run
from api.starters.run_commands import read_now, send_to_run
from domain.agents.routes import Budget
from domain.agents.runs import WAITING, CancelRun, NewRunMessage, OnBusyRun, RaiseBudget
from domain.errors import ForbiddenError, WorkflowMissingError
from domain.llm.batches import Urgency
from services.agents.admission import access_required_error, no_batches_error
from services.agents.run_records import run_busy_error
from workflows.agents.agent_run import AgentRunWorkflow

router = ApiRouter(prefix="/agent-runs", tags=["agent-runs"])

_NO_ANSWER = (pending("agent_run_id"), TEMPORAL_DOWN)


@router.post(
    "",
    status_code=202,
    response_model=AgentRunOut,
    responses=answer(202, NEW_RUN_EXAMPLE)
    | problems(
        access_required_error(),
        LIMIT_REACHED,
        PROMPT_FOR_ADMINS,
        no_such("agent", "unknown_agent"),
        no_such("conversation"),
        no_such("user"),
        CONVERSATION_BUSY,
        INPUT_TOO_LONG,
        no_batches_error("anthropic"),
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
    settings: SettingsDep,
    once: IdempotentDep,
) -> JSONResponse:
    """Start a run. Follow its stream, or read the run again later.

    With `"urgency": "batch"` it may wait for its answers, which then cost half (422
    `batches_unsupported` if the models' provider has no batches).
    The answer is 402 if no subscription gives access, or if the limits of the plan are used up.
    """
    user_id = await resolve_user_id(sessions, caller, body.user_id)
    if body.prompt_version is not None and caller.scope is not None:
        message = "only an administrator may choose a version of the prompt"
        raise ForbiddenError(message, "admin_required")

    if body.urgency is Urgency.BATCH and not PROVIDERS[settings.llm.provider].has_batches:
        raise no_batches_error(settings.llm.provider)

    async def work(claim: Claim) -> AgentRunOut:
        row = await start_run(temporal, sessions, claim.resource_id, user_id, body, tools)
        return await read_run(sessions, row)

    return await once.run(caller.user_id, work, status=202, location="agent_run_id")


@router.post(
    "/{agent_run_id}/messages",
    response_model=AgentRunOut,
    responses=problems(
        no_such("agent run"),
        illegal("run", "run_status", "completed"),
        run_busy_error("running"),
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
    """Add a message while the run is in progress. The next step reads it, or the model at once.

    The answer is 409 `run_busy` if the message is not to disturb a run that is busy.
    """

    async def work(claim: Claim) -> AgentRunOut:
        if body.on_busy is OnBusyRun.REJECT and run.run_status not in WAITING:
            raise run_busy_error(run.run_status)
        await check_new_message(sessions, run, claim.command_id, body.content, tools)
        message = NewRunMessage(
            command_id=claim.command_id,
            agent_run_id=run.agent_run_id,
            content=body.content,
            is_interrupting=body.on_busy is OnBusyRun.INTERRUPT,
        )
        update = AgentRunWorkflow.add_message
        await send_to_run(temporal, sessions, run, update, message, claim, CALL_TIMEOUT)
        return await read_now(sessions, run)

    return await once.run(caller.user_id, work)


@router.post(
    "/{agent_run_id}/budget",
    response_model=AgentRunOut,
    responses=problems(
        no_such("agent run"),
        illegal("run", "run_status", "completed"),
        BUDGET_LOWERED,
        *_NO_ANSWER,
        WORKFLOW_MISSING,
    ),
)
async def raise_agent_run_budget(
    body: RaisedBudgetIn,
    run: OwnDep,
    caller: CallerDep,
    sessions: SessionsDep,
    temporal: TemporalDep,
    once: IdempotentDep,
) -> JSONResponse:
    """Raise the budget of a run. One that waits for it goes on at the same step.

    The limits of the plan apply all the same.
    """

    async def work(claim: Claim) -> AgentRunOut:
        command = RaiseBudget(
            command_id=claim.command_id,
            agent_run_id=run.agent_run_id,
            budget=Budget(**body.model_dump()),
        )
        update = AgentRunWorkflow.raise_budget
        await send_to_run(temporal, sessions, run, update, command, claim, CALL_TIMEOUT)
        return await read_now(sessions, run)

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
            await send_to_run(temporal, sessions, run, update, command, claim, CANCEL_TIMEOUT)
        except WorkflowMissingError:
            await cancel_lost_run(temporal, run, command)
        return await read_now(sessions, run)

    return await once.run(caller.user_id, work)
