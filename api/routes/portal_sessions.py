"""Routes for Stripe's customer portal."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from fastapi.responses import JSONResponse

from api.deps import CallerDep, SessionsDep, TemporalDep
from api.http.routing import ApiRouter
from api.idempotency import Claim, IdempotentDep
from api.lookup import resolve_user_id
from api.openapi.problems import (
    STRIPE_DOWN,
    STRIPE_REJECTED,
    TEMPORAL_DOWN,
    no_such,
    operation_pending,
    problems,
)
from api.schemas.hosted_pages import NewPortalSession, PortalSessionOut
from api.starters.stripe_operations import run_operation
from domain.ids import derived_id
from domain.stripe_operations import CreatePortalSession

router = ApiRouter(prefix="/portal-sessions", tags=["portal-sessions"])
SAME_LINK_FOR = timedelta(minutes=1)


def operation_id(claim: Claim, now: datetime) -> UUID:
    """Return the id of the operation that makes the link for a POST, or for a repeat of it."""
    # Reason: a link is valid for minutes only, so a repeat gets another one; a repeat soon after
    # the first POST gets the answer that was not there in time.
    return derived_id("portal", claim.command_id, (now - claim.claimed_at) // SAME_LINK_FOR)


@router.post(
    "",
    status_code=201,
    response_model=PortalSessionOut,
    responses=problems(
        no_such("user"), STRIPE_REJECTED, operation_pending(), TEMPORAL_DOWN, STRIPE_DOWN
    ),
)
async def create_portal_session(
    body: NewPortalSession,
    caller: CallerDep,
    sessions: SessionsDep,
    temporal: TemporalDep,
    once: IdempotentDep,
) -> JSONResponse:
    """Create a link to Stripe's customer portal, where customers manage cards and subscriptions.

    What they do there arrives as events, and is followed.
    """
    user_id = await resolve_user_id(sessions, caller, body.user_id)

    async def work(claim: Claim) -> PortalSessionOut:
        operation = CreatePortalSession(
            operation_id=operation_id(claim, datetime.now(UTC)),
            resource_id=claim.resource_id,
            user_id=user_id,
            return_url=body.return_url,
        )
        made = await run_operation(temporal, operation, "open the customer portal", user_id)
        return PortalSessionOut.model_validate(made.required_page)

    # Reason: whoever has the address acts for the customer, so it must not be stored.
    return await once.run(caller.user_id, work, status=201, is_kept=False)
