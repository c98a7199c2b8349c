"""Checks the rules of selling, with the user locked."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from database.payments.payment_methods import PaymentMethodRepository
from database.plans.plans import PlanRepository
from database.session import Sessions
from database.subscriptions.checkout_sessions import CheckoutSessionRepository
from database.subscriptions.subscription_events import SubscriptionEventRepository
from database.subscriptions.subscriptions import SubscriptionRepository
from domain.errors import ApplicationError, NotFoundError
from domain.subscriptions.checkouts import checkout_open
from domain.subscriptions.events import discount_refused_event, status_event
from domain.subscriptions.lifecycle import SubscriptionStatus
from domain.subscriptions.messages import SubscriptionRequest
from domain.subscriptions.selling import already_subscribed, check_currency
from domain.subscriptions.state import SyncResult
from domain.subscriptions.steps import CreateInput
from services.subscriptions.view import dump_parked, state_of


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


def is_about_discount(error: ApplicationError) -> bool:
    """Tell whether Stripe refused a POST because of its discount, or does not know it any more."""
    return str(error.details.get("param") or "").startswith("discounts")


async def end_refused_start(
    sessions: Sessions, step_input: CreateInput, error: ApplicationError
) -> SyncResult:
    """Let a subscription expire that was not made at Stripe; the customer may start another.

    A discount is accepted before the start, but somebody else may use it up meanwhile. Without it
    the customer would pay more than agreed.

    Args:
        sessions: Database sessions.
        step_input: The subscription and its request.
        error: What Stripe said.

    Returns:
        The final state; a repeated call returns the same.

    Raises:
        NotFoundError: There is no such subscription.
    """
    async with sessions.begin() as session:
        row = await SubscriptionRepository(session).lock(step_input.subscription_id)
        if row is None:
            raise NotFoundError("there is no such subscription")
        before = SubscriptionStatus(row.subscription_status)
        after = SubscriptionStatus.INCOMPLETE_EXPIRED
        events = [*step_input.events, discount_refused_event(error.message)]
        if before is not after:
            events.append(status_event(before, after, row.last_event_seq, step_input.summary))
        row.subscription_status = after
        # Reason: a trial that did not begin is not used up.
        row.trial_days, row.trial_card_fingerprint = 0, None
        row.parked_data = dump_parked(step_input.parked)
        await SubscriptionEventRepository(session).append(step_input.subscription_id, events)
        return SyncResult(state=await state_of(session, row, None))
