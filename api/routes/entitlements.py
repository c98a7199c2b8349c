"""Route for what a customer may use."""

from uuid import UUID

from api.deps import CallerDep, SessionsDep
from api.http.routing import ApiRouter
from api.lookup import now, or_404, visible_user_id
from api.openapi.problems import no_such, problems
from api.schemas.entitlements import EntitlementsOut
from services.usage.entitlements import read_entitlements

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
    owner_id = visible_user_id(caller, user_id)
    async with sessions() as session:
        found = or_404(await read_entitlements(session, owner_id, now()), "user")
    return EntitlementsOut.of(found.current.entitlements, found.metrics)
