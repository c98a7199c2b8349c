"""A planned end forbids some commands, and what takes nothing back is not offered."""

from datetime import UTC, datetime, timedelta

import pytest

from domain.subscriptions.lifecycle import CommandKind
from domain.subscriptions.planned import is_pointless, refusal_by_end

END = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
EARLIER = END - timedelta(days=3)
K = CommandKind


@pytest.mark.parametrize("period_end", [EARLIER, END, None])
def test_what_ends_is_not_paused(period_end: datetime | None) -> None:
    refusal = refusal_by_end(K.PAUSE, END, period_end)
    assert refusal is not None
    assert "2026-11-23 09:30 UTC" in refusal
    assert "uncancel" in refusal


def test_a_change_waits_only_for_a_period_after_which_there_is_another() -> None:
    assert refusal_by_end(K.SCHEDULE_CHANGE, END, END) == "the subscription ends with this period"
    assert refusal_by_end(K.SCHEDULE_CHANGE, EARLIER, END) is not None
    assert refusal_by_end(K.SCHEDULE_CHANGE, END, EARLIER) is None
    assert refusal_by_end(K.SCHEDULE_CHANGE, END, None) is None


@pytest.mark.parametrize("kind", CommandKind)
def test_without_a_planned_end_nothing_is_refused_for_it(kind: CommandKind) -> None:
    assert refusal_by_end(kind, None, END) is None


@pytest.mark.parametrize("kind", sorted(set(CommandKind) - {K.PAUSE, K.SCHEDULE_CHANGE}))
def test_other_commands_do_not_mind_a_planned_end(kind: CommandKind) -> None:
    assert refusal_by_end(kind, END, END) is None


@pytest.mark.parametrize("is_end_planned", [True, False])
@pytest.mark.parametrize("is_change_waiting", [True, False])
def test_only_what_is_there_can_be_taken_back(
    is_end_planned: bool, is_change_waiting: bool
) -> None:
    pointless = {
        kind
        for kind in CommandKind
        if is_pointless(kind, is_end_planned=is_end_planned, is_change_waiting=is_change_waiting)
    }
    expected = {K.UNCANCEL: not is_end_planned, K.CANCEL_SCHEDULED_CHANGE: not is_change_waiting}
    assert pointless == {kind for kind, is_expected in expected.items() if is_expected}
