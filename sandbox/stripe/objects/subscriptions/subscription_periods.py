"""The period that a subscription is in, which is the same for all its items."""

from sandbox.stripe.calendars import period_around
from sandbox.stripe.session import Object, Session

DAY = 86_400
TRIAL_NOTICE = 3 * DAY
UPCOMING_NOTICE = 7 * DAY


def period_of(subscription: Object) -> tuple[int, int]:
    """Return the start and end of the current period."""
    item = subscription["items"]["data"][0]
    return item["current_period_start"], item["current_period_end"]


def recurring_of(subscription: Object) -> tuple[str, int]:
    """Return the interval and how many of them make a period."""
    recurring = subscription["items"]["data"][0]["price"]["recurring"]
    return recurring["interval"], recurring["interval_count"]


def natural_period(subscription: Object, moment: int) -> tuple[int, int]:
    """Return the whole period by the anchor around a moment, whatever cuts it short."""
    interval, count = recurring_of(subscription)
    config = subscription["billing_cycle_anchor_config"]
    day = config and config["day_of_month"]
    return period_around(subscription["billing_cycle_anchor"], interval, count, moment, day)


def bounded(subscription: Object, start: int, end: int) -> int:
    """Return where a period ends that a planned cancellation may cut short."""
    cancel_at = subscription["cancel_at"]
    return cancel_at if cancel_at is not None and start < cancel_at < end else end


def enter_period(subscription: Object, start: int, end: int) -> Object:
    """Return the items moved to another period."""
    listed = subscription["items"]
    span = {"current_period_start": start, "current_period_end": end}
    return {**listed, "data": [{**item, **span} for item in listed["data"]]}


def full_end(subscription: Object) -> int:
    """Return where the current period ends if no cancellation cuts it short."""
    if subscription["status"] == "trialing":
        trial_end: int = subscription["trial_end"]
        return trial_end
    return natural_period(subscription, period_of(subscription)[0])[1]


def set_timers(session: Session, subscription: Object) -> None:
    """Have the end of the period, and the notices before it, happen at their time."""
    end = period_of(subscription)[1]
    is_trialing = subscription["status"] == "trialing"
    session.schedule("cycle", subscription["id"], end)
    _notice(session, subscription, "invoice_upcoming", end - UPCOMING_NOTICE)
    notice_at = subscription["trial_end"] - TRIAL_NOTICE if is_trialing else session.now
    _notice(session, subscription, "trial_will_end", notice_at)


def _notice(session: Session, subscription: Object, kind: str, due_at: int) -> None:
    if due_at > session.now:
        session.schedule(kind, subscription["id"], due_at)
    else:
        session.unschedule(kind, subscription["id"])


def tell_of_trial(session: Session, subscription: Object) -> None:
    """Announce the end of a trial that is too short to be announced three days ahead."""
    is_trialing = subscription["status"] == "trialing"
    if is_trialing and subscription["trial_end"] - TRIAL_NOTICE <= session.now:
        session.emit("customer.subscription.trial_will_end", subscription)
