"""Route by which a conversation goes on in another way from a step of a run."""

from fastapi.responses import JSONResponse

from api.deps import CallerDep, SessionsDep, TemporalDep, ToolsDep
from api.http.routing import ApiRouter
from api.idempotency import Claim, IdempotentDep
from api.openapi.examples import answer
from api.openapi.problems import (
    INPUT_TOO_LONG,
    LIMIT_REACHED,
    TEMPORAL_DOWN,
    no_such,
    problems,
    start_pending,
)
from api.queries.agent_runs import read_run
from api.routes.agent_run_reads import OwnDep
from api.schemas.agent_runs import NEW_RUN_EXAMPLE, AgentRunOut, BudgetIn, ForkIn, NewAgentRun
from api.starters.agent_runs import start_run
from domain.ids import derived_id
from services.agents.admission import access_required_error
from services.agents.forks import fork_conversation, unknown_step

router = ApiRouter(prefix="/agent-runs", tags=["agent-runs"])


@router.post(
    "/{agent_run_id}/fork",
    status_code=202,
    response_model=AgentRunOut,
    responses=answer(202, NEW_RUN_EXAMPLE)
    | problems(
        access_required_error(),
        LIMIT_REACHED,
        no_such("agent run"),
        unknown_step(7),
        INPUT_TOO_LONG,
        start_pending("run", "agent_run_id"),
        TEMPORAL_DOWN,
    ),
)
async def fork_agent_run(
    body: ForkIn,
    run: OwnDep,
    caller: CallerDep,
    sessions: SessionsDep,
    temporal: TemporalDep,
    tools: ToolsDep,
    once: IdempotentDep,
) -> JSONResponse:
    """Start another run in a copy of the conversation, as it was before a step of this run.

    The copy shares the effects of its origin: a refund that was made there is not made again.
    """

    async def work(claim: Claim) -> AgentRunOut:
        conversation_id = derived_id("conversation", claim.resource_id)
        async with sessions.begin() as session:
            await fork_conversation(session, run, body.step, conversation_id)
        wanted = NewAgentRun(
            agent=run.agent,
            input=body.input,
            conversation_id=conversation_id,
            budget=BudgetIn(token_count=run.budget_token_count, cost_cents=run.budget_cost_cents),
        )
        row = await start_run(temporal, sessions, claim.resource_id, run.user_id, wanted, tools)
        return await read_run(sessions, row)

    return await once.run(caller.user_id, work, status=202, location="agent_run_id")
