"""One look at Stripe, written down in one transaction: the view of a subscription."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from database.payment_retries.payment_retries import PaymentRetryRepository
from database.payment_retries.retry_policies import RetryPolicyRepository
from database.payments.payments import PaymentRepository
from database.plans.plans import PlanRepository
from database.session import Sessions
from database.subscriptions.invoices import InvoiceRepository
from database.subscriptions.models import Subscription
from database.subscriptions.subscription_events import SubscriptionEventRepository
from database.subscriptions.subscriptions import SubscriptionRepository
from database.webhooks.inbox import deliver_awaiting
from database.webhooks.webhook_events import WebhookEventRepository
from domain.errors import NotFoundError
from domain.ids import invoice_id
from domain.payment_retries.lifecycle import RetryStatus
from domain.payment_retries.policy import DEFAULT_POLICY_NAME, VersionedPolicy
from domain.subscriptions.events import hint_event, status_event
from domain.subscriptions.lifecycle import FINAL, Effect, SubscriptionStatus, follow
from domain.subscriptions.messages import NewSubscriptionEvent
from domain.subscriptions.snapshots import COUNTING, RENEWAL, InvoiceSnapshot, SubscriptionSnapshot
from domain.subscriptions.state import SubscriptionState, SyncResult
from domain.subscriptions.steps import OwedStep, SubscriptionInput


async def write_view(
    sessions: Sessions,
    order: SubscriptionInput,
    seen: SubscriptionSnapshot,
    *,
    written_off_invoice_id: str | None = None,
) -> SyncResult:
    """Bring the view up to what Stripe says.

    Args:
        sessions: Where to write.
        order: Whose view, what made us look, and Temporal's time.
        seen: What Stripe says.
        written_off_invoice_id: The invoice that our last resort has marked uncollectible.

    Returns:
        The new state and what it brings about; the same again if it was written before.

    Raises:
        NotFoundError: There is no such subscription.
    """
    async with sessions.begin() as session:
        row = await SubscriptionRepository(session).lock(order.subscription_id)
        if row is None:
            raise NotFoundError("there is no such subscription")
        before = SubscriptionStatus(row.subscription_status)
        decision = follow(before, seen.subscription_status, row.is_ended_by_us)
        policy = await policy_of(session, row)
        _update(row, seen, decision.next_status)
        await _follow_plan(session, row, seen)
        _set_grace(row, decision.effects, order.at + policy.policy.grace)
        row.is_written_off = _is_written_off(row, seen, written_off_invoice_id)
        row.parked_data = dump_parked(order.parked)
        paid_for_nothing = await _put_invoices(session, row, seen, order)
        notes = [*await _hints(session, order), *order.events]
        after, seq = decision.next_status, row.last_event_seq
        if before is not after:
            notes.append(status_event(before, after, seq, order.summary))
        await SubscriptionEventRepository(session).append(order.subscription_id, notes)
        state = await state_of(session, row, seen.latest_stripe_invoice_id)
    return SyncResult(
        state=state,
        effects=decision.effects,
        owed_stripe_invoice_ids=_owed(seen),
        has_newer_settled=_has_newer_settled(seen),
        refund_payment_ids=tuple(paid_for_nothing),
        policy=policy,
    )


async def unchanged(sessions: Sessions, order: SubscriptionInput) -> SyncResult:
    """Note what happened to a subscription of which Stripe knows nothing yet.

    Raises:
        NotFoundError: There is no such subscription.
    """
    async with sessions.begin() as session:
        row = await SubscriptionRepository(session).lock(order.subscription_id)
        if row is None:
            raise NotFoundError("there is no such subscription")
        row.parked_data = dump_parked(order.parked)
        notes = [*await _hints(session, order), *order.events]
        await SubscriptionEventRepository(session).append(order.subscription_id, notes)
        return SyncResult(state=await state_of(session, row, None))


async def state_of(
    session: AsyncSession,
    row: Subscription,
    latest_stripe_invoice_id: str | None,
) -> SubscriptionState:
    """Return what a mailbox needs to know of its row."""
    payment_retries = await PaymentRetryRepository(session).list_open(
        subscription_id=row.subscription_id,
    )
    return SubscriptionState(
        subscription_id=row.subscription_id,
        user_id=row.user_id,
        subscription_status=SubscriptionStatus(row.subscription_status),
        stripe_subscription_id=row.stripe_subscription_id,
        latest_stripe_invoice_id=latest_stripe_invoice_id,
        grace_ends_at=row.grace_ends_at,
        is_written_off=row.is_written_off,
        payment_retries={
            retry.stripe_invoice_id: RetryStatus(retry.retry_status) for retry in payment_retries
        },
        owed=tuple(OwedStep.model_validate(step) for step in row.parked_data),
    )


async def policy_of(session: AsyncSession, row: Subscription) -> VersionedPolicy:
    """Return the newest version of the plan's retry policy, or the default's."""
    policies = RetryPolicyRepository(session)
    name = await SubscriptionRepository(session).retry_policy_name(row.subscription_id)
    found = await policies.latest(name or DEFAULT_POLICY_NAME)
    return found or await policies.latest(DEFAULT_POLICY_NAME) or VersionedPolicy()


def dump_parked(parked: Sequence[OwedStep]) -> list[dict[str, object]]:
    """Write parked steps down, whole: whoever starts the mailbox anew takes them up."""
    return [step.model_dump(mode="json") for step in parked]


def _update(row: Subscription, seen: SubscriptionSnapshot, status: SubscriptionStatus) -> None:
    row.subscription_status = status
    if status not in FINAL:
        row.is_ended_by_us = False  # whatever was to end it has not
    row.stripe_subscription_id = seen.stripe_subscription_id
    row.stripe_customer_id = seen.stripe_customer_id
    row.quantity = seen.quantity
    row.current_period_start = seen.current_period_start
    row.current_period_end = seen.current_period_end
    row.trial_end = seen.trial_end
    row.cancel_at = seen.cancel_at
    row.canceled_at = seen.canceled_at or row.canceled_at
    row.is_owing = any(invoice.invoice_status == "open" for invoice in seen.invoices)
    latest = seen.latest_stripe_invoice_id
    row.latest_invoice_id = invoice_id(latest) if latest else None
    row.next_action_url = next(
        (
            known.hosted_invoice_url
            for known in seen.invoices
            if known.stripe_invoice_id == latest and known.invoice_status == "open"
        ),
        None,
    )


def _set_grace(row: Subscription, effects: Collection[Effect], ends_at: datetime) -> None:
    if Effect.START_GRACE in effects and row.grace_ends_at is None:
        row.grace_ends_at = ends_at
    if Effect.CLEAR_GRACE in effects:
        row.grace_ends_at = None


async def _follow_plan(
    session: AsyncSession, row: Subscription, seen: SubscriptionSnapshot
) -> None:
    """Follow a change of price made at Stripe: a plan's prices all belong to its product."""
    if seen.stripe_price_id == row.stripe_price_id:
        return
    row.stripe_price_id = seen.stripe_price_id
    if seen.stripe_product_id is not None:
        plan = await PlanRepository(session).get_by_product(seen.stripe_product_id)
        # Reason: a price that is no plan of ours is shown as such; the last plan stays.
        row.plan_id = plan.plan_id if plan else row.plan_id


