"""Detects tool calls that a model wrote as text and its server did not recognise. Pure."""

import json
import re
from collections.abc import Collection
from typing import Any

# Marks of tool calls in the formats of Hermes and Qwen, Llama, Mistral, DeepSeek, Kimi, gpt-oss,
# Functionary and Claude.
_MARK = re.compile(
    r"<tool_call>|<tool_use>|<function=|<function_calls?>|<invoke\b|<\|python_tag\|>"
    r"|\[TOOL_CALLS\]|<[|\uff5c]tool[^|\uff5c>]{0,40}[|\uff5c]>|\bto=functions\.",
    re.IGNORECASE,
)
_FENCE = re.compile(r"\A```\w*\s*(.*?)\s*```\Z", re.DOTALL)
_ARGUMENTS = ("arguments", "parameters", "input")
# Reason: in prose about such a mark, no tool name follows within so many characters.
_REACH = 200


def has_call_as_text(text: str, tools: Collection[str]) -> bool:
    """Tell whether a text contains a tool call.

    Args:
        text: Text that a model wrote.
        tools: Names of the tools that were offered to the model.

    Returns:
        Whether a tool's name follows the mark of a call, or the whole text is a call in JSON.
    """
    for mark in _MARK.finditer(text):
        behind = text[mark.start() : mark.end() + _REACH]
        if any(re.search(rf"(?<!\w){re.escape(tool)}(?!\w)", behind) for tool in tools):
            return True
    return _is_call(text.strip(), tools)


def _is_call(text: str, tools: Collection[str]) -> bool:
    fenced = _FENCE.match(text)
    body = fenced[1] if fenced else text
    if not body.startswith(("{", "[")):
        return False
    try:
        found: Any = json.loads(body)
    except (ValueError, RecursionError):
        return False
    calls = found if isinstance(found, list) else [found]
    return any(
        isinstance(call, dict)
        and call.get("name") in tools
        and any(name in call for name in _ARGUMENTS)
        for call in calls
    )
