"""Stores the mails about a subscription, in the transaction that writes its view."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncSession

from database.notifications.due_mails import add_due_mail
from database.payment_retries.payment_retries import PaymentRetryRepository
from database.payments.payment_methods import PaymentMethodRepository
from database.plans.plans import PlanRepository
from database.subscriptions.models import Subscription
from domain.notifications import MailKind, NewMail
from domain.subscriptions.lifecycle import SubscriptionStatus
from domain.subscriptions.messages import NewSubscriptionEvent
from domain.subscriptions.snapshots import RENEWAL, InvoiceSnapshot, SubscriptionSnapshot

# Kinds of the events that announce the end of a trial: Stripe's, and our own.
TRIAL_ANNOUNCED = frozenset({"customer.subscription.trial_will_end", "trial_will_end"})
_ENDED_OR_UNSTARTED = frozenset(
    {
        SubscriptionStatus.CANCELED,
        SubscriptionStatus.INCOMPLETE,
        SubscriptionStatus.INCOMPLETE_EXPIRED,
    }
)


class ViewBefore(NamedTuple):
    """What the view showed before it was synced.

    Args:
        subscription_status: The status.
        cancel_at: When the subscription was to end.
        is_first: Whether nothing had been read at Stripe yet; then no old invoice is news.
        settled_invoice_ids: Invoices at Stripe that were paid or void.
    """

    subscription_status: SubscriptionStatus
    cancel_at: datetime | None
    is_first: bool
    settled_invoice_ids: Collection[str]


async def add_mails(
    session: AsyncSession,
    row: Subscription,
    before: ViewBefore,
    snapshot: SubscriptionSnapshot,
    events: Sequence[NewSubscriptionEvent],
) -> None:
    """Store the mails about what is new in the view of a subscription.

    Args:
        session: Session in whose transaction the view is written.
        row: The view, as it is now.
        before: What it showed before.
        snapshot: The subscription as read from Stripe.
        events: Events that are stored in the same transaction.
    """
    if before.is_first:
        return
    mails = [
        *await _of_trial(session, row, events),
        *await _of_renewals(session, row, before, snapshot),
        *_of_end(row, before, snapshot),
    ]
    await _add(session, row, mails)


async def add_end_mail(
    session: AsyncSession, row: Subscription, before: SubscriptionStatus
) -> None:
    """Store the mail about an end that is written without a read from Stripe.

    Args:
        session: Session in whose transaction the end is written.
        row: The view, as it is now.
        before: Status before the end.
    """
    if before not in _ENDED_OR_UNSTARTED:
        await _add(session, row, [_end_mail(row, None)])


async def _add(session: AsyncSession, row: Subscription, mails: Sequence[NewMail]) -> None:
    if not mails or row.plan_id is None:
        return
    plan = await PlanRepository(session).get(row.plan_id)
    if plan is None:
        return
    for mail in mails:
        variables = {"plan_name": plan.name, **mail.variables}
        await add_due_mail(session, mail.model_copy(update={"variables": variables}))


async def _of_trial(
    session: AsyncSession, row: Subscription, events: Sequence[NewSubscriptionEvent]
) -> list[NewMail]:
    is_announced = any(event.kind in TRIAL_ANNOUNCED for event in events)
    is_trialing = row.subscription_status == SubscriptionStatus.TRIALING
    if not is_announced or not is_trialing or row.trial_end is None:
        return []
    trial_end = row.trial_end.isoformat()
    card = await PaymentMethodRepository(session).default_of(row.user_id)
    return [
        NewMail(
            message_key=f"trial-ending-{row.subscription_id}-{trial_end}",
            user_id=row.user_id,
            mail_kind=MailKind.TRIAL_ENDING,
            resource_id=row.subscription_id,
            variables={"trial_end": trial_end, "has_card": card is not None},
        )
    ]


async def _of_renewals(
    session: AsyncSession,
    row: Subscription,
    before: ViewBefore,
    snapshot: SubscriptionSnapshot,
) -> list[NewMail]:
    paid = [
        invoice
        for invoice in snapshot.invoices
        if _is_paid_renewal(invoice) and invoice.stripe_invoice_id not in before.settled_invoice_ids
    ]
    retried = await PaymentRetryRepository(session).retried(
        [invoice.stripe_invoice_id for invoice in paid]
    )
    # Reason: the payment retry of an invoice tells that the payment arrived after all.
    return [
        NewMail(
            message_key=f"renewed-{invoice.stripe_invoice_id}",
            user_id=row.user_id,
            mail_kind=MailKind.RENEWED,
            variables={
                "amount_cents": invoice.amount_paid_cents,
                "currency_code": invoice.currency_code,
                "period_start": invoice.period_start.isoformat(),
                "period_end": invoice.period_end.isoformat(),
                "link": invoice.hosted_invoice_url,
            },
        )
        for invoice in paid
        if invoice.stripe_invoice_id not in retried
    ]


def _is_paid_renewal(invoice: InvoiceSnapshot) -> bool:
    is_charged = any(payment.is_succeeded for payment in invoice.payments)
    return invoice.billing_reason == RENEWAL and invoice.invoice_status == "paid" and is_charged


def _of_end(row: Subscription, before: ViewBefore, snapshot: SubscriptionSnapshot) -> list[NewMail]:
    """Return the mail about a cancel: when it is planned, else when it takes place."""
    is_ended = row.subscription_status == SubscriptionStatus.CANCELED
    if is_ended:
        is_news = before.subscription_status not in _ENDED_OR_UNSTARTED
        is_news = is_news and not _ends_as_announced(before, snapshot)
    else:
        is_news = row.cancel_at not in {None, before.cancel_at}
    return [_end_mail(row, None if is_ended else row.cancel_at)] if is_news else []


def _end_mail(row: Subscription, ends_at: datetime | None) -> NewMail:
    return NewMail(
        # Reason: after an uncancel the same end can be planned again.
        message_key=f"canceled-{row.subscription_id}-{row.last_event_seq}",
        user_id=row.user_id,
        mail_kind=MailKind.CANCELED,
        resource_id=row.subscription_id,
        variables={"ends_at": ends_at.isoformat() if ends_at else None},
    )


def _ends_as_announced(before: ViewBefore, snapshot: SubscriptionSnapshot) -> bool:
    planned, ended = before.cancel_at, snapshot.ended_at
    return planned is not None and ended is not None and ended >= planned
