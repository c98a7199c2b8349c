"""What phases a schedule is to have: dates in a row, items, and what may not be asked for."""

from typing import Any

from sandbox.stripe import errors
from sandbox.stripe.calendars import period_end
from sandbox.stripe.objects.catalog import prices, redemptions
from sandbox.stripe.objects.customers import customer_currency
from sandbox.stripe.objects.customers.customers import own_method
from sandbox.stripe.objects.schedules import schedule_shape
from sandbox.stripe.objects.subscriptions import subscription_changes
from sandbox.stripe.session import Object, Session

_MAX_PHASES = 10


def plan(
    session: Session, customer_id: str, entries: list[dict[str, Any]], start: int
) -> list[Object]:
    """Return the phases that entries ask for, the first beginning at `start`.

    Raises:
        ApiError: If their dates are in no row, or they cannot be billed.
    """
    if not 1 <= len(entries) <= _MAX_PHASES:
        raise errors.bad_parameter("You must pass 1 to 10 phases.", param="phases")
    phases: list[Object] = []
    for number, entry in enumerate(entries):
        begins_at = phases[-1]["end_date"] if phases else start
        is_last = number == len(entries) - 1
        path = f"phases[{number}]"
        if phases and entry.get("start_date", begins_at) != begins_at:
            raise errors.invalid_request(
                "A phase begins where the one before it ends.", param=f"{path}[start_date]"
            )
        phases.append(_phase(session, customer_id, entry, begins_at, path, is_last=is_last))
    if len({phase["currency"] for phase in phases}) > 1:
        raise errors.invalid_request("All phases need one currency.", param="phases")
    return phases


def _phase(
    session: Session,
    customer_id: str,
    entry: dict[str, Any],
    start: int,
    path: str,
    *,
    is_last: bool,
) -> Object:
    asked = [
        _priced(session, customer_id, each, f"{path}[items][{number}]")
        for number, each in enumerate(entry["items"])
    ]
    if not asked:
        raise errors.bad_parameter("A phase needs items.", param=f"{path}[items]")
    listed = f"{path}[items]"
    subscription_changes.check_alike([p for p, _ in asked], entry.get("currency"), path=listed)
    if entry.get("default_payment_method"):
        param = f"{path}[default_payment_method]"
        own_method(session, customer_id, entry["default_payment_method"], param=param)
    currency = asked[0][0]["currency"]
    _check_wishes(session, customer_id, entry, path, currency)
    recurring = asked[0][0]["recurring"]
    natural_end = period_end(start, recurring["interval"], recurring["interval_count"])
    end = _end(session, entry, start, path, natural_end if is_last else None)
    return schedule_shape.phase(
        entry,
        add_invoice_items=_extras(session, entry, path, currency),
        currency=currency,
        discounts=[schedule_shape.discount(**wish) for wish in entry.get("discounts") or []],
        end_date=end,
        items=[item for _, item in asked],
        start_date=start,
        trial_end=_trial_end(entry, start, end, path),
    )


def _priced(
    session: Session, customer_id: str, entry: dict[str, Any], path: str
) -> tuple[Object, Object]:
    """Return an item's price and the item."""
    price = subscription_changes.price_of(session, entry, path)
    if price is None:
        raise errors.bad_parameter(
            f"Missing required param: {path}[price].", code="parameter_missing", param=path
        )
    subscription_changes.check_quantity(price, entry, path)
    _check_wishes(session, customer_id, entry, path, price["currency"])
    quantity = {} if prices.is_metered(price) else {"quantity": entry.get("quantity", 1)}
    return price, schedule_shape.item(price["id"], {**entry, **quantity})


def _check_wishes(
    session: Session, customer_id: str, entry: dict[str, Any], path: str, currency: str
) -> None:
    for number, wish in enumerate(entry.get("discounts") or []):
        param = f"{path}[discounts][{number}]"
        if wish.get("discount"):
            session.get("discount", wish["discount"], param=f"{param}[discount]")
        else:
            redemptions.check(session, wish, customer_id, param=param, currency=currency)


