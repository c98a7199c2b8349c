"""Resolving what a customer buys, by the rules of selling."""

from dataclasses import dataclass
from uuid import UUID

from api.lookup import found
from api.schemas.subscriptions import NewSubscription
from database.payments.payment_methods import PaymentMethodRepository
from database.plans.models import Plan
from database.plans.plans import PlanRepository
from database.session import Sessions
from database.subscriptions.subscriptions import SubscriptionRepository
from domain.subscriptions.messages import SubscriptionRequest
from domain.subscriptions.selling import (
    already_subscribed,
    check_currency,
    check_total,
    check_trial,
)


@dataclass(frozen=True)
class Buyer:
    """Whose a subscription is to be, and whether an administrator asks for it."""

    user_id: UUID
    is_admin: bool


async def resolve_subscription(
    sessions: Sessions,
    subscription_id: UUID,
    buyer: Buyer,
    wanted: NewSubscription,
) -> tuple[SubscriptionRequest, Plan]:
    """Look up everything that a new subscription goes by, so that no later try finds it otherwise.

    Returns:
        The request for the mailbox, and the plan.

    Raises:
        NotFoundError: There is no such plan, or card, for this user.
        ConflictError: They have this plan already (`already_subscribed`), or are billed in another
            currency (`currency_mismatch`).
        ForbiddenError: Only an administrator gives such a trial (`admin_required`).
        InvalidInputError: So many of the plan cost more than Stripe charges at once.
    """
    async with sessions() as session:
        known = await PlanRepository(session).get(wanted.plan_id)
        plan = found(known if known and known.is_active else None, "plan")
        check_trial(plan.trial_days, wanted.trial_days, is_admin=buyer.is_admin)
        check_total(plan.amount_cents, wanted.quantity)
        cards = PaymentMethodRepository(session)
        chosen, default = None, await cards.default_of(buyer.user_id)
        if wanted.payment_method_id is not None:
            card = await cards.get(wanted.payment_method_id, buyer.user_id)
            chosen = found(card, "payment method")
        subscriptions = SubscriptionRepository(session)
        live = await subscriptions.live_of_plan(buyer.user_id, plan.plan_id, subscription_id)
        billed_in = await subscriptions.live_currency(buyer.user_id)
    if live is not None and not plan.is_stackable:
        # Reason: a courtesy. The row is written with the user locked, and asks again.
        raise already_subscribed(live)
    check_currency(plan.currency_code, billed_in)
    paying = chosen or default
    request = SubscriptionRequest(
        user_id=buyer.user_id,
        plan_id=plan.plan_id,
        stripe_price_id=plan.stripe_price_id,
        quantity=wanted.quantity,
        trial_days=plan.trial_days if wanted.trial_days is None else wanted.trial_days,
        is_trial_given=buyer.is_admin and wanted.trial_days is not None,
        is_stackable=plan.is_stackable,
        is_trial_once_per_card=plan.is_trial_once_per_card,
        has_card=paying is not None,
        stripe_payment_method_id=chosen.stripe_payment_method_id if chosen else None,
        card_fingerprint=paying.fingerprint if paying else None,
    )
    return request, plan
