"""Routes for pages of Stripe's on which customers subscribe."""

from uuid import UUID

from fastapi.responses import JSONResponse

from api.deps import CallerDep, SessionsDep, TemporalDep
from api.http.routing import ApiRouter
from api.idempotency import Claim, IdempotentDep
from api.lookup import resolve_user_id
from api.openapi.problems import (
    CURRENCY_MISMATCH,
    EXAMPLE_ID,
    STRIPE_DOWN,
    STRIPE_REJECTED,
    TEMPORAL_DOWN,
    no_such,
    operation_pending,
    problems,
)
from api.schemas.hosted_pages import CheckoutSessionOut, NewCheckoutSession
from api.schemas.subscriptions import NewSubscription
from api.starters.selling import Buyer, resolve_subscription
from api.starters.stripe_operations import run_operation
from domain.stripe_operations import CreateCheckoutSession
from domain.subscriptions.checkouts import WayBack, checkout_open
from domain.subscriptions.selling import already_subscribed

router = ApiRouter(prefix="/checkout-sessions", tags=["checkout-sessions"])


@router.post(
    "",
    status_code=201,
    response_model=CheckoutSessionOut,
    responses=problems(
        no_such("plan"),
        no_such("user"),
        already_subscribed(UUID(EXAMPLE_ID)),
        CURRENCY_MISMATCH,
        checkout_open(UUID(EXAMPLE_ID)),
        STRIPE_REJECTED,
        operation_pending(),
        TEMPORAL_DOWN,
        STRIPE_DOWN,
    ),
)
async def create_checkout_session(
    body: NewCheckoutSession,
    caller: CallerDep,
    sessions: SessionsDep,
    temporal: TemporalDep,
    once: IdempotentDep,
) -> JSONResponse:
    """Create a page of Stripe's on which the customer subscribes; an earlier one is closed.

    The page may also be left open: `POST subscriptions` of the same plan closes it. What the
    customer does there arrives as an event, and the subscription has the id in the answer.
    """
    user_id = await resolve_user_id(sessions, caller, body.user_id)

    async def work(claim: Claim) -> CheckoutSessionOut:
        wanted = NewSubscription(plan_id=body.plan_id, quantity=body.quantity)
        buyer = Buyer(user_id, is_admin=caller.scope is None)
        request, plan = await resolve_subscription(sessions, claim.resource_id, buyer, wanted)
        operation = CreateCheckoutSession(
            operation_id=claim.resource_id,
            resource_id=claim.resource_id,
            request=request,
            way_back=WayBack(success_url=body.success_url, cancel_url=body.cancel_url),
        )
        summary = f"open a Checkout page for {plan.code}"
        made = await run_operation(temporal, operation, summary, user_id)
        page = made.required_page
        return CheckoutSessionOut(
            subscription_id=made.resource_id, url=page.url, expires_at=page.expires_at
        )

    return await once.run(caller.user_id, work, status=201)
