"""Route for what a customer has used."""

from uuid import UUID

from api.deps import CallerDep, SessionsDep
from api.http.routing import ApiRouter
from api.lookup import now, or_404, visible_user_id
from api.openapi.problems import no_such, problems
from api.schemas.usage import SHOWN_COUNT, CustomerUsageOut
from database.usage.meter_events import newest_meter_events
from database.usage.usage_alerts import newest_alerts
from services.usage.entitlements import read_entitlements

router = ApiRouter(prefix="/usage", tags=["usage"])


@router.get("", responses=problems(no_such("user")))
async def get_usage(
    caller: CallerDep,
    sessions: SessionsDep,
    user_id: UUID | None = None,
) -> CustomerUsageOut:
    """Return what the caller has used in the current periods, by kind and class of tokens.

    An administrator may name another user.
    """
    owner_id, at = visible_user_id(caller, user_id), now()
    async with sessions() as session:
        found = or_404(await read_entitlements(session, owner_id, at), "user")
        alerts = await newest_alerts(session, owner_id, SHOWN_COUNT)
        meter_events = await newest_meter_events(session, owner_id, SHOWN_COUNT)
    return CustomerUsageOut.of(found, alerts, meter_events)
