"""Resolves a change of a subscription, and checks it against the rules of selling."""

from datetime import datetime

from api.lookup import or_404
from api.schemas.subscription_changes import ChangePlanIn, PreviewStartIn
from database.plans.models import Plan
from database.plans.plans import PlanRepository
from database.session import Sessions
from database.subscriptions.models import Subscription
from database.subscriptions.subscriptions import SubscriptionRepository
from domain.errors import InvalidInputError
from domain.subscriptions.previews import ChangeTerms, NewTerms
from domain.subscriptions.selling import (
    already_subscribed,
    check_coupon,
    check_currency,
    check_total,
    check_trial,
    overage_differs,
)


async def resolve_change(
    sessions: Sessions, subscription: Subscription, body: ChangePlanIn
) -> ChangeTerms:
    """Read all data of a change once, so that every retry of it uses the same.

    Args:
        sessions: Factory of database sessions.
        subscription: Subscription to change.
        body: The change.

    Returns:
        The change, with the price of the new plan.

    Raises:
        NotFoundError: No such active plan exists.
        ConflictError: The user has the new plan already (`already_subscribed`), or it has another
            currency (`currency_mismatch`), or one of both has overage prices (`overage_differs`).
        InvalidInputError: The quantity costs more than Stripe charges at once, or the proration
            date is not in the current period.
    """
    async with sessions() as session:
        plans = PlanRepository(session)
        present = None if subscription.plan_id is None else await plans.get(subscription.plan_id)
        plan = present if body.plan_id is None else await _active(plans, body)
        other = None
        if plan is not None and plan is not present and not plan.is_stackable:
            other = await SubscriptionRepository(session).live_of_plan(
                subscription.user_id, plan.plan_id, subscription.subscription_id
            )
    if other is not None:
        raise already_subscribed(other)
    _refuse_other_overage(present, plan)
    if plan is not None:  # Reason: the price of an adopted subscription may belong to no plan.
        check_currency(plan.currency_code, present.currency_code if present else None)
        check_total(plan.amount_cents, body.quantity or subscription.quantity)
    return ChangeTerms(
        plan_id=body.plan_id,
        stripe_price_id=plan.stripe_price_id if plan and body.plan_id else None,
        quantity=body.quantity,
        is_at_period_end=body.when == "at_period_end",
        proration_date=_proration_date(subscription, body.proration_date),
    )


def _refuse_other_overage(present: Plan | None, plan: Plan | None) -> None:
    """Check that a change leaves the metered items of the subscription as they are.

    Raises:
        ConflictError: One of both plans has overage prices (`overage_differs`).
    """
    plans = [each for each in (present, plan) if each is not None]
    # Reason: usage that is metered already would be billed at the old plan's price, or not at all.
    if plan is not present and any(each.overage_data for each in plans):
        raise overage_differs()


async def resolve_preview(sessions: Sessions, body: PreviewStartIn, *, is_admin: bool) -> NewTerms:
    """Read all data of a new subscription to preview.

    Raises:
        NotFoundError: No such active plan exists.
        ForbiddenError: Only an administrator may give such a trial or a coupon.
        InvalidInputError: The quantity costs more than Stripe charges at once.
    """
    if body.coupon is not None:
        check_coupon(is_admin=is_admin)
    async with sessions() as session:
        row = await PlanRepository(session).get(body.plan_id)
    plan = or_404(row if row and row.is_active else None, "plan")
    check_trial(plan.trial_days, body.trial_days, is_admin=is_admin)
    check_total(plan.amount_cents, body.quantity)
    return NewTerms(
        plan_id=plan.plan_id,
        stripe_price_id=plan.stripe_price_id,
        quantity=body.quantity,
        trial_days=plan.trial_days if body.trial_days is None else body.trial_days,
        coupon=body.coupon,
        promotion_code=body.promotion_code,
    )


async def _active(plans: PlanRepository, body: ChangePlanIn) -> Plan:
    row = await plans.get(body.plan_id) if body.plan_id else None
    return or_404(row if row and row.is_active else None, "plan")


def _proration_date(subscription: Subscription, at: datetime | None) -> int | None:
    """Return the proration date in seconds, after checking that it is in the current period."""
    start, end = subscription.current_period_start, subscription.current_period_end
    if at is None:
        return None
    # Reason: all three times are Stripe's.
    if start is None or end is None or not start <= at <= end:
        message = "the proration date must be in the current period"
        faults = [{"field": "body.proration_date", "message": message}]
        raise InvalidInputError("the input is not valid", details={"errors": faults})
    return int(at.timestamp())
