"""What a run tells those who watch it."""

from enum import StrEnum
from typing import Any

from pydantic import field_validator

from domain.base import Frozen


class RunEventKind(StrEnum):
    """Of what kind one message of a stream is. `done` is the last one of a run."""

    STATUS = "status"
    STEP = "step"
    TOKEN = "token"  # noqa: S105 - a model's, no secret
    TOOL_CALL = "tool_call"
    TOOL_RESULT = "tool_result"
    APPROVAL_REQUESTED = "approval_requested"
    APPROVAL_DECIDED = "approval_decided"
    MESSAGE = "message"
    ERROR = "error"
    DONE = "done"


class NewRunEvent(Frozen):
    """Something that happened, not numbered yet.

    Args:
        kind: Of what kind it is.
        data: JSON-safe facts; a token's are `text`, `attempt` and `step`.
    """

    kind: RunEventKind
    data: dict[str, Any]

    @field_validator("data")
    @classmethod
    def _make_storable(cls, value: dict[str, Any]) -> dict[str, Any]:
        cleaned: dict[str, Any] = storable(value)
        return cleaned


def storable(value: Any) -> Any:
    """Return a value as PostgreSQL can store it.

    Args:
        value: Text, or a JSON document.

    Returns:
        The same, with U+FFFD in place of NUL and of half a surrogate pair: models write both, no
        column takes either, and one such character must not stop a run.
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
        # Reason: a pair whose halves came in two pieces becomes one character again.
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text.replace("\0", "\ufffd")