def _extras(session: Session, entry: dict[str, Any], path: str, currency: str) -> list[Object]:
    found = []
    for number, each in enumerate(entry.get("add_invoice_items", [])):
        param = f"{path}[add_invoice_items][{number}]"
        if "price_data" in each:
            price = prices.inline(session, each["price_data"], f"{param}[price_data]")
        else:
            price = session.get("price", each.get("price") or "", param=f"{param}[price]")
        customer_currency.check_price(price, currency, param=f"{param}[price]")
        found.append(schedule_shape.charge(price["id"], each))
    return found


def _end(
    session: Session, entry: dict[str, Any], start: int, path: str, natural_end: int | None
) -> int:
    """Return where a phase ends; only the last has a length by itself, one billing interval."""
    duration, end = entry.get("duration"), entry.get("end_date")
    if duration is not None and end is not None:
        raise errors.invalid_request(
            "You may only specify one of `duration`, `end_date`.", param=f"{path}[duration]"
        )
    if end == "now":
        end = session.now
    if duration is not None:
        return period_end(start, duration["interval"], duration.get("interval_count", 1))
    end = natural_end if end is None else end
    if end is None:
        raise errors.invalid_request(
            "Every phase but the last needs an `end_date` or a `duration`.",
            param=f"{path}[end_date]",
        )
    if end <= start:
        raise errors.invalid_request("A phase must end after it begins.", param=f"{path}[end_date]")
    return int(end)


def _trial_end(entry: dict[str, Any], start: int, end: int, path: str) -> int | None:
    is_whole, trial_end = entry.get("trial", False), entry.get("trial_end")
    if (is_whole or trial_end) and entry.get("billing_cycle_anchor") == "phase_start":
        raise errors.invalid_request(
            "A phase with a trial cannot have its billing cycle begin with the phase.",
            param=f"{path}[billing_cycle_anchor]",
        )
    if trial_end is None:
        return end if is_whole else None
    if not start < trial_end <= end or (is_whole and trial_end != end):
        raise errors.invalid_request(
            "A phase's trial must end within the phase; with `trial`, at its end.",
            param=f"{path}[trial_end]",
        )
    return int(trial_end)


def revised(session: Session, schedule: Object, entries: list[dict[str, Any]]) -> list[Object]:
    """Return the phases after an update; what is past stays, also where it is left out.

    Raises:
        ApiError: If the past is to be another, or the present phase is left out.
    """
    first = entries[0].get("start_date") if entries else None
    if first is None:
        raise errors.invalid_request(
            "The first phase needs its start_date.", param="phases[0][start_date]"
        )
    start = session.now if first == "now" else int(first)
    phases = plan(session, schedule["customer"], entries, start)
    current = schedule["current_phase"]
    if current is None:
        check_start(session, start, param="phases[0][start_date]")
        return phases
    past = [each for each in schedule["phases"] if each["end_date"] <= current["start_date"]]
    known = [schedule_shape.span(each) for each in past]
    given = [each for each in phases if each["end_date"] <= current["start_date"]]
    rest = phases[len(given) :]
    if any(schedule_shape.span(each) not in known for each in given):
        raise errors.invalid_request("Phases that are over cannot be changed.", param="phases")
    if not rest or rest[0]["start_date"] != current["start_date"]:
        raise errors.invalid_request(
            "The current phase must be among the phases, and keep its start_date.",
            param="phases[0][start_date]",
        )
    if rest[0]["end_date"] < session.now:
        raise errors.invalid_request(
            "The current phase cannot end in the past.", param=f"phases[{len(given)}][end_date]"
        )
    return [*past, *rest]


def check_start(session: Session, start: int, *, param: str) -> None:
    """Refuse a start in the past, which Stripe would backdate.

    Raises:
        ApiError: If it is one.
    """
    if start < session.now:
        raise errors.invalid_request(
            "This sandbox does not backdate subscriptions: start now or later.", param=param
        )
