"""Billing periods: calendar arithmetic from a fixed anchor, in UTC."""

import calendar
from datetime import UTC, datetime, timedelta


def period_end(anchor: int, interval: str, count: int) -> int:
    """Return the moment `count` intervals after `anchor`.

    Months and years keep the anchor's day and take the last day of shorter months, always reckoned
    from the anchor: 31 January, 28 February, 31 March.
    """
    start = datetime.fromtimestamp(anchor, UTC)
    if interval in {"day", "week"}:
        days = count * (7 if interval == "week" else 1)
        return int((start + timedelta(days=days)).timestamp())
    months = start.month - 1 + count * (12 if interval == "year" else 1)
    year, month = start.year + months // 12, months % 12 + 1
    day = min(start.day, calendar.monthrange(year, month)[1])
    return int(start.replace(year=year, month=month, day=day).timestamp())
