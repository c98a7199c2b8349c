"""What must be true of a request, for either provider: written by the providers' documentation.

OpenAI and those who speak like it, Mistral being the strictest: user and assistant take turns, a
tool's results follow their call at once, nothing is empty, and the assistant never speaks last.
Anthropic: the same, with results as blocks of the user's next message.
"""

from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]


def problems(body: Json, *, is_anthropic: bool) -> Iterator[str]:
    """Yield what is wrong with a request's messages.

    Args:
        body: As it was sent.
        is_anthropic: Whose words it speaks.
    """
    messages = body["messages"]
    if not messages:
        yield "it has no messages"
        return
    yield from _order(messages, is_anthropic=is_anthropic)
    yield from _pairs(messages)
    for place, message in enumerate(messages):
        if _is_empty(message):
            yield f"message {place} ({message['role']}) is empty"
    if messages[-1]["role"] == "assistant":
        yield "it ends with the assistant"


def _order(messages: list[Json], *, is_anthropic: bool) -> Iterator[str]:
    roles = [message["role"] for message in messages]
    if not is_anthropic and roles[0] in {"system", "developer"}:
        roles = roles[1:]
    allowed = {"user", "assistant"} if is_anthropic else {"user", "assistant", "tool"}
    if strange := set(roles) - allowed:
        yield f"roles where they do not belong: {sorted(strange)}"
    if roles and roles[0] != "user":
        yield f"the {roles[0]} begins"
    for place in range(1, len(roles)):
        if roles[place] == roles[place - 1] != "tool":
            yield f"two neighbours are the {roles[place]}'s"


def _pairs(messages: list[Json]) -> Iterator[str]:
    seen: set[str] = set()
    waiting: list[str] = []
    for message in messages:
        results = results_of(message)
        for found in results:
            if found in waiting:
                waiting.remove(found)
            else:
                yield f"a result of {found}, which was not called right before"
        if message["role"] == "assistant" or (message["role"] == "user" and not results):
            if waiting:
                yield f"no result of {waiting} right behind the call"
            waiting = _calls(message)
            if repeated := [each for each in waiting if each in seen or not each]:
                yield f"ids that are used twice, or empty: {repeated}"
            seen.update(waiting)
    if waiting:
        yield f"no result of {waiting}"


def _calls(message: Json) -> list[str]:
    calls = [str(call.get("id") or "") for call in message.get("tool_calls") or ()]
    blocks = _blocks(message)
    return calls + [str(b.get("id") or "") for b in blocks if b.get("type") == "tool_use"]


def results_of(message: Json) -> list[str]:
    """Return the ids of the calls whose results stand in a message."""
    if message["role"] == "tool":
        return [str(message.get("tool_call_id"))]
    return [str(b["tool_use_id"]) for b in _blocks(message) if b.get("type") == "tool_result"]


def _blocks(message: Json) -> list[Json]:
    content = message.get("content")
    return content if isinstance(content, list) else []


def _is_empty(message: Json) -> bool:
    if message["role"] == "tool" or message.get("tool_calls"):
        return False
    content = message.get("content")
    if not isinstance(content, list):
        return not (content or "").strip()
    texts = [block.get("text") or "" for block in content if block.get("type") == "text"]
    return not content or any(not text.strip() for text in texts)
