"""Tool calls that a model wrote as text, because its server did not recognise them. Pure."""

import json
import re
from collections.abc import Collection
from typing import Any

# Marks of the models' own formats: Hermes and Qwen, Llama, Mistral, DeepSeek, Kimi, gpt-oss,
# Functionary, Claude.
_MARK = re.compile(
    r"<tool_call>|<tool_use>|<function=|<function_calls?>|<invoke\b|<\|python_tag\|>"
    r"|\[TOOL_CALLS\]|<[|\uff5c]tool[^|\uff5c>]{0,40}[|\uff5c]>|\bto=functions\.",
    re.IGNORECASE,
)
_FENCE = re.compile(r"\A```\w*\s*(.*?)\s*```\Z", re.DOTALL)
_ARGUMENTS = ("arguments", "parameters", "input")
# Reason: a mark that is only talked about has no tool's name right behind it.
_REACH = 200


def has_call_as_text(text: str, tools: Collection[str]) -> bool:
    """Tell whether a text holds a tool call.

    Args:
        text: What a model wrote.
        tools: Names of the tools that it was offered.

    Returns:
        Whether a mark of a call is followed by a tool's name, or all of the text is a call in JSON.
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
