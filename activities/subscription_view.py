"""One look at Stripe, written down in one transaction: the view of a subscription."""

from sqlalchemy.ext.asyncio import AsyncSession

from database.invoices import InvoiceRepository
from database.models import Subscription
from database.payment_retries import PaymentRetryRepository
from database.payments import PaymentRepository
from database.retry_policies import RetryPolicyRepository
from database.session import Sessions
from database.subscription_events import SubscriptionEventRepository
from database.subscriptions import SubscriptionRepository
from database.webhook_events import WebhookEventRepository
from domain.billing import EventNote, Refreshed, SubscriptionOrder, SubscriptionState
from domain.errors import NotFoundError
from domain.ids import invoice_id
from domain.notes import note_of_hint, note_of_status
from domain.retries import DEFAULT_POLICY_NAME, RetryStatus, VersionedPolicy
from domain.seen import InvoiceSeen, SubscriptionSeen
from domain.subscriptions import Effect, SubscriptionStatus, follow

UNRECOVERABLE_REASON = "subscription_create"


async def write_view(
    sessions: Sessions,
    order: SubscriptionOrder,
    seen: SubscriptionSeen,
) -> Refreshed:
    """Bring the view up to what Stripe says.

    Args:
        sessions: Where to write.
        order: Whose view, what made us look, and Temporal's time.
        seen: What Stripe says.

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
        decision = follow(before, seen.subscription_status)
        policy = await policy_of(session, row)
        _update(row, seen, decision.next_status)
        if Effect.START_GRACE in decision.effects and row.grace_ends_at is None:
            row.grace_ends_at = order.at + policy.policy.grace
        if Effect.CLEAR_GRACE in decision.effects:
            row.grace_ends_at = None
        await _put_invoices(session, row, seen.invoices)
        notes = [*await _hints(session, order), *order.notes]
        if before is not decision.next_status:
            reason = order.summary
            notes.append(note_of_status(before, decision.next_status, row.last_event_seq, reason))
        await SubscriptionEventRepository(session).append(order.subscription_id, notes)
        state = await state_of(session, row, seen.latest_stripe_invoice_id)
    unpaid = [known.stripe_invoice_id for known in reversed(seen.invoices) if _is_unpaid(known)]
    return Refreshed(
        state=state,
        effects=decision.effects,
        unpaid_stripe_invoice_ids=tuple(unpaid),
        policy=policy,
    )


async def state_of(
    session: AsyncSession,
    row: Subscription,
    latest_stripe_invoice_id: str | None,
) -> SubscriptionState:
    """Return what a mailbox needs to know of its row."""
    recoveries = await PaymentRetryRepository(session).list_open(
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
        parked_reason=row.parked_reason,
        recoveries={
            retry.stripe_invoice_id: RetryStatus(retry.retry_status) for retry in recoveries
        },
    )


async def policy_of(session: AsyncSession, row: Subscription) -> VersionedPolicy:
    """Return the newest version of the plan's retry policy, or the default's."""
    policies = RetryPolicyRepository(session)
    name = await SubscriptionRepository(session).retry_policy_name(row.subscription_id)
    found = await policies.latest(name or DEFAULT_POLICY_NAME)
    return found or await policies.latest(DEFAULT_POLICY_NAME) or VersionedPolicy()


def _update(row: Subscription, seen: SubscriptionSeen, status: SubscriptionStatus) -> None:
    row.subscription_status = status
    row.stripe_subscription_id = seen.stripe_subscription_id
    row.stripe_customer_id = seen.stripe_customer_id
    row.quantity = seen.quantity
    row.current_period_start = seen.current_period_start
    row.current_period_end = seen.current_period_end
    row.trial_end = seen.trial_end
    row.cancel_at = seen.cancel_at
    row.canceled_at = seen.canceled_at
    row.parked_reason = None
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


async def _put_invoices(
    session: AsyncSession,
    row: Subscription,
    invoices: tuple[InvoiceSeen, ...],
) -> None:
    for seen in invoices:
        stored_id = await InvoiceRepository(session).put(row.subscription_id, row.user_id, seen)
        for payment in seen.payments:
            if payment.is_succeeded:
                await PaymentRepository(session).put_succeeded(
                    row.user_id,
                    stored_id,
                    seen.currency_code,
                    payment,
                )


async def _hints(session: AsyncSession, order: SubscriptionOrder) -> list[EventNote]:
    types = await WebhookEventRepository(session).types_of(order.hint_ids)
    return [note_of_hint(hint_id, types.get(hint_id, "event")) for hint_id in order.hint_ids]


def _is_unpaid(seen: InvoiceSeen) -> bool:
    return (
        seen.invoice_status == "open"
        and seen.is_attempted
        and seen.billing_reason != UNRECOVERABLE_REASON
    )
