"""Checks the rules of selling, with the user locked."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from database.payments.payment_methods import PaymentMethodRepository
from database.plans.plans import PlanRepository
from database.subscriptions.checkout_sessions import CheckoutSessionRepository
from database.subscriptions.subscriptions import SubscriptionRepository
from domain.subscriptions.checkouts import checkout_open
from domain.subscriptions.messages import SubscriptionRequest
from domain.subscriptions.selling import already_subscribed, check_currency


async def check_sellable(
    session: AsyncSession,
    subscription_id: UUID,
    request: SubscriptionRequest,
) -> None:
    """Raise an error if the user's other subscriptions, or open Checkout pages, forbid this one.

    Args:
        session: Session in whose transaction the user is locked.
        subscription_id: Id of the subscription to make, which is ignored.
        request: What is sold.

    Raises:
        ConflictError: `already_subscribed`, `checkout_open` or `currency_mismatch`.
    """
    repository = SubscriptionRepository(session)
    if not request.is_stackable:
        live_subscription_id = await repository.live_of_plan(
            request.user_id,
            request.plan_id,
            subscription_id,
        )
        if live_subscription_id is not None:
            raise already_subscribed(live_subscription_id)
        pages = CheckoutSessionRepository(session)
        opened = await pages.list_open(request.user_id, request.plan_id, subscription_id)
        if opened:
            # Reason: whoever starts a subscription has closed the pages that were open before.
            raise checkout_open(opened[0].subscription_id)
    if request.replaces_subscription_id is not None:
        replacement_id = await repository.replacement_of(
            request.user_id, request.replaces_subscription_id, subscription_id
        )
        if replacement_id is not None:
            raise already_subscribed(replacement_id)
    plan = await PlanRepository(session).get(request.plan_id)
    if plan is not None:
        check_currency(plan.currency_code, await repository.live_currency(request.user_id))


async def trial_days_of(session: AsyncSession, request: SubscriptionRequest) -> int:
    """Return the trial's length in days; concurrent starts with one card are serialized."""
    if not request.trial_days or request.is_trial_given:
        return request.trial_days
    fingerprint = request.card_fingerprint if request.is_trial_once_per_card else None
    if fingerprint is not None:
        await PaymentMethodRepository(session).lock_card(fingerprint)
    repository = SubscriptionRepository(session)
    had = await repository.has_had_trial(request.user_id, request.plan_id, fingerprint)
    return 0 if had else request.trial_days
