"""Writes the view of a subscription from a snapshot of Stripe, in one transaction."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from database.payment_retries.payment_retries import PaymentRetryRepository
from database.payment_retries.retry_policies import RetryPolicyRepository
from database.payments.payments import PaymentRepository
from database.session import Sessions
from database.subscriptions.invoices import InvoiceRepository
from database.subscriptions.models import Subscription
from database.subscriptions.subscription_events import SubscriptionEventRepository
from database.subscriptions.subscriptions import SubscriptionRepository
from database.webhooks.inbox import deliver_awaiting
from domain.errors import NotFoundError
from domain.ids import invoice_id
from domain.payment_retries.lifecycle import PausedReason, RetryStatus
from domain.payment_retries.policy import DEFAULT_POLICY_NAME, VersionedPolicy
from domain.subscriptions.events import status_event
from domain.subscriptions.lifecycle import FINAL, Effect, SubscriptionStatus, follow
from domain.subscriptions.snapshots import COUNTING, RENEWAL, InvoiceSnapshot, SubscriptionSnapshot
from domain.subscriptions.state import SubscriptionState, SyncResult
from domain.subscriptions.steps import OwedStep, SubscriptionInput
from services.subscriptions.mails import ViewBefore, add_mails
from services.subscriptions.sync_events import events_of
from services.subscriptions.terms import follow_terms


async def write_view(
    sessions: Sessions,
    step_input: SubscriptionInput,
    snapshot: SubscriptionSnapshot,
    *,
    written_off_invoice_id: str | None = None,
    columns: Mapping[str, object] | None = None,
) -> SyncResult:
    """Sync the view of a subscription with a snapshot of Stripe.

    Args:
        sessions: Database sessions.
        step_input: The subscription, the reasons for the sync, and Temporal's time.
        snapshot: The subscription as read from Stripe.
        written_off_invoice_id: Invoice that our last resort marked uncollectible.
        columns: Values that Stripe does not know; None leaves those of the row.

    Returns:
        The new state and its effects; a repeated call returns the same.

    Raises:
        NotFoundError: There is no such subscription.
    """
    async with sessions.begin() as session:
        row = await _locked(session, step_input.subscription_id)
        seen, policy = await _seen_before(session, row), await policy_of(session, row)
        before = seen.subscription_status
        decision = follow(before, snapshot.subscription_status, row.is_ended_by_us)
        # Reason: each statement on the row is told to the team's app, so there must be one of them.
        with session.no_autoflush:
            _update(row, snapshot, decision.next_status, columns or {})
            changed = await follow_terms(session, row, snapshot)
            _set_grace(row, decision.effects, step_input.at + policy.policy.grace)
            row.is_written_off = _is_written_off(row, snapshot, written_off_invoice_id)
            row.parked_data = dump_parked(step_input.parked)
        refund_ids = await _put_invoices(session, row, snapshot, step_input)
        events = [*await events_of(session, step_input, snapshot), *changed]
        if before is not (after := decision.next_status):
            events.append(status_event(before, after, row.last_event_seq, step_input.summary))
        await SubscriptionEventRepository(session).append(step_input.subscription_id, events)
        await add_mails(session, row, seen, snapshot, events)
        state = await state_of(session, row, snapshot.latest_stripe_invoice_id)
    return SyncResult(
        state=state,
        effects=decision.effects,
        owed_stripe_invoice_ids=_owed(snapshot),
        has_newer_settled=_has_newer_settled(snapshot),
        refund_payment_ids=tuple(refund_ids),
        policy=policy,
    )


async def unchanged(sessions: Sessions, step_input: SubscriptionInput) -> SyncResult:
    """Record events of a subscription that does not exist at Stripe yet.

    Raises:
        NotFoundError: There is no such subscription.
    """
    async with sessions.begin() as session:
        row = await _locked(session, step_input.subscription_id)
        row.parked_data = dump_parked(step_input.parked)
        events = await events_of(session, step_input)
        await SubscriptionEventRepository(session).append(step_input.subscription_id, events)
        return SyncResult(state=await state_of(session, row, None))


async def state_of(
    session: AsyncSession,
    row: Subscription,
    latest_stripe_invoice_id: str | None,
) -> SubscriptionState:
    """Return the subscription's state for its workflow."""
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
        is_managed_at_stripe=row.is_managed_at_stripe,
        trial_end=row.trial_end,
        resume_at=row.resume_at,
        payment_retries={
            retry.stripe_invoice_id: RetryStatus(retry.retry_status) for retry in payment_retries
        },
        imported_stripe_invoice_ids=tuple(
            retry.stripe_invoice_id
            for retry in payment_retries
            if retry.paused_reason == PausedReason.IMPORTED
        ),
        owed=tuple(OwedStep.model_validate(step) for step in row.parked_data),
    )


