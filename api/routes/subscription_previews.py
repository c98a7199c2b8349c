"""Routes that preview what a change or a new subscription costs."""

from uuid import UUID

from fastapi.responses import JSONResponse

from api.deps import CallerDep, SessionsDep, TemporalDep
from api.http.routing import ApiRouter
from api.idempotency import Claim, IdempotentDep
from api.lookup import resolve_user_id
from api.openapi.problems import (
    COUPON_ADMIN,
    CURRENCY_MISMATCH,
    DISCOUNT_REFUSED,
    EXAMPLE_ID,
    LONGER_TRIAL,
    MANAGED_AT_STRIPE,
    PAYMENT_DUE,
    PERIOD_NOT_PAID,
    STRIPE_DOWN,
    STRIPE_REJECTED,
    TEMPORAL_DOWN,
    illegal,
    no_such,
    operation_pending,
    problems,
)
from api.routes.subscriptions import OwnDep
from api.schemas.subscription_changes import ChangePlanIn, PreviewOut, PreviewStartIn
from api.starters.previews import resolve_preview
from api.starters.stripe_operations import run_operation
from domain.errors import IllegalCommandError, InternalError
from domain.stripe_operations import PreviewChange, PreviewStart, StripeOperationResult
from domain.subscriptions.lifecycle import CommandKind, SubscriptionStatus, decide
from domain.subscriptions.selling import already_subscribed, overage_differs
from services.subscriptions.changes.requests import resolve_change

router = ApiRouter(prefix="/subscriptions", tags=["subscriptions"])


@router.post(
    "/preview",
    response_model=PreviewOut,
    responses=problems(
        LONGER_TRIAL,
        COUPON_ADMIN,
        no_such("plan"),
        no_such("user"),
        no_such("coupon", "coupon_not_found"),
        no_such("promotion code", "promotion_code_not_found"),
        DISCOUNT_REFUSED,
        STRIPE_REJECTED,
        operation_pending(),
        TEMPORAL_DOWN,
        STRIPE_DOWN,
    ),
)
async def preview_subscription(
    body: PreviewStartIn,
    caller: CallerDep,
    sessions: SessionsDep,
    temporal: TemporalDep,
    once: IdempotentDep,
) -> JSONResponse:
    """Preview what a new subscription costs, now and on the next invoice. Nothing is changed."""
    user_id = await resolve_user_id(sessions, caller, body.user_id)

    async def work(claim: Claim) -> PreviewOut:
        terms = await resolve_preview(sessions, body, is_admin=caller.scope is None)
        operation = PreviewStart(
            operation_id=claim.command_id,
            resource_id=terms.plan_id,
            user_id=user_id,
            terms=terms,
        )
        return _shown(await run_operation(temporal, operation, "preview a subscription", user_id))

    return await once.run(caller.user_id, work)


@router.post(
    "/{subscription_id}/preview-change",
    response_model=PreviewOut,
    responses=problems(
        no_such("subscription"),
        no_such("plan"),
        illegal("subscription", "subscription_status", "canceled"),
        already_subscribed(UUID(EXAMPLE_ID)),
        CURRENCY_MISMATCH,
        overage_differs(),
        MANAGED_AT_STRIPE,
        PAYMENT_DUE,
        PERIOD_NOT_PAID,
        STRIPE_REJECTED,
        operation_pending(),
        TEMPORAL_DOWN,
        STRIPE_DOWN,
    ),
)
async def preview_subscription_change(
    body: ChangePlanIn,
    subscription: OwnDep,
    caller: CallerDep,
    sessions: SessionsDep,
    temporal: TemporalDep,
    once: IdempotentDep,
) -> JSONResponse:
    """Preview what a change of plan or quantity costs. Nothing is changed.

    With the `proration_date` of the preview, `change-plan` bills exactly what was previewed.
    """

    async def work(claim: Claim) -> PreviewOut:
        status = SubscriptionStatus(subscription.subscription_status)
        is_managed = subscription.is_managed_at_stripe
        decision = decide(status, CommandKind.CHANGE_PLAN, is_managed_at_stripe=is_managed)
        if decision.refusal is not None or subscription.stripe_subscription_id is None:
            raise IllegalCommandError(
                decision.refusal or "the subscription is not at Stripe yet",
                decision.refusal_code,
                {"subscription_status": status},
            )
        operation = PreviewChange(
            operation_id=claim.command_id,
            resource_id=subscription.subscription_id,
            stripe_subscription_id=subscription.stripe_subscription_id,
            terms=await resolve_change(sessions, subscription, body.to_request()),
        )
        owner = subscription.user_id
        return _shown(await run_operation(temporal, operation, "preview a change", owner))

    return await once.run(caller.user_id, work)


def _shown(result: StripeOperationResult) -> PreviewOut:
    if result.preview is None:
        raise InternalError("the preview is missing")
    return PreviewOut.of(result.preview)
