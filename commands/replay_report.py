"""What the SDK says about a history that does not replay, in words that a person understands."""

import json
import re
from typing import Any

from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHistory
from temporalio.workflow import NondeterminismError

_MESSAGE = re.compile(r'Failure \{ message: "((?:[^"\\]|\\.)*)"')
_EVENT = re.compile(r"HistoryEvent(?:\(id: |\s*\{ event_id: )(\d+)")
_MACHINE = re.compile(r"error: (.*?) ?[mM]achine does not handle")
_OTHER = re.compile(r"(\w+) type of scheduled event '([^']*)' does not match .* command '([^']*)'")

_LONGEST = 200

_WISHES = {
    "activity": "to run an activity",
    "timer": "to start a timer",
    "child workflow": "to start a child workflow",
    "complete workflow": "to end here",
    "fail workflow": "to fail here",
    "cancel workflow": "to end as canceled here",
    "continue as new workflow": "to continue as new here",
    "signal external workflow": "to signal another workflow",
    "request cancel external workflow": "to cancel another workflow",
    "upsertworkflowsearchattributes": "to set search attributes",
    "modifyworkflowproperties": "to change the workflow's properties",
    "version": "to look at a patch marker",
    "local activity": "to run a local activity",
}


def culprit_type(failure: Exception) -> str | None:
    """Return the activity type that history and code disagree on, if the failure names one."""
    found = _OTHER.search(_message_of(failure))
    return found[2] if found and found[1] == "Activity" else None


def say_difference(history: WorkflowHistory, failure: Exception, at: int | None) -> str:
    """Say what differs first.

    Args:
        history: What was replayed.
        failure: What the SDK made of it.
        at: Number of the event that differs, if it is known already.

    Returns:
        One to four lines, the last of them the SDK's own words.
    """
    message = _message_of(failure)
    if not isinstance(failure, NondeterminismError):
        return f"  today's code fails while it replays: {message}"
    if at is None and (found := _EVENT.search(message)):
        at = int(found[1])
    lines = [f"  first difference: event {at} of {len(history.events)}"] if at else []
    has = _event_in_words(history, at) if at else None
    sdk = f"  ({_shortened(message)})"
    other = _OTHER.search(message)
    if other:
        has = has or f"{other[1].lower()} {other[2]}"
        wish: str | None = f"{other[1].lower()} {other[3]}"
    else:
        wish = _wish(message)
    if has is None or wish is None:
        return "\n".join([*lines, sdk])
    return "\n".join([*lines, f"  the history has: {has}", f"  today's code wants: {wish}", sdk])


def _wish(message: str) -> str | None:
    if "No command scheduled" in message:
        return "nothing here; it waits for something else"
    found = _MACHINE.search(message)
    return _WISHES.get(found[1].lower(), f"something else ({found[1]})") if found else None


def _event_in_words(history: WorkflowHistory, event_id: int) -> str | None:
    found = [event for event in history.events if event.event_id == event_id]
    if not found:
        return None
    event = found[0]
    words = EventType.Name(event.event_type).removeprefix("EVENT_TYPE_").lower().replace("_", " ")
    kind = event.WhichOneof("attributes")
    name = _name_in(getattr(event, kind)) if kind else ""
    summary = _text_of(event.user_metadata.summary)
    return words + (f" {name}" if name else "") + (f' ("{summary}")' if summary else "")


def _name_in(attributes: Any) -> str:
    for field in ("activity_type", "workflow_type"):
        if hasattr(attributes, field):
            return str(getattr(attributes, field).name)
    return str(getattr(attributes, "signal_name", ""))


def _text_of(payload: Any) -> str:
    try:
        return str(json.loads(payload.data))
    except ValueError:
        return ""


def _message_of(failure: Exception) -> str:
    found = _MESSAGE.search(str(failure))
    return found[1].replace('\\"', '"').replace("\\'", "'") if found else str(failure)


def _shortened(message: str) -> str:
    return message if len(message) <= _LONGEST else f"{message[:_LONGEST]}…"