async def policy_of(session: AsyncSession, row: Subscription) -> VersionedPolicy:
    """Return the newest version of the plan's retry policy, or of the default policy."""
    policies = RetryPolicyRepository(session)
    name = await SubscriptionRepository(session).retry_policy_name(row.subscription_id)
    policy = await policies.latest(name or DEFAULT_POLICY_NAME)
    return policy or await policies.latest(DEFAULT_POLICY_NAME) or VersionedPolicy()


def dump_parked(parked: Sequence[OwedStep]) -> list[dict[str, object]]:
    """Serialize parked steps completely, so that a new workflow can take them over."""
    return [step.model_dump(mode="json") for step in parked]


async def _locked(session: AsyncSession, subscription_id: UUID) -> Subscription:
    """Return a subscription's row, locked; raise `NotFoundError` if there is none."""
    row = await SubscriptionRepository(session).lock(subscription_id)
    if row is None:
        raise NotFoundError("there is no such subscription")
    return row


async def _seen_before(session: AsyncSession, row: Subscription) -> ViewBefore:
    """Return what the view shows now, for comparison once it is synced."""
    invoices = await InvoiceRepository(session).known(row.subscription_id)
    return ViewBefore(
        subscription_status=SubscriptionStatus(row.subscription_status),
        cancel_at=row.cancel_at,
        is_first=row.current_period_start is None,
        settled_invoice_ids=invoices.settled,
    )


def _update(
    row: Subscription,
    snapshot: SubscriptionSnapshot,
    status: SubscriptionStatus,
    columns: Mapping[str, object],
) -> None:
    row.subscription_status = status
    if status not in FINAL:
        row.is_ended_by_us = False  # the end that we asked for did not take place
        row.canceled_at = None
    for name, value in columns.items():
        setattr(row, name, value)
    if status is not SubscriptionStatus.PAUSED:
        row.resume_at = None
    row.stripe_subscription_id = snapshot.stripe_subscription_id
    row.stripe_customer_id = snapshot.stripe_customer_id
    is_ours = snapshot.schedule_owner_id == row.subscription_id
    row.is_managed_at_stripe = snapshot.stripe_schedule_id is not None and not is_ours
    row.stripe_meter_ids = list(snapshot.stripe_meter_ids)
    row.current_period_start = snapshot.current_period_start
    row.current_period_end = snapshot.current_period_end
    row.trial_end = snapshot.trial_end
    row.cancel_at = snapshot.cancel_at
    row.canceled_at = snapshot.canceled_at or row.canceled_at
    row.is_owing = any(
        invoice.invoice_status == "open"
        # Reason: the invoice of a pending change is not owed; unpaid, nothing changes.
        and invoice.stripe_invoice_id != snapshot.pending_invoice_id
        for invoice in snapshot.invoices
    )
    latest = snapshot.latest_stripe_invoice_id
    row.latest_invoice_id = invoice_id(latest) if latest else None
    row.next_action_url = next(
        (
            invoice.hosted_invoice_url
            for invoice in snapshot.invoices
            if invoice.stripe_invoice_id == latest and invoice.invoice_status == "open"
        ),
        None,
    )


