"""Routes that change what a subscription costs: plan, quantity and discount."""

from uuid import UUID

from fastapi.responses import JSONResponse

from adapters.temporal.calls import CALL_TIMEOUT
from api.deps import CallerDep, SessionsDep, TemporalDep
from api.http.routing import ApiRouter
from api.idempotency import Claim, IdempotentDep
from api.openapi.problems import (
    CHANGE_UNPAID,
    COUPON_ADMIN,
    CURRENCY_MISMATCH,
    DISCOUNT_REFUSED,
    EXAMPLE_ID,
    MANAGED_AT_STRIPE,
    PAYMENT_DUE,
    PERIOD_NOT_PAID,
    STRIPE_REJECTED,
    TEMPORAL_DOWN,
    illegal,
    no_such,
    pending,
    problems,
)
from api.routes.subscription_commands import send_and_read
from api.routes.subscriptions import OwnDep
from api.schemas.subscription_changes import ApplyDiscountIn, ChangePlanIn
from api.schemas.subscriptions import SubscriptionOut
from domain.subscriptions.lifecycle import CommandKind
from domain.subscriptions.messages import SubscriptionCommand
from domain.subscriptions.selling import already_subscribed, check_coupon, overage_differs
from services.subscriptions.changes.requests import resolve_change

_KINDS = {
    "now": CommandKind.CHANGE_PLAN,
    "at_period_end": CommandKind.SCHEDULE_CHANGE,
}
router = ApiRouter(prefix="/subscriptions", tags=["subscriptions"])


@router.post(
    "/{subscription_id}/change-plan",
    response_model=SubscriptionOut,
    responses=problems(
        CHANGE_UNPAID,
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
        pending("subscription_id"),
        TEMPORAL_DOWN,
    ),
)
async def change_subscription_plan(
    body: ChangePlanIn,
    subscription: OwnDep,
    caller: CallerDep,
    sessions: SessionsDep,
    temporal: TemporalDep,
    once: IdempotentDep,
) -> JSONResponse:
    """Change plan or quantity. Unless the difference is paid at once, nothing changes.

    One change waits for the end of the period at most: another one replaces it, and a change at
    once drops it.
    """

    async def work(claim: Claim) -> SubscriptionOut:
        command = SubscriptionCommand(
            command_id=claim.command_id,
            kind=_KINDS[body.when],
            terms=await resolve_change(sessions, subscription, body.to_request()),
        )
        return await send_and_read(temporal, sessions, subscription, command, CALL_TIMEOUT)

    return await once.run(caller.user_id, work)


@router.post(
    "/{subscription_id}/cancel-scheduled-change",
    response_model=SubscriptionOut,
    responses=problems(
        no_such("subscription"),
        illegal("subscription", "subscription_status", "canceled"),
        MANAGED_AT_STRIPE,
        STRIPE_REJECTED,
        pending("subscription_id"),
        TEMPORAL_DOWN,
    ),
)
async def cancel_scheduled_change(
    subscription: OwnDep,
    caller: CallerDep,
    sessions: SessionsDep,
    temporal: TemporalDep,
    once: IdempotentDep,
) -> JSONResponse:
    """Drop the change that waits for the end of the period."""

    async def work(claim: Claim) -> SubscriptionOut:
        kind = CommandKind.CANCEL_SCHEDULED_CHANGE
        command = SubscriptionCommand(command_id=claim.command_id, kind=kind)
        return await send_and_read(temporal, sessions, subscription, command, CALL_TIMEOUT)

    return await once.run(caller.user_id, work)


@router.post(
    "/{subscription_id}/discount",
    response_model=SubscriptionOut,
    responses=problems(
        COUPON_ADMIN,
        no_such("subscription"),
        no_such("coupon", "coupon_not_found"),
        no_such("promotion code", "promotion_code_not_found"),
        illegal("subscription", "subscription_status", "canceled"),
        DISCOUNT_REFUSED,
        MANAGED_AT_STRIPE,
        STRIPE_REJECTED,
        pending("subscription_id"),
        TEMPORAL_DOWN,
    ),
)
async def apply_subscription_discount(
    body: ApplyDiscountIn,
    subscription: OwnDep,
    caller: CallerDep,
    sessions: SessionsDep,
    temporal: TemporalDep,
    once: IdempotentDep,
) -> JSONResponse:
    """Apply a promotion code, or as an administrator a coupon, from the next invoice on.

    It takes the place of the discount that the subscription has.
    """

    async def work(claim: Claim) -> SubscriptionOut:
        if body.coupon is not None:
            check_coupon(is_admin=caller.scope is None)
        command = SubscriptionCommand(
            command_id=claim.command_id,
            kind=CommandKind.APPLY_DISCOUNT,
            coupon=body.coupon,
            promotion_code=body.promotion_code,
        )
        return await send_and_read(temporal, sessions, subscription, command, CALL_TIMEOUT)

    return await once.run(caller.user_id, work)


@router.post(
    "/{subscription_id}/remove-discount",
    response_model=SubscriptionOut,
    responses=problems(
        no_such("subscription"),
        illegal("subscription", "subscription_status", "canceled"),
        MANAGED_AT_STRIPE,
        STRIPE_REJECTED,
        pending("subscription_id"),
        TEMPORAL_DOWN,
    ),
)
async def remove_subscription_discount(
    subscription: OwnDep,
    caller: CallerDep,
    sessions: SessionsDep,
    temporal: TemporalDep,
    once: IdempotentDep,
) -> JSONResponse:
    """Remove the discount from the next invoice on; without a discount nothing changes."""

    async def work(claim: Claim) -> SubscriptionOut:
        kind = CommandKind.REMOVE_DISCOUNT
        command = SubscriptionCommand(command_id=claim.command_id, kind=kind)
        return await send_and_read(temporal, sessions, subscription, command, CALL_TIMEOUT)

    return await once.run(caller.user_id, work)
