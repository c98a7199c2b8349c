"""How long a batch is left alone between two looks."""

from datetime import timedelta

import pytest

from domain.llm.batches import GIVE_UP_AFTER, pause_seconds


@pytest.mark.parametrize(
    ("age", "pause"),
    [
        (timedelta(0), 1.0),
        (timedelta(seconds=-5), 1.0),  # clocks differ
        (timedelta(seconds=5), 1.0),
        (timedelta(seconds=60), 12.0),
        (timedelta(minutes=25), 300.0),
        (timedelta(hours=20), 300.0),
    ],
)
def test_the_pause_grows_with_the_age(age: timedelta, pause: float) -> None:
    assert pause_seconds(age) == pytest.approx(pause)


def test_a_day_is_some_hundred_looks() -> None:
    age, count = timedelta(0), 0
    while age < GIVE_UP_AFTER:
        age += timedelta(seconds=pause_seconds(age))
        count += 1
    assert 250 < count < 350
