"""What is known of an effect at an outside system, and what is done about it."""

from typing import Any

import pytest

from domain.agents.tools.tool_calls import ToolCallStatus
from domain.agents.tools.tool_outcomes import (
    Knowledge,
    Step,
    is_ok,
    is_present,
    next_step,
    read_failure,
    read_status,
    told_status,
)
from domain.errors import IllegalCommandError


@pytest.mark.parametrize(
    ("was_sent", "has_key", "has_look_up", "step"),
    [
        (False, False, False, Step.SEND),
        (False, True, True, Step.SEND),
        (True, False, False, Step.ASK_PERSON),
        (True, True, False, Step.SEND),
        (True, False, True, Step.LOOK_UP),
        (True, True, True, Step.LOOK_UP),
    ],
)
def test_what_may_have_been_sent_is_not_sent_blindly(
    was_sent: bool, has_key: bool, has_look_up: bool, step: Step
) -> None:
    assert next_step(was_sent=was_sent, has_key=has_key, has_look_up=has_look_up) is step


@pytest.mark.parametrize(
    ("status", "first", "again"),
    [
        (200, Knowledge.DONE, Knowledge.DONE),
        (204, Knowledge.DONE, Knowledge.DONE),
        (302, Knowledge.UNCLEAR, Knowledge.UNCLEAR),
        (400, Knowledge.REFUSED, Knowledge.UNCLEAR),
        (401, Knowledge.REFUSED, Knowledge.UNCLEAR),
        (404, Knowledge.REFUSED, Knowledge.UNCLEAR),
        (408, Knowledge.LOST, Knowledge.LOST),
        (409, Knowledge.REFUSED, Knowledge.LOST),
        (422, Knowledge.REFUSED, Knowledge.UNCLEAR),
        (425, Knowledge.NOT_NOW, Knowledge.LOST),
        (429, Knowledge.NOT_NOW, Knowledge.LOST),
        (500, Knowledge.LOST, Knowledge.LOST),
        (503, Knowledge.LOST, Knowledge.LOST),
        (504, Knowledge.LOST, Knowledge.LOST),
    ],
)
def test_what_a_status_tells(status: int, first: Knowledge, again: Knowledge) -> None:
    assert read_status(status, (), was_sent=False) is first
    assert read_status(status, (), was_sent=True) is again


def test_a_tool_may_say_which_statuses_are_success() -> None:
    assert is_ok(409, (201, 409))
    assert not is_ok(200, (201,))
    assert read_status(200, (201,), was_sent=False) is Knowledge.UNCLEAR


@pytest.mark.parametrize(
    ("is_reached", "is_final", "was_sent", "knowledge"),
    [
        (False, False, False, Knowledge.NOT_NOW),
        (False, True, False, Knowledge.REFUSED),
        (True, False, False, Knowledge.LOST),
        (True, True, False, Knowledge.UNCLEAR),
        (False, False, True, Knowledge.LOST),
        (False, True, True, Knowledge.UNCLEAR),
    ],
)
def test_what_a_missing_answer_tells(
    is_reached: bool, is_final: bool, was_sent: bool, knowledge: Knowledge
) -> None:
    found = read_failure(is_reached=is_reached, is_final=is_final, was_sent=was_sent)
    assert found is knowledge


@pytest.mark.parametrize(
    ("document", "field", "is_there"),
    [
        ({"id": 1}, None, True),
        ("booked", None, True),
        ([], None, False),
        ({}, None, False),
        (None, None, False),
        ("", None, False),
        ({"items": []}, None, True),
        ({"items": []}, "items", False),
        ({"items": [1]}, "items", True),
        ({}, "items", False),
        ([1], "items", False),
    ],
)
def test_what_a_look_up_tells(document: Any, field: str | None, is_there: bool) -> None:
    assert is_present(document, field) is is_there


def test_a_person_tells_an_outcome_once() -> None:
    unknown = ToolCallStatus.OUTCOME_UNKNOWN
    assert told_status(unknown, is_done=True) is ToolCallStatus.DONE
    assert told_status(unknown, is_done=False) is ToolCallStatus.FAILED
    assert told_status(ToolCallStatus.DONE, is_done=True) is None
    for status in (ToolCallStatus.FAILED, ToolCallStatus.STARTED, ToolCallStatus.EXPIRED):
        with pytest.raises(IllegalCommandError) as refused:
            told_status(status, is_done=True)
        assert refused.value.details == {"tool_call_status": status}
