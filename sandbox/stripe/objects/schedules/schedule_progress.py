"""How schedules go on: each phase is an update of the subscription, made when it begins."""

from typing import Any

from sandbox.stripe.objects.schedules import schedule_ends, schedule_shape
from sandbox.stripe.objects.subscriptions import (
    subscription_cycle,
    subscription_start,
    subscription_updates,
)
from sandbox.stripe.objects.subscriptions import subscription_periods as periods
from sandbox.stripe.session import Object, Session

_NOTICE = 7 * periods.DAY


def run_enter_phase(session: Session, schedule_id: str) -> None:
    """Job: a phase begins, or the last one is over."""
    schedule = session.store.get(schedule_id)
    if schedule is not None and schedule["status"] in schedule_ends.RUNNING:
        proceed(session, schedule)


def run_expiring(session: Session, schedule_id: str) -> None:
    """Job: a week is left of the last phase."""
    schedule = session.store.get(schedule_id)
    if schedule is not None and schedule["status"] == "active":
        session.emit(f"{schedule_ends.KIND}.expiring", schedule)


def proceed(session: Session, schedule: Object) -> None:
    """Enter the phase that is due now, or wait for the first one, or end after the last."""
    phases = schedule["phases"]
    if phases[0]["start_date"] > session.now:
        session.schedule("enter_phase", schedule["id"], phases[0]["start_date"])
        return
    phase = next((each for each in phases if each["end_date"] > session.now), None)
    if phase is None:
        _end(session, schedule)
    elif schedule["status"] == "not_started":
        _begin(session, schedule, phase)
    elif phase["start_date"] != schedule["current_phase"]["start_date"]:
        _enter(session, schedule, phase)


def adjust(session: Session, schedule: Object, before: Object, behavior: str) -> None:
    """Carry an update of a schedule out: its current phase may have changed, or be over.

    Args:
        session: The unit of work.
        schedule: As it is now.
        before: As it was.
        behavior: How changes of the current phase are prorated.
    """
    if schedule["status"] == "not_started":
        proceed(session, schedule)
        return
    start = schedule["current_phase"]["start_date"]
    phase = _at(schedule, start)
    if phase["end_date"] <= session.now:
        proceed(session, schedule)
        return
    changes = _terms(session, schedule, phase) | {"proration_behavior": behavior}
    if phase["discounts"] == _at(before, start)["discounts"]:
        del changes["discounts"]
    _change(session, schedule, phase, changes)


def _at(schedule: Object, start: int) -> Object:
    found: Object = next(each for each in schedule["phases"] if each["start_date"] == start)
    return found


def _begin(session: Session, schedule: Object, phase: Object) -> None:
    terms = _settings(schedule, phase) | _trial(session, phase, None)
    items = [
        {**_wanted(item), "price": item["price"], "discounts": _named(item["discounts"])}
        for item in phase["items"]
    ]
    subscription = subscription_start.begin_scheduled(
        session,
        {
            **terms,
            "add_invoice_items": phase["add_invoice_items"],
            "cancel_at": _cancel_at(schedule),
            "customer": schedule["customer"],
            "discounts": _named(phase["discounts"]),
            "items": items,
            "schedule": schedule["id"],
        },
    )
    session.change(
        schedule,
        {
            "current_phase": schedule_shape.span(phase),
            "status": "active",
            "subscription": subscription["id"],
        },
        is_announced=bool(schedule["_is_announced"]),
    )
    set_timers(session, schedule)


def _enter(session: Session, schedule: Object, phase: Object) -> None:
    changes = _terms(session, schedule, phase)
    changes["add_invoice_items"] = phase["add_invoice_items"]
    anchor = phase["billing_cycle_anchor"] or schedule["default_settings"]["billing_cycle_anchor"]
    if anchor == "phase_start" and "trial_end" not in changes:
        changes["billing_cycle_anchor"] = {"type": "now"}
    _change(session, schedule, phase, changes)


def _change(session: Session, schedule: Object, phase: Object, changes: dict[str, Any]) -> None:
    subscription = session.get("subscription", schedule["subscription"])
    subscription_updates.change(session, subscription, changes)
    session.change(schedule, {"current_phase": schedule_shape.span(phase)})
    set_timers(session, schedule)


