"""How schedules end, by themselves or with their subscription."""

from typing import Any

from sandbox.stripe.session import Object, Session

KIND = "subscription_schedule"
RUNNING = ("not_started", "active")


def follow(session: Session, subscription: Object) -> None:
    """End the schedule of a subscription that has just ended."""
    schedule = session.store.get(subscription["schedule"]) if subscription["schedule"] else None
    if schedule is None or schedule["status"] not in RUNNING:
        return
    if schedule["phases"][-1]["end_date"] <= session.now:
        finish(session, schedule, "completed")
        return
    is_delinquent = subscription["cancellation_details"]["reason"] == "payment_failed"
    finish(session, schedule, "canceled", event="aborted" if is_delinquent else "canceled")


def finish(
    session: Session, schedule: Object, status: str, *, event: str | None = None, **fields: Any
) -> None:
    """End a schedule for good.

    Args:
        session: The unit of work.
        schedule: Changed in place.
        status: `canceled`, `completed` or `released`.
        event: What is announced, if not the status.
        fields: What else changes.
    """
    for job in ("enter_phase", "schedule_expiring"):
        session.unschedule(job, schedule["id"])
    ended = {"status": status, f"{status}_at": session.now, "current_phase": None}
    session.change(schedule, {**ended, **fields})
    session.emit(f"{KIND}.{event or status}", schedule)


def detach(session: Session, schedule: Object, status: str) -> Object:
    """End a schedule and leave its subscription to itself."""
    subscription: Object = session.get("subscription", schedule["subscription"])
    session.change(subscription, {"schedule": None})
    kept = {"released_subscription": subscription["id"], "subscription": None}
    finish(session, schedule, status, **kept)
    return subscription
