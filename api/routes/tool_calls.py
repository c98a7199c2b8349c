"""Routes for tool calls whose outcome is unknown, which a person has to find out."""

from uuid import UUID

from fastapi.responses import JSONResponse

from api.deps import AdminDep, PagingDep, SessionsDep
from api.http.routing import ApiRouter
from api.idempotency import Claim, IdempotentDep
from api.lookup import or_404
from api.openapi.problems import ADMIN_REQUIRED, illegal, no_such, problems
from api.schemas.common import Listing
from api.schemas.tool_calls import OutcomeIn, ToolOutcomeOut
from database.agents.tool_outcomes import ToolOutcomeRepository
from services.agents.tool_outcomes import settle_outcome

router = ApiRouter(prefix="/tool-calls", tags=["tool-calls"])


@router.get("", responses=problems(ADMIN_REQUIRED))
async def list_unknown_outcomes(
    _: AdminDep, sessions: SessionsDep, paging: PagingDep
) -> Listing[ToolOutcomeOut]:
    """List the tool calls of which nobody knows whether they were done, newest first."""
    async with sessions() as session:
        page = await ToolOutcomeRepository(session).list_unknown(paging.limit, paging.cursor)
    return Listing[ToolOutcomeOut].of(page, ToolOutcomeOut.of)


@router.post(
    "/{call_id}/outcome",
    response_model=ToolOutcomeOut,
    responses=problems(
        ADMIN_REQUIRED, no_such("tool call"), illegal("tool call", "tool_call_status", "expired")
    ),
)
async def decide_tool_outcome(
    call_id: UUID,
    body: OutcomeIn,
    admin: AdminDep,
    sessions: SessionsDep,
    once: IdempotentDep,
) -> JSONResponse:
    """Tell whether a tool call with an unknown outcome was done.

    The conversation reads it from then on. A call that was not done may be made again. Telling the
    same again changes nothing.
    """

    async def work(_: Claim) -> ToolOutcomeOut:
        async with sessions.begin() as session:
            outcomes = ToolOutcomeRepository(session)
            call = or_404(await outcomes.get_locked(call_id), "tool call")
            await settle_outcome(session, call, admin.user_id, is_done=body.is_done, note=body.note)
            await session.refresh(call)
            return ToolOutcomeOut.of(call)

    return await once.run(admin.user_id, work)
