"""Resolves the change of a subscription that somebody requests, and checks it."""

from datetime import datetime

from database.plans.models import Plan
from database.plans.plans import PlanRepository
from database.session import Sessions
from database.subscriptions.models import Subscription
from database.subscriptions.subscriptions import SubscriptionRepository
from domain.errors import InvalidInputError, NotFoundError
from domain.subscriptions.previews import ChangeRequest, ChangeTerms
from domain.subscriptions.selling import (
    already_subscribed,
    check_currency,
    check_total,
    overage_differs,
)


async def resolve_change(
    sessions: Sessions, subscription: Subscription, request: ChangeRequest
) -> ChangeTerms:
    """Read all data of a change once, so that every retry of it uses the same.

    Args:
        sessions: Factory of database sessions.
        subscription: Subscription to change.
        request: The change.

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
        plan = present if request.plan_id is None else await _active(plans, request)
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
        check_total(plan.amount_cents, request.quantity or subscription.quantity)
    return ChangeTerms(
        plan_id=request.plan_id,
        stripe_price_id=plan.stripe_price_id if plan and request.plan_id else None,
        quantity=request.quantity,
        is_at_period_end=request.is_at_period_end,
        proration_date=_proration_date(subscription, request.proration_date),
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


async def _active(plans: PlanRepository, request: ChangeRequest) -> Plan:
    row = await plans.get(request.plan_id) if request.plan_id else None
    if row is None or not row.is_active:
        raise NotFoundError("there is no such plan")
    return row


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