def _set_grace(row: Subscription, effects: Collection[Effect], ends_at: datetime) -> None:
    if Effect.START_GRACE in effects and row.grace_ends_at is None:
        row.grace_ends_at = ends_at
    if Effect.CLEAR_GRACE in effects:
        row.grace_ends_at = None


def _is_written_off(
    row: Subscription,
    snapshot: SubscriptionSnapshot,
    written_off_invoice_id: str | None,
) -> bool:
    """Return whether the debt is given up: as at Stripe, the newest invoice decides."""
    newest = _newest_counting(snapshot)
    is_ours = row.is_written_off or written_off_invoice_id is not None
    return is_ours and newest is not None and newest.invoice_status == "uncollectible"


def _newest_counting(snapshot: SubscriptionSnapshot) -> InvoiceSnapshot | None:
    return next(
        (invoice for invoice in snapshot.invoices if invoice.invoice_status in COUNTING), None
    )


def _owed(snapshot: SubscriptionSnapshot) -> tuple[str, ...]:
    # Reason: a resumption that is not paid leaves the subscription paused, and is never retried.
    return tuple(
        invoice.stripe_invoice_id
        for invoice in reversed(snapshot.invoices)
        if invoice.is_owed
        and invoice is not snapshot.resumption
        and invoice.stripe_invoice_id != snapshot.pending_invoice_id
    )


def _has_newer_settled(snapshot: SubscriptionSnapshot) -> bool:
    """Return whether a renewal that is newer than all owed invoices is settled."""
    for invoice in snapshot.invoices:
        if invoice.is_owed:
            return False
        if invoice.invoice_status != "draft" and invoice.billing_reason == RENEWAL:
            return True
    return False


async def _put_invoices(
    session: AsyncSession,
    row: Subscription,
    snapshot: SubscriptionSnapshot,
    step_input: SubscriptionInput,
) -> list[UUID]:
    """Store the invoices and their payments; return the ids of payments to refund."""
    invoices, payments = InvoiceRepository(session), PaymentRepository(session)
    known_invoices = await invoices.known(row.subscription_id)
    await invoices.mark_deleted(snapshot.deleted_invoice_ids)
    payment_ids_to_refund: list[UUID] = []
    for invoice in snapshot.invoices:
        row_id = await invoices.put(row.subscription_id, row.user_id, invoice)
        was_given_up = invoice.stripe_invoice_id in known_invoices.given_up
        was_open = invoice.stripe_invoice_id in step_input.late_stripe_invoice_ids
        is_to_be_refunded = (
            step_input.refunds_all
            or invoice.stripe_invoice_id in step_input.refund_stripe_invoice_ids
            or _is_paid_too_late(row, snapshot, invoice, was_given_up, was_open)
        )
        for payment in invoice.payments:
            if payment.is_succeeded:
                stored = await payments.put_succeeded(
                    row.user_id,
                    row_id,
                    invoice.currency_code,
                    payment,
                )
                if stored.is_new:
                    await deliver_awaiting(session, payment.stripe_payment_intent_id)
                if is_to_be_refunded and await payments.is_refundable(stored.payment_id):
                    payment_ids_to_refund.append(stored.payment_id)
    return payment_ids_to_refund


def _is_paid_too_late(
    row: Subscription,
    snapshot: SubscriptionSnapshot,
    invoice: InvoiceSnapshot,
    was_given_up: bool,
    was_open: bool,
) -> bool:
    """Return whether an invoice was paid after we ended the access that it pays for."""
    if invoice.paid_at is None:
        return False
    if was_given_up and snapshot.subscription_status is SubscriptionStatus.PAUSED:
        return True
    if not row.is_ended_by_us or snapshot.ended_at is None:
        return False
    # Reason: Stripe's times are whole seconds; what was open at the end was paid after it.
    ended_at = snapshot.ended_at
    return invoice.paid_at > ended_at or (was_open and invoice.paid_at == ended_at)
