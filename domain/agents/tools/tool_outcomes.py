"""Decides what is known of an effect at an outside system, and what to do about it. Pure."""

from collections.abc import Collection
from enum import StrEnum
from typing import Any

from domain.agents.tools.tool_calls import ToolCallStatus
from domain.errors import IllegalCommandError

_NOT_NOW = frozenset({425, 429})
_TIMED_OUT = 408
_CONFLICT = 409


class Knowledge(StrEnum):
    """What is known of an effect after a request for it."""

    DONE = "done"
    REFUSED = "refused"  # it was not done, and will not be
    NOT_NOW = "not_now"  # it was not done, and may be asked for again
    LOST = "lost"  # it may be done; the same request may tell
    UNCLEAR = "unclear"  # it may be done, and the server's answer does not tell


class Step(StrEnum):
    """The next step towards an effect."""

    SEND = "send"
    LOOK_UP = "look_up"
    ASK_PERSON = "ask_person"


def next_step(*, was_sent: bool, has_key: bool, has_look_up: bool) -> Step:
    """Return the next step towards an effect.

    Args:
        was_sent: Whether the request may have been sent before.
        has_key: Whether the server does a request with the same idempotency key once.
        has_look_up: Whether the server can be asked for the effect.
    """
    if not was_sent:
        return Step.SEND
    if has_look_up:
        return Step.LOOK_UP
    return Step.SEND if has_key else Step.ASK_PERSON


def read_status(status: int, ok_statuses: Collection[int], *, was_sent: bool) -> Knowledge:
    """Return what the status of an answer tells about an effect.

    Args:
        status: Status of the answer.
        ok_statuses: Statuses that mean success; empty for 200 to 299.
        was_sent: Whether the request may have been sent before. Then a refusal tells nothing
            about what the earlier request did.
    """
    if is_ok(status, ok_statuses):
        return Knowledge.DONE
    if status >= 500 or status == _TIMED_OUT:
        return Knowledge.LOST
    if status in _NOT_NOW:
        return Knowledge.LOST if was_sent else Knowledge.NOT_NOW
    if not 400 <= status < 500:
        return Knowledge.UNCLEAR
    if not was_sent:
        return Knowledge.REFUSED
    # Reason: this is how servers answer while they still work on a request with the same key.
    return Knowledge.LOST if status == _CONFLICT else Knowledge.UNCLEAR


def read_failure(*, is_reached: bool, is_final: bool, was_sent: bool) -> Knowledge:
    """Return what a request without an answer tells about an effect.

    Args:
        is_reached: Whether the server may have got the request.
        is_final: Whether another request would end in the same way.
        was_sent: Whether the request may have been sent before.
    """
    if is_reached or was_sent:
        return Knowledge.UNCLEAR if is_final else Knowledge.LOST
    return Knowledge.REFUSED if is_final else Knowledge.NOT_NOW


def is_ok(status: int, ok_statuses: Collection[int]) -> bool:
    """Tell whether a status means success; without a list every status from 200 to 299 does."""
    return status in ok_statuses if ok_statuses else 200 <= status < 300


def is_present(document: Any, field: str | None) -> bool:
    """Tell whether the answer to a look-up has something in it.

    Args:
        document: The answer; a text if it is not JSON.
        field: Field that has the effect if it is there; None for the whole answer.
    """
    if field is not None:
        document = document.get(field) if isinstance(document, dict) else None
    return bool(document)


def told_status(status: ToolCallStatus, *, is_done: bool) -> ToolCallStatus | None:
    """Return the status of a call once a person has told its outcome.

    Args:
        status: Status of the call.
        is_done: Whether the person says that it was done.

    Returns:
        The new status; None if the call has it already.

    Raises:
        IllegalCommandError: The outcome is known, and is another one.
    """
    new = ToolCallStatus.DONE if is_done else ToolCallStatus.FAILED
    if status is ToolCallStatus.OUTCOME_UNKNOWN:
        return new
    if status is new:
        return None
    raise IllegalCommandError(f"the tool call is {status}", details={"tool_call_status": status})