def _end(session: Session, schedule: Object) -> None:
    if schedule["end_behavior"] == "cancel":
        subscription = session.get("subscription", schedule["subscription"])
        subscription_cycle.end_as_planned(session, subscription)
    else:
        schedule_ends.detach(session, schedule, "completed")


def set_timers(session: Session, schedule: Object) -> None:
    """Have the end of the current phase, and the notice of the last one's, happen at their time."""
    schedule_id = schedule["id"]
    session.schedule("enter_phase", schedule_id, schedule["current_phase"]["end_date"])
    notice_at = schedule["phases"][-1]["end_date"] - _NOTICE
    if notice_at > session.now:
        session.schedule("schedule_expiring", schedule_id, notice_at)
    else:
        session.unschedule("schedule_expiring", schedule_id)
    # Reason: of what is due at one moment the older comes first, and a phase that ends with a
    # period must be left before the renewal bills it; a renewal's own timer is always newer.
    periods.set_timers(session, session.get("subscription", schedule["subscription"]))


def _settings(schedule: Object, phase: Object) -> dict[str, Any]:
    """Return what a phase says, or else the schedule's default settings, of the subscription."""
    defaults = schedule["default_settings"]
    names = ("collection_method", "default_payment_method", "description")
    found = {name: defaults[name] if phase[name] is None else phase[name] for name in names}
    invoices = phase["invoice_settings"] or defaults["invoice_settings"]
    is_sent = found["collection_method"] == "send_invoice"
    return {
        **found,
        "days_until_due": invoices["days_until_due"] if is_sent else None,
        "metadata": phase["metadata"],
        "proration_behavior": phase["proration_behavior"],
    }


def _terms(session: Session, schedule: Object, phase: Object) -> dict[str, Any]:
    """Return the update that makes a running subscription what a phase wants it to be."""
    subscription = session.get("subscription", schedule["subscription"])
    changes = _settings(schedule, phase) | _trial(session, phase, subscription["trial_end"])
    changes["discounts"] = _kept(session, phase["discounts"], subscription["discounts"])
    changes["items"] = _items(session, subscription, phase)
    if subscription["cancel_at"] != _cancel_at(schedule):
        changes["cancel_at"] = _cancel_at(schedule)
    return changes


def _cancel_at(schedule: Object) -> int | None:
    is_canceled = schedule["end_behavior"] == "cancel"
    return schedule["phases"][-1]["end_date"] if is_canceled else None


def _trial(session: Session, phase: Object, present: int | None) -> dict[str, Any]:
    end = phase["trial_end"]
    return {"trial_end": end} if end and end > session.now and end != present else {}


def _items(session: Session, subscription: Object, phase: Object) -> list[dict[str, Any]]:
    """Return the entries of `items`: an item of the same price is kept, others come and go."""
    left = list(subscription["items"]["data"])
    entries = []
    for item in phase["items"]:
        same = next((each for each in left if each["price"]["id"] == item["price"]), None)
        if same is not None:
            left.remove(same)
        named = {"id": same["id"]} if same else {"price": item["price"]}
        discounts = _kept(session, item["discounts"], same["discounts"] if same else [])
        entries.append({**named, **_wanted(item), "discounts": discounts})
    return [*entries, *({"id": each["id"], "deleted": True} for each in left)]


def _wanted(item: Object) -> dict[str, Any]:
    return {name: item[name] for name in ("metadata", "quantity") if name in item}


def _named(discounts: list[Object]) -> list[dict[str, Any]]:
    """Return wishes for discounts, as the parameter has them."""
    return [{name: each for name, each in wish.items() if each} for wish in discounts]


def _kept(session: Session, discounts: list[Object], present: list[str]) -> Any:
    """Return wishes for discounts, by what is there where it is the same; None: all go."""
    held = {session.get("discount", each)["source"]["coupon"]: each for each in present}
    wishes: list[dict[str, Any]] = []
    for wish in _named(discounts):
        if wish.get("coupon") in held:
            wishes.append({"discount": held[wish["coupon"]]})
        elif wish.get("discount") is None or wish["discount"] in present:
            wishes.append(wish)
    return wishes or None