def _is_written_off(
    row: Subscription,
    seen: SubscriptionSnapshot,
    written_off_invoice_id: str | None,
) -> bool:
    """Tell whether the debt is given up: by Stripe's own rule the newest invoice decides."""
    newest = _newest_counting(seen)
    is_ours = row.is_written_off or written_off_invoice_id is not None
    return is_ours and newest is not None and newest.invoice_status == "uncollectible"


def _newest_counting(seen: SubscriptionSnapshot) -> InvoiceSnapshot | None:
    return next((each for each in seen.invoices if each.invoice_status in COUNTING), None)


def _owed(seen: SubscriptionSnapshot) -> tuple[str, ...]:
    return tuple(each.stripe_invoice_id for each in reversed(seen.invoices) if each.is_owed)


def _has_newer_settled(seen: SubscriptionSnapshot) -> bool:
    """Tell whether a renewal that was finalized after all that is owed is closed by now."""
    for invoice in seen.invoices:
        if invoice.is_owed:
            return False
        if invoice.invoice_status != "draft" and invoice.billing_reason == RENEWAL:
            return True
    return False


async def _put_invoices(
    session: AsyncSession,
    row: Subscription,
    seen: SubscriptionSnapshot,
    order: SubscriptionInput,
) -> list[UUID]:
    """Store invoices and what was paid for them; return what is to be paid back."""
    invoices, payments = InvoiceRepository(session), PaymentRepository(session)
    known = await invoices.known(row.subscription_id)
    await invoices.mark_deleted(seen.deleted_invoice_ids)
    paid_for_nothing: list[UUID] = []
    for invoice in seen.invoices:
        stored_id = await invoices.put(row.subscription_id, row.user_id, invoice)
        was_given_up = invoice.stripe_invoice_id in known.given_up
        is_for_nothing = (
            order.refunds_all
            or invoice.stripe_invoice_id in order.refund_stripe_invoice_ids
            or _is_paid_too_late(row, seen, invoice, was_given_up)
        )
        for payment in invoice.payments:
            if payment.is_succeeded:
                stored = await payments.put_succeeded(
                    row.user_id,
                    stored_id,
                    invoice.currency_code,
                    payment,
                )
                if stored.is_new:
                    await deliver_awaiting(session, payment.stripe_payment_intent_id)
                if is_for_nothing and await payments.is_refundable(stored.payment_id):
                    paid_for_nothing.append(stored.payment_id)
    return paid_for_nothing


def _is_paid_too_late(
    row: Subscription,
    seen: SubscriptionSnapshot,
    invoice: InvoiceSnapshot,
    was_given_up: bool,
) -> bool:
    """Tell whether an invoice was paid, and brings no access any more, because of what we did."""
    if invoice.paid_at is None:
        return False
    if was_given_up and seen.subscription_status is SubscriptionStatus.PAUSED:
        return True
    # Reason: both times are Stripe's.
    return row.is_ended_by_us and seen.ended_at is not None and invoice.paid_at > seen.ended_at


async def _hints(session: AsyncSession, order: SubscriptionInput) -> list[NewSubscriptionEvent]:
    types = await WebhookEventRepository(session).types_of(order.hint_ids)
    return [hint_event(hint_id, types.get(hint_id, "event")) for hint_id in order.hint_ids]
