"""Route for what a customer may use."""

from uuid import UUID

from api.deps import CallerDep, SessionsDep
from api.http.routing import ApiRouter
from api.lookup import now, resolve_user_id
from api.openapi.problems import no_such, problems
from api.schemas.entitlements import EntitlementsOut, UsedOut
from database.agents.usage_records import UsageRepository
from services.subscriptions.entitlements import user_entitlements

router = ApiRouter(prefix="/entitlements", tags=["entitlements"])


@router.get("", responses=problems(no_such("user")))
async def get_entitlements(
    caller: CallerDep,
    sessions: SessionsDep,
    user_id: UUID | None = None,
) -> EntitlementsOut:
    """Return what the caller may use, over all subscriptions.

    An administrator may name another user.
    """
    owner_id = await resolve_user_id(sessions, caller, user_id)
    async with sessions() as session:
        result = await user_entitlements(session, owner_id, now())
        total = await UsageRepository(session).used_in(result.periods)
    used = UsedOut(
        agent_run_count=total.agent_run_count,
        token_count=total.token_count,
        cost_cents=float(total.cost_cents),
    )
    return EntitlementsOut(**result.entitlements.model_dump(), used=used)
