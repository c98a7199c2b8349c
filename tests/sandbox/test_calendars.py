"""Period ends by calendar, against days counted by hand."""

from datetime import UTC, datetime

import pytest

from sandbox.stripe.calendars import period_end


@pytest.mark.parametrize(
    ("anchor", "interval", "count", "end"),
    [
        ("2027-01-31T10:30:00", "month", 1, "2027-02-28T10:30:00"),
        ("2027-01-31T10:30:00", "month", 2, "2027-03-31T10:30:00"),
        ("2027-01-31T10:30:00", "month", 13, "2028-02-29T10:30:00"),
        ("2028-02-29T00:00:00", "year", 1, "2029-02-28T00:00:00"),
        ("2028-02-29T00:00:00", "year", 4, "2032-02-29T00:00:00"),
        ("2026-12-30T23:59:59", "month", 2, "2027-02-28T23:59:59"),
        ("2026-12-15T00:00:00", "month", 1, "2027-01-15T00:00:00"),
        ("2028-02-28T00:00:00", "day", 2, "2028-03-01T00:00:00"),
        ("2026-12-28T06:00:00", "week", 2, "2027-01-11T06:00:00"),
    ],
)
def test_period_ends(anchor: str, interval: str, count: int, end: str) -> None:
    start = int(datetime.fromisoformat(anchor).replace(tzinfo=UTC).timestamp())
    found = datetime.fromtimestamp(period_end(start, interval, count), UTC)
    assert found.strftime("%Y-%m-%dT%H:%M:%S") == end
