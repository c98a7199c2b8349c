"""Starts the workflow of a subscription or a payment, and waits for its row."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import UUID

from temporalio.client import Client

from adapters.temporal.calls import raise_workflow_failure, start_workflow_once
from api.schemas.subscriptions import NewSubscription
from api.starters.selling import Buyer, resolve_subscription
from api.starters.stripe_operations import run_operation
from database.payments.models import Payment
from database.payments.payments import PaymentRepository
from database.plans.models import Plan
from database.session import Sessions
from database.subscriptions.checkout_sessions import CheckoutSessionRepository
from database.subscriptions.models import Subscription
from database.subscriptions.subscriptions import SubscriptionRepository
from domain.errors import ConflictError, OutcomePendingError
from domain.ids import derived_id, payment_workflow_id, subscription_workflow_id
from domain.payments.messages import PaymentRequest, PaymentStart
from domain.payments.money import amount_text
from domain.payments.rules import PaymentStatus
from domain.stripe_operations import CloseCheckoutSessions, PreviewStart
from domain.subscriptions.lifecycle import SubscriptionStatus
from domain.subscriptions.messages import SubscriptionRequest
from domain.subscriptions.previews import CouponSnapshot, NewTerms
from domain.subscriptions.state import SubscriptionStart
from workflows.payments.payment import PaymentWorkflow
from workflows.search_attributes import starting_attributes
from workflows.subscriptions.subscription import SubscriptionWorkflow

ROW_SECONDS = 5.0
OUTCOME_SECONDS = 1.0
_FIRST_PAUSE_SECONDS = 0.015
_LAST_PAUSE_SECONDS = 0.2
_POLLS_BEFORE_FAILURE_CHECK = 4
# Reason: Temporal refuses a summary of more than 400 bytes, and a character has up to four.
_NAME_LENGTH = 40

Row = TypeVar("Row")


async def start_subscription(
    temporal: Client,
    sessions: Sessions,
    subscription_id: UUID,
    buyer: Buyer,
    body: NewSubscription,
    replaces: UUID | None = None,
) -> Subscription:
    """Start a subscription, or continue a start that was interrupted.

    Args:
        temporal: Client of Temporal.
        sessions: Factory of database sessions.
        subscription_id: Id of the subscription; the same for the same idempotency key.
        buyer: User who gets the subscription, and whether an administrator asks for it.
        body: Body of the POST.
        replaces: The ended subscription that it replaces.

    Returns:
        The row, with the first outcome if that came within a second.

    Raises:
        OutcomePendingError: No row was committed within 5 s; the start goes on.
        ConflictError: Stripe refused the discount, which was used up meanwhile
            (`discount_refused`).
        ApplicationError: What is bought is refused, see `resolve_subscription`.
    """
    if await _read(sessions, subscription_id) is None:
        await _start(temporal, sessions, subscription_id, buyer, body, replaces)
    poll_count = 0

    async def read() -> Subscription | None:
        nonlocal poll_count
        poll_count += 1
        row = await _read(sessions, subscription_id)
        # Reason: the row appears at once, unless the workflow's first step was refused.
        if row is None and poll_count > _POLLS_BEFORE_FAILURE_CHECK:
            await raise_workflow_failure(temporal, subscription_workflow_id(subscription_id))
        return row

    row = await wait_for_row(read, _has_outcome, "subscription", subscription_id)
    has_ended = row.subscription_status == SubscriptionStatus.INCOMPLETE_EXPIRED
    if has_ended and row.stripe_subscription_id is None:
        ids = {"subscription_id": str(subscription_id)}
        raise ConflictError("Stripe refused the discount meanwhile", "discount_refused", ids)
    return row


async def _start(
    temporal: Client,
    sessions: Sessions,
    subscription_id: UUID,
    buyer: Buyer,
    body: NewSubscription,
    replaces: UUID | None,
) -> None:
    request, plan = await resolve_subscription(sessions, subscription_id, buyer, body)
    added = {
        "replaces_subscription_id": replaces,
        "discount": await _find_discount(temporal, subscription_id, body, request),
    }
    request = request.model_copy(update=added)
    await _close_pages(temporal, sessions, subscription_id, request)
    await start_workflow_once(
        temporal,
        SubscriptionWorkflow.run,
        SubscriptionStart.new(subscription_id, request),
        workflow_id=subscription_workflow_id(subscription_id),
        summary=_summary_of(plan, buyer.user_id),
        search_attributes=starting_attributes(buyer.user_id, subscription_id),
    )


async def start_payment(
    temporal: Client,
    sessions: Sessions,
    payment_id: UUID,
    request: PaymentRequest,
) -> Payment:
    """Start a payment, or continue a start that was interrupted.

    Args:
        temporal: Client of Temporal.
        sessions: Factory of database sessions.
        payment_id: Id of the payment; the same for the same idempotency key.
        request: Payment to make.

    Returns:
        The row, with the first outcome if that came within a second.

    Raises:
        OutcomePendingError: No row was committed within 5 s; the start goes on.
    """

    async def read() -> Payment | None:
        async with sessions() as session:
            return await PaymentRepository(session).get(payment_id, None)

    if await read() is None:
        await start_workflow_once(
            temporal,
            PaymentWorkflow.run,
            PaymentStart(payment_id=payment_id, request=request),
            workflow_id=payment_workflow_id(payment_id),
            summary=f"pay {amount_text(request.amount_cents, request.currency_code)}, "
            f"user {request.user_id}",
            search_attributes=starting_attributes(user_id=request.user_id),
        )
    return await wait_for_row(
        read,
        lambda row: row.payment_status != PaymentStatus.PENDING,
        "payment",
        payment_id,
    )


async def _find_discount(
    temporal: Client, subscription_id: UUID, body: NewSubscription, request: SubscriptionRequest
) -> CouponSnapshot | None:
    """Return the coupon that reduces a new subscription, once Stripe has accepted it for a preview.

    Raises:
        NotFoundError: There is no such coupon or promotion code.
        ConflictError: Stripe refused the discount (`discount_refused`).
    """
    if body.coupon is None and body.promotion_code is None:
        return None
    operation = PreviewStart(
        operation_id=derived_id("find-discount", subscription_id),
        resource_id=request.plan_id,
        user_id=request.user_id,
        terms=NewTerms(
            plan_id=request.plan_id,
            stripe_price_id=request.stripe_price_id,
            quantity=request.quantity,
            trial_days=request.trial_days,
            coupon=body.coupon,
            promotion_code=body.promotion_code,
        ),
    )
    result = await run_operation(temporal, operation, "find a discount", request.user_id)
    return result.coupon


async def _close_pages(
    temporal: Client, sessions: Sessions, subscription_id: UUID, request: SubscriptionRequest
) -> None:
    """Close the Checkout pages on which the customer could pay for the same plan once more."""
    async with sessions() as session:
        pages = CheckoutSessionRepository(session)
        opened = await pages.list_open(request.user_id, request.plan_id, subscription_id)
    if not opened:
        return
    operation_id = derived_id("close-checkout-sessions", subscription_id)
    operation = CloseCheckoutSessions.before(operation_id, subscription_id, request)
    await run_operation(temporal, operation, "close Checkout pages", request.user_id)


def _summary_of(plan: Plan, user_id: UUID) -> str:
    """Return the summary of a subscription for the Web UI."""
    amount = amount_text(plan.amount_cents, plan.currency_code)
    period = (
        plan.interval if plan.interval_count == 1 else f"{plan.interval_count} {plan.interval}s"
    )
    return f"{plan.name[:_NAME_LENGTH]} ({plan.code}), {amount} every {period}, user {user_id}"


async def wait_for_row(
    read: Callable[[], Awaitable[Row | None]],
    has_outcome: Callable[[Row], bool],
    resource: str,
    resource_id: UUID,
) -> Row:
    """Poll with growing pauses until the row has its first outcome, or the time is over."""
    now = asyncio.get_running_loop().time
    deadline = now() + ROW_SECONDS
    pause = _FIRST_PAUSE_SECONDS
    row: Row | None = None
    while True:
        latest = await read()
        if latest is not None and row is None:
            deadline = now() + OUTCOME_SECONDS
        row = latest
        if row is not None and (has_outcome(row) or now() >= deadline):
            return row
        if now() >= deadline:
            raise OutcomePendingError(
                f"the {resource} is not created yet; its start goes on",
                details={f"{resource}_id": str(resource_id)},
            )
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, _LAST_PAUSE_SECONDS)


def _has_outcome(row: Subscription) -> bool:
    is_incomplete = row.subscription_status == SubscriptionStatus.INCOMPLETE
    return not is_incomplete or row.stripe_subscription_id is not None or bool(row.parked_data)


async def _read(sessions: Sessions, subscription_id: UUID) -> Subscription | None:
    async with sessions() as session:
        return await SubscriptionRepository(session).get(subscription_id, None)
