"""Rules for a request's messages that strict servers have, each told in their words."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

Body = dict[str, Any]


def order_of_roles(body: Body) -> str | None:
    """Return what is wrong with the order of roles: user and assistant take turns."""
    roles = [each.get("role") for each in body["messages"]]
    while roles and roles[0] in {"system", "developer"}:
        roles.pop(0)
    if any(role in {"system", "developer"} for role in roles):
        return "Unexpected role 'system' after role 'user'"
    if roles and roles[0] != "user":
        return "Conversation roles must alternate user/assistant/user/assistant/..."
    for last, role in pairwise(roles):
        if last == role != "tool":
            return "Conversation roles must alternate user/assistant/user/assistant/..."
    return None


def last_role(body: Body) -> str | None:
    """Return what is wrong with the last message: it must not be the assistant's."""
    if body["messages"][-1].get("role") != "assistant":
        return None
    return (
        "This model does not support assistant message prefill. "
        "The conversation must end with a user message."
    )


def user_after_tool(body: Body) -> str | None:
    """Return what is wrong if a user speaks right after a tool, as Mistral sees it."""
    roles = [each.get("role") for each in body["messages"]]
    if ("tool", "user") in pairwise(roles):
        return "Unexpected role 'user' after role 'tool'"
    return None


def pairs(body: Body) -> str | None:
    """Return what is wrong with calls and their results: each has the other, right behind it."""
    ids: list[str] = []
    awaited: set[str] = set()
    for role, calls, results in _parts(body):
        if role == "assistant" or (role == "user" and not results):
            if awaited:
                return f"tool calls without a result right behind them: {sorted(awaited)}"
            awaited = set(calls)
            ids += calls
        for found in results:
            if found not in awaited:
                return f"a result without a call right before it: {found}"
            awaited.discard(found)
    if awaited:
        return f"tool calls without a result: {sorted(awaited)}"
    if len(set(ids)) < len(ids):
        return "`tool_use` ids must be unique"
    return None


def emptiness(body: Body) -> str | None:
    """Return what is empty: a message of user or assistant without text and calls."""
    for message in body["messages"]:
        content = message.get("content")
        if message.get("role") not in {"user", "assistant"}:
            continue
        if not isinstance(content, list):
            is_empty = not (content or "").strip() and not message.get("tool_calls")
        else:
            texts = [part["text"] for part in content if part.get("type") == "text"]
            is_empty = not content or any(not text.strip() for text in texts)
        if is_empty:
            return "messages: text content blocks must be non-empty"
    return None


ALL = (order_of_roles, last_role, pairs, emptiness)


def problem(body: Body) -> str | None:
    """Return the first rule that a request breaks; None if it keeps all."""
    return next((found for rule in ALL if (found := rule(body))), None)


def _parts(body: Body) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield the role of each message, and the ids of its calls and results, for both providers."""
    for message in body["messages"]:
        content = message.get("content")
        blocks = content if isinstance(content, list) else []
        calls = [call["id"] for call in message.get("tool_calls") or ()]
        calls += [block["id"] for block in blocks if block.get("type") == "tool_use"]
        results = [block["tool_use_id"] for block in blocks if block.get("type") == "tool_result"]
        if message.get("role") == "tool":
            results.append(message.get("tool_call_id"))
        yield message.get("role"), calls, results
