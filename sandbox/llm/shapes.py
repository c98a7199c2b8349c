"""What both providers' requests and answers have in common."""

from typing import Any, TypeVar

from sandbox.llm.conversation import BadRequestError, Step

T = TypeVar("T")


def required(body: dict[str, Any], name: str, kind: type[T]) -> T:
    """Return a field that must be there.

    Raises:
        BadRequestError: It is missing or of the wrong kind.
    """
    value = body.get(name) if isinstance(body, dict) else None
    if not isinstance(value, kind) or isinstance(value, bool):
        raise BadRequestError(f"{name}: {kind.__name__} required")
    return value


def limit(body: dict[str, Any], *names: str) -> int | None:
    """Return the first of these limits that is set.

    Raises:
        BadRequestError: It is no positive number.
    """
    for name in names:
        if body.get(name) is None:
            continue
        if required(body, name, int) < 1:
            raise BadRequestError(f"{name}: at least 1")
        return int(body[name])
    return None


def call_id(prefix: str, seq: int, step: Step) -> str:
    """Return the id of a tool call: the scripted one, or one that no other call has."""
    scripted = step.head.id if step.head else None
    return scripted or f"{prefix}_{seq:08d}{step.index}"


def parts_text(content: Any) -> str:
    """Return the text of a message's content: a string, or parts of which some have text."""
    if isinstance(content, list):
        return "\n".join(part["text"] for part in content if part.get("type") == "text")
    return content or ""


def joined_text(steps: list[Step]) -> str:
    """Return the text of an answer."""
    return "".join(step.piece for step in steps if step.index is None)


def joined_calls(steps: list[Step]) -> list[tuple[Step, str]]:
    """Return the heads of an answer's tool calls, each with its whole arguments."""
    heads = [step for step in steps if step.head is not None]
    return [(head, _arguments(steps, head)) for head in heads]


def _arguments(steps: list[Step], head: Step) -> str:
    return "".join(step.piece for step in steps if step.index == head.index)
