"""Resolves what a customer buys, and checks it against the rules of selling."""

from dataclasses import dataclass
from uuid import UUID

from api.lookup import or_404
from api.schemas.subscriptions import NewSubscription
from database.payments.models import PaymentMethod
from database.payments.payment_methods import PaymentMethodRepository
from database.plans.models import Plan
from database.plans.plans import PlanRepository
from database.session import Sessions
from database.subscriptions.subscriptions import SubscriptionRepository
from domain.plans import metered_price_ids
from domain.subscriptions.messages import SubscriptionRequest
from domain.subscriptions.selling import (
    already_subscribed,
    check_coupon,
    check_currency,
    check_total,
    check_trial,
)


@dataclass(frozen=True)
class Buyer:
    """User who gets a subscription, and whether an administrator asks for it."""

    user_id: UUID
    is_admin: bool


async def resolve_subscription(
    sessions: Sessions,
    subscription_id: UUID,
    buyer: Buyer,
    body: NewSubscription,
) -> tuple[SubscriptionRequest, Plan]:
    """Read all data of a new subscription once, so that every retry of its start uses the same.

    Returns:
        The request for the mailbox, and the plan.

    Raises:
        NotFoundError: No such active plan exists, or the card is not one of the user's.
        ConflictError: The user has this plan already (`already_subscribed`), or is billed in
            another currency (`currency_mismatch`).
        ForbiddenError: Only an administrator may grant such a trial, or a coupon
            (`admin_required`).
        InvalidInputError: The quantity costs more than Stripe charges at once.
    """
    async with sessions() as session:
        row = await PlanRepository(session).get(body.plan_id)
        plan = or_404(row if row and row.is_active else None, "plan")
        check_trial(plan.trial_days, body.trial_days, is_admin=buyer.is_admin)
        check_total(plan.amount_cents, body.quantity)
        if body.coupon is not None:
            check_coupon(is_admin=buyer.is_admin)
        cards = PaymentMethodRepository(session)
        chosen_card, default_card = None, await cards.default_of(buyer.user_id)
        if body.payment_method_id is not None:
            card = await cards.get(body.payment_method_id, buyer.user_id)
            chosen_card = or_404(card, "payment method")
        subscriptions = SubscriptionRepository(session)
        existing = await subscriptions.live_of_plan(buyer.user_id, plan.plan_id, subscription_id)
        billing_currency = await subscriptions.live_currency(buyer.user_id)
    if existing is not None and not plan.is_stackable:
        # Reason: an early refusal; writing the row checks again, with the user locked.
        raise already_subscribed(existing)
    check_currency(plan.currency_code, billing_currency)
    return _request(buyer, plan, body, chosen_card, default_card), plan


def _request(
    buyer: Buyer,
    plan: Plan,
    body: NewSubscription,
    chosen_card: PaymentMethod | None,
    default_card: PaymentMethod | None,
) -> SubscriptionRequest:
    card_to_charge = chosen_card or default_card
    return SubscriptionRequest(
        user_id=buyer.user_id,
        plan_id=plan.plan_id,
        stripe_price_id=plan.stripe_price_id,
        metered_price_ids=metered_price_ids(plan.overage_data, plan.stripe_overage_data),
        quantity=body.quantity,
        trial_days=plan.trial_days if body.trial_days is None else body.trial_days,
        is_trial_given=buyer.is_admin and body.trial_days is not None,
        is_stackable=plan.is_stackable,
        is_trial_once_per_card=plan.is_trial_once_per_card,
        has_card=card_to_charge is not None,
        stripe_payment_method_id=chosen_card.stripe_payment_method_id if chosen_card else None,
        card_fingerprint=card_to_charge.fingerprint if card_to_charge else None,
    )
