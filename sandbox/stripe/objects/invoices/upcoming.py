"""The invoice that the end of a period will bring: shown in previews, announced a week ahead."""

from sandbox.stripe.objects.invoices import invoice_shape
from sandbox.stripe.objects.schedules import schedule_progress
from sandbox.stripe.objects.subscriptions import subscription_cycle
from sandbox.stripe.objects.subscriptions import subscription_periods as periods
from sandbox.stripe.session import Object, Session


def run_upcoming(session: Session, subscription_id: str) -> None:
    """Job: a renewal is a week away."""
    subscription = session.store.get(subscription_id)
    if subscription is None or subscription["status"] not in {"active", "past_due", "trialing"}:
        return
    left = periods.period_of(subscription)[1] - session.now
    if 0 < left <= periods.UPCOMING_NOTICE:
        upcoming = preview_next(session, subscription)
        if upcoming is not None:
            session.emit("invoice.upcoming", invoice_shape.as_upcoming(upcoming))


def preview_next(session: Session, subscription: Object) -> Object | None:
    """Return the invoice that the end of the period will bring, leaving no trace; None for none."""
    later = session.at(periods.period_of(subscription)[1])
    with session.store.db.rehearsal():
        ends = subscription["cancel_at"] is not None and subscription["cancel_at"] <= later.now
        if ends:
            return subscription_cycle.bill_rest(later, subscription)
        if subscription["schedule"] is None:
            return subscription_cycle.renew(later, dict(subscription))
        schedule_progress.run_enter_phase(later, subscription["schedule"])
        entered = later.get("subscription", subscription["id"])
        if periods.period_of(entered)[1] > later.now:
            # Reason: a phase of another interval begins, and bills, a period of its own.
            return later.get("invoice", entered["latest_invoice"])
        return subscription_cycle.renew(later, entered)
