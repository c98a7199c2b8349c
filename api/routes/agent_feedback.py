"""Routes for the feedback on runs, and for what it says about versions of prompts."""

from fastapi.responses import JSONResponse

from agents.registry import find_agent
from api.deps import AdminDep, CallerDep, SessionsDep
from api.http.routing import ApiRouter
from api.idempotency import Claim, IdempotentDep
from api.openapi.problems import ADMIN_REQUIRED, illegal, no_such, problems
from api.routes.agent_run_reads import OwnDep
from api.schemas.common import Listing, Name
from api.schemas.feedback import FeedbackIn, FeedbackOut, PromptFeedbackOut
from database.agents.feedback import FeedbackRepository
from database.usage.usage_records import UsageRepository
from domain.agents.runs import CLOSED
from domain.errors import IllegalCommandError
from domain.usage.amounts import UsageTotal

router = ApiRouter(tags=["agents"])


@router.post(
    "/agent-runs/{agent_run_id}/feedback",
    status_code=201,
    response_model=FeedbackOut,
    responses=problems(no_such("agent run"), illegal("run", "run_status", "running")),
)
async def add_agent_run_feedback(
    body: FeedbackIn,
    run: OwnDep,
    caller: CallerDep,
    sessions: SessionsDep,
    once: IdempotentDep,
) -> JSONResponse:
    """Say what you think of a run that has ended. What you said before is replaced."""

    async def work(_: Claim) -> FeedbackOut:
        if run.run_status not in CLOSED:
            state = {"run_status": run.run_status}
            raise IllegalCommandError(f"the run is {run.run_status}", details=state)
        async with sessions.begin() as session:
            totals = await UsageRepository(session).totals([run.agent_run_id])
            total = totals.get(run.agent_run_id, UsageTotal())
            row = await FeedbackRepository(session).put(
                run, caller.user_id, body.score, body.label, total.cost_cents
            )
            return FeedbackOut.of(row)

    return await once.run(caller.user_id, work, status=201)


@router.get(
    "/agents/{agent}/feedback",
    responses=problems(ADMIN_REQUIRED, no_such("agent", "unknown_agent")),
)
async def list_agent_feedback(
    agent: Name, _: AdminDep, sessions: SessionsDep
) -> Listing[PromptFeedbackOut]:
    """Compare the versions of an agent's prompt by the feedback on their runs and by their cost."""
    spec = find_agent(agent)
    async with sessions() as session:
        summaries = await FeedbackRepository(session).summaries(spec.name)
    return Listing[PromptFeedbackOut](items=[PromptFeedbackOut.of(each) for each in summaries])
