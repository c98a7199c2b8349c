"""Resolves a new subscription to preview, and checks it against the rules of selling."""

from api.lookup import or_404
from api.schemas.subscription_changes import PreviewStartIn
from database.plans.plans import PlanRepository
from database.session import Sessions
from domain.subscriptions.previews import NewTerms
from domain.subscriptions.selling import check_coupon, check_total, check_trial


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
