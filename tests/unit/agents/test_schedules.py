"""The times that a schedule of runs may name."""

import pytest

from domain.agents.schedules import MAX_SCHEDULES, check_times, too_many_schedules_error
from domain.errors import InvalidInputError


@pytest.mark.parametrize(
    "cron",
    [
        "* * * * *",
        "*/15 0-23 1,15 JAN-DEC mon-fri",
        "0 7 * * 1-5",
        "59 23 31 12 7",
        "0 */120 * * 0",
    ],
)
def test_times_that_are_taken(cron: str) -> None:
    assert check_times(f"  {cron}  ", "Europe/Berlin") == cron


@pytest.mark.parametrize(
    "cron",
    [
        "",
        "* * * *",
        "* * * * * *",
        "60 * * * *",
        "0 24 * * *",
        "0 0 0 * *",
        "0 0 32 * *",
        "0 0 * 13 *",
        "0 0 * * 8",
        "1-60 * * * *",
        "@hourly",
        "* * * * ?;rm",
        "0 0 * * MON#1",
        "é * * * *",
    ],
)
def test_what_are_no_times(cron: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        check_times(cron, "UTC")
    assert caught.value.error_code == "invalid_cron"


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../etc/passwd", "/etc/passwd", "", "Europe"])
def test_what_is_no_time_zone(zone: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        check_times("* * * * *", zone)
    assert caught.value.error_code == "unknown_time_zone"


def test_the_limit_is_told() -> None:
    assert too_many_schedules_error().details == {"limit": MAX_SCHEDULES}
