"""Events of an agent run, as its stream sends them."""

from enum import StrEnum
from typing import Any

from pydantic import field_validator

from domain.base import Frozen


class RunEventKind(StrEnum):
    """The kind of a run event; `done` is the last event of a run."""

    STATUS = "status"
    STEP = "step"
    TOKEN = "token"  # noqa: S105 - of a model, not a secret
    TOOL_CALL = "tool_call"
    TOOL_RESULT = "tool_result"
    APPROVAL_REQUESTED = "approval_requested"
    APPROVAL_DECIDED = "approval_decided"
    MESSAGE = "message"
    CHILD = "child"
    ERROR = "error"
    DONE = "done"


class NewRunEvent(Frozen):
    """A run event that has no number yet.

    Args:
        kind: Kind of the event.
        data: JSON-serialisable facts; a `token` event has `text`, `attempt` and `step`.
    """

    kind: RunEventKind
    data: dict[str, Any]

    @field_validator("data")
    @classmethod
    def _make_storable(cls, value: dict[str, Any]) -> dict[str, Any]:
        cleaned: dict[str, Any] = storable(value)
        return cleaned


def storable(value: Any) -> Any:
    """Replace characters that PostgreSQL cannot store.

    Args:
        value: Text, or a JSON document.

    Returns:
        The value with U+FFFD in place of NUL and of half a surrogate pair: models write both, and
        such a character must not fail the run.
    """
    if isinstance(value, str):
        return _storable_text(value)
    if isinstance(value, dict):
        return {storable(key): storable(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [storable(each) for each in value]
    return value


def _storable_text(text: str) -> str:
    if not text.isascii():
        # Reason: a surrogate pair that was streamed in two pieces becomes one character again.
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text.replace("\0", "\ufffd")
