"""Gathers the facts of a subscription, and explains it to its customer or to an administrator."""

from collections.abc import Iterator, Sequence
from uuid import UUID

from api.lookup import now
from api.openapi.commands import COMMAND_ROUTES
from api.schemas.subscriptions import ExplanationOut
from database.payment_retries.models import PaymentRetry
from database.payment_retries.payment_retries import PaymentRetryRepository
from database.payments.models import Payment, Refund
from database.plans.plans import PlanRepository
from database.session import Sessions
from database.subscriptions.invoices import InvoiceRepository
from database.subscriptions.models import Subscription, SubscriptionEvent
from database.subscriptions.subscription_events import SubscriptionEventRepository
from domain.parked_steps import ParkedStep
from domain.payment_retries.lifecycle import PausedReason, RetryStatus
from domain.payments.rules import PaymentStatus
from domain.subscriptions.explanations.explain import explain
from domain.subscriptions.explanations.facts import (
    OpenInvoice,
    OpenRetry,
    PastEvent,
    PaymentIssue,
    SubscriptionFacts,
    WaitingChange,
)
from domain.subscriptions.lifecycle import CommandKind, SubscriptionStatus, decide
from domain.subscriptions.planned import is_pointless, refusal_by_end
from domain.subscriptions.steps import OwedStep
from services.subscriptions.entitlements import access_of

# Fields of `SubscriptionFacts` that are not columns: they are computed, or read from other tables.
_GATHERED = {
    "access",
    "parked",
    "scheduled_change",
    "newest_invoice_status",
    "open_invoices",
    "payment_retries",
    "disputed_payments",
    "failed_refunds",
    "events",
}
FACT_COLUMNS = SubscriptionFacts.model_fields.keys() - _GATHERED
_MOST_EVENTS = 20
_FOR_ADMINS = frozenset({CommandKind.EXTEND_TRIAL, CommandKind.RETRY_PARKED})


async def explain_row(
    sessions: Sessions, row: Subscription, *, is_for_admin: bool
) -> ExplanationOut:
    """Explain a subscription.

    Args:
        sessions: Opens database sessions.
        row: The subscription.
        is_for_admin: Whether ids are shown.
    """
    async with sessions() as session:
        invoices = InvoiceRepository(session)
        newest_invoice_status = await invoices.newest_status(row.subscription_id)
        unpaid = await invoices.list_open(row.subscription_id)
        payment_retries = PaymentRetryRepository(session)
        retries = await payment_retries.list_open(subscription_id=row.subscription_id)
        events = SubscriptionEventRepository(session)
        past = await events.list_since_status(row.subscription_id, _MOST_EVENTS)
        scheduled_change = await _waiting_change(PlanRepository(session), row)
        payments = await invoices.payments(row.subscription_id)
        failed_refunds = await invoices.failed_refunds(row.subscription_id)
    facts = SubscriptionFacts(
        **{name: getattr(row, name) for name in FACT_COLUMNS},
        access=access_of(row, now()),
        parked=tuple(OwedStep.model_validate(step).parked for step in row.parked_data),
        scheduled_change=scheduled_change,
        newest_invoice_status=newest_invoice_status,
        open_invoices=tuple(
            OpenInvoice(
                stripe_invoice_id=invoice.stripe_invoice_id,
                hosted_invoice_url=invoice.hosted_invoice_url,
            )
            for invoice in unpaid
        ),
        payment_retries=tuple(_open_retry(retry) for retry in retries),
        disputed_payments=tuple(
            _payment_issue(each)
            for each in payments
            if each.payment_status == PaymentStatus.DISPUTED
        ),
        failed_refunds=tuple(_payment_issue(each, each.failure_code) for each in failed_refunds),
        events=tuple(_past_event(event) for event in past),
    )
    return ExplanationOut.model_validate(
        {
            **explain(facts).model_dump(),
            "can_do": list(_commands(row, is_for_admin)),
            "ids": dict(_ids(facts, row, retries)) if is_for_admin else None,
        }
    )


def _commands(row: Subscription, is_for_admin: bool) -> Iterator[str]:
    """Yield the commands that are allowed now, as the docs name them."""
    status = SubscriptionStatus(row.subscription_status)
    for kind, route in COMMAND_ROUTES.items():
        decision = decide(status, kind, is_managed_at_stripe=row.is_managed_at_stripe)
        is_refused = decision.refusal or refusal_by_end(kind, row.cancel_at, row.current_period_end)
        is_nothing = is_pointless(
            kind,
            is_end_planned=row.cancel_at is not None,
            is_change_waiting=row.scheduled_change_data is not None,
        )
        is_known = is_for_admin or kind not in _FOR_ADMINS
        if is_known and not is_refused and not is_nothing:
            yield route.label


async def _waiting_change(plans: PlanRepository, row: Subscription) -> WaitingChange | None:
    """Return the change that waits for the end of the period, with the name of its plan."""
    if row.scheduled_change_data is None:
        return None
    change = WaitingChange.model_validate(row.scheduled_change_data)
    plan = change.plan_id and await plans.get(change.plan_id)
    return change.model_copy(update={"plan_name": plan.name}) if plan else change


def _ids(
    facts: SubscriptionFacts, row: Subscription, retries: Sequence[PaymentRetry]
) -> Iterator[tuple[str, list[str]]]:
    """Yield the ids that belong to a subscription, by what they are of."""
    named: dict[str, Sequence[UUID | str | None]] = {
        "subscription": [row.subscription_id],
        "user": [row.user_id],
        "workflow": [row.workflow_id, *(retry.workflow_id for retry in retries)],
        "payment_retry": [retry.payment_retry_id for retry in retries],
        "stripe_subscription": [row.stripe_subscription_id],
        "stripe_customer": [row.stripe_customer_id],
        "stripe_invoice": [invoice.stripe_invoice_id for invoice in facts.open_invoices],
    }
    for name, ids in named.items():
        if known := [str(each) for each in ids if each is not None]:
            yield name, known


def _open_retry(row: PaymentRetry) -> OpenRetry:
    return OpenRetry(
        stripe_invoice_id=row.stripe_invoice_id,
        retry_status=RetryStatus(row.retry_status),
        attempt_count=row.attempt_count,
        next_attempt_at=row.next_attempt_at,
        decline_code=row.decline_code,
        paused_reason=PausedReason(row.paused_reason) if row.paused_reason else None,
        parked=tuple(ParkedStep.model_validate(step) for step in row.parked_data),
    )


def _payment_issue(row: Payment | Refund, why: str | None = None) -> PaymentIssue:
    return PaymentIssue(amount_cents=row.amount_cents, currency_code=row.currency_code, why=why)


def _past_event(row: SubscriptionEvent) -> PastEvent:
    return PastEvent(seq=row.seq, kind=row.kind, at=row.occurred_at, what=row.summary)
