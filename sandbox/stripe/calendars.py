"""Billing periods: calendar arithmetic from a fixed anchor, in UTC."""

import calendar
from datetime import UTC, datetime, timedelta

_SECONDS = {"day": 86_400, "week": 604_800, "month": 2_629_746, "year": 31_556_952}


def period_end(anchor: int, interval: str, count: int, day: int | None = None) -> int:
    """Return the moment `count` intervals after `anchor`, which may be negative.

    Months and years keep the anchor's day, or `day` where the anchor's own month was too short for
    it, and take the last day of shorter months, always reckoned from the anchor: 31 January,
    28 February, 31 March.
    """
    start = datetime.fromtimestamp(anchor, UTC)
    if interval in {"day", "week"}:
        days = count * (7 if interval == "week" else 1)
        return int((start + timedelta(days=days)).timestamp())
    months = start.month - 1 + count * (12 if interval == "year" else 1)
    year, month = start.year + months // 12, months % 12 + 1
    last = calendar.monthrange(year, month)[1]
    return int(start.replace(year=year, month=month, day=min(day or start.day, last)).timestamp())


def period_around(
    anchor: int, interval: str, count: int, moment: int, day: int | None = None
) -> tuple[int, int]:
    """Return the period that `moment` is in; a moment that ends one begins the next.

    Args:
        anchor: Where one of the periods begins; it may lie ahead.
        interval: `day`, `week`, `month` or `year`.
        count: How many of them make a period.
        moment: What to look for.
        day: The day of the month that is meant, where the anchor's month was too short for it.
    """
    number = (moment - anchor) // (_SECONDS[interval] * count)
    while period_end(anchor, interval, number * count, day) > moment:
        number -= 1
    while period_end(anchor, interval, (number + 1) * count, day) <= moment:
        number += 1
    start = period_end(anchor, interval, number * count, day)
    return start, period_end(anchor, interval, (number + 1) * count, day)


def next_match(moment: int, config: dict[str, int]) -> int:
    """Return the first moment after `moment` that a `billing_cycle_anchor_config` names."""
    now = datetime.fromtimestamp(moment, UTC)
    clock = {name: config.get(name, getattr(now, name)) for name in ("hour", "minute", "second")}
    year, month = now.year, config.get("month", now.month)
    while True:
        last = calendar.monthrange(year, month)[1]
        day = min(config["day_of_month"], last)
        found = int(datetime(year, month, day, **clock, tzinfo=UTC).timestamp())
        if found > moment:
            return found
        if "month" in config:
            year += 1
        else:
            year, month = year + month // 12, month % 12 + 1
