"""What a customer may use."""

from uuid import UUID

from fastapi import APIRouter

from api.deps import CallerDep, SessionsDep
from api.lookup import acting_for, now
from api.schemas.common import problems
from api.schemas.payments import EntitlementsOut, UsedOut
from api.schemas.subscriptions import access_of
from database.plans import PlanRepository
from domain.entitlements import Grant, combine

router = APIRouter(prefix="/entitlements", tags=["entitlements"])


@router.get("", responses=problems(401, 404, 422, 503))
async def get_entitlements(
    caller: CallerDep,
    sessions: SessionsDep,
    user_id: UUID | None = None,
) -> EntitlementsOut:
    """Return what the caller may use, over all subscriptions.

    An administrator may ask for another user.
    """
    owner_id = await acting_for(sessions, caller, user_id)
    async with sessions() as session:
        rows = await PlanRepository(session).subscribed(owner_id)
    at = now()
    grants = [
        Grant(
            access=access_of(subscription, at),
            features=plan.features_data,
            limits=plan.limits_data,
            current_period_end=subscription.current_period_end,
        )
        for subscription, plan in rows
    ]
    # Reason: nothing is metered before there are agents, so nothing has been used.
    return EntitlementsOut(**combine(grants).model_dump(), used=UsedOut())
