"""Describes how a history differs from the current code, by the error of Temporal's SDK."""

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

_MAX_LENGTH = 200

_COMMANDS = {
    "activity": "to run an activity",
    "timer": "to start a timer",
    "child workflow": "to start a child workflow",
    "complete workflow": "to complete the workflow",
    "fail workflow": "to fail the workflow",
    "cancel workflow": "to end the workflow as canceled",
    "continue as new workflow": "to continue as new",
    "signal external workflow": "to signal another workflow",
    "request cancel external workflow": "to cancel another workflow",
    "upsertworkflowsearchattributes": "to set search attributes",
    "modifyworkflowproperties": "to change the workflow's properties",
    "version": "to check a patch marker",
    "local activity": "to run a local activity",
}


def differing_activity_type(failure: Exception) -> str | None:
    """Return the recorded activity type that differs from the code, if the failure names one."""
    match = _OTHER.search(_message_of(failure))
    return match[2] if match and match[1] == "Activity" else None


def describe_difference(history: WorkflowHistory, failure: Exception, at: int | None) -> str:
    """Describe the first difference between a history and the current code.

    Args:
        history: The history that was replayed.
        failure: The error that the SDK's replayer returned.
        at: Id of the event that differs; None takes it from the error's message.

    Returns:
        One to four lines; the last one is the SDK's own message.
    """
    message = _message_of(failure)
    if not isinstance(failure, NondeterminismError):
        return f"  the current code fails during the replay: {message}"
    if at is None and (match := _EVENT.search(message)):
        at = int(match[1])
    lines = [f"  first difference: event {at} of {len(history.events)}"] if at else []
    recorded = _describe_event(history, at) if at else None
    sdk = f"  ({_shortened(message)})"
    other = _OTHER.search(message)
    if other:
        recorded = recorded or f"{other[1].lower()} {other[2]}"
        current: str | None = f"{other[1].lower()} {other[3]}"
    else:
        current = _describe_command(message)
    if recorded is None or current is None:
        return "\n".join([*lines, sdk])
    return "\n".join(
        [*lines, f"  the history has: {recorded}", f"  the current code wants: {current}", sdk]
    )


def _describe_command(message: str) -> str | None:
    if "No command scheduled" in message:
        return "no command at this point"
    match = _MACHINE.search(message)
    return _COMMANDS.get(match[1].lower(), f"something else ({match[1]})") if match else None


def _describe_event(history: WorkflowHistory, event_id: int) -> str | None:
    matching = [event for event in history.events if event.event_id == event_id]
    if not matching:
        return None
    event = matching[0]
    label = EventType.Name(event.event_type).removeprefix("EVENT_TYPE_").lower().replace("_", " ")
    kind = event.WhichOneof("attributes")
    name = _name_in(getattr(event, kind)) if kind else ""
    summary = _text_of(event.user_metadata.summary)
    return label + (f" {name}" if name else "") + (f' ("{summary}")' if summary else "")


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
    match = _MESSAGE.search(str(failure))
    return match[1].replace('\\"', '"').replace("\\'", "'") if match else str(failure)


def _shortened(message: str) -> str:
    return message if len(message) <= _MAX_LENGTH else f"{message[:_MAX_LENGTH]}…"
