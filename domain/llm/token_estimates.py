"""Estimates how many tokens to reserve for a text without the model's tokenizer. Pure.

Prose has 3 to 4 bytes per token, so an estimate is about twice the real count. For texts that
tokenizers handle badly, such as long random strings or rare scripts, it may be too low.
"""

import json
from collections.abc import Iterable
from typing import Any

from domain.base import Frozen
from domain.llm.messages import ChatMessage, ToolDefinition

BYTES_PER_TOKEN = 2
TOKENS_PER_MESSAGE = 8


class Unread(Frozen):
    """Size of what the model reads at its next step: the input and unanswered messages.

    Args:
        message_count: Number of messages.
        token_count: Estimated tokens of these messages.
    """

    message_count: int = 0
    token_count: int = 0


def estimate_tokens(text: str) -> int:
    """Return the estimated tokens of a text."""
    return estimate_tokens_of_bytes(len(text.encode()))


def estimate_tokens_of_bytes(size: int) -> int:
    """Return the estimated tokens of a text of this size in UTF-8 bytes."""
    return -(-size // BYTES_PER_TOKEN)


def estimate_message_tokens(message: ChatMessage) -> int:
    """Return the estimated tokens that a message adds to a prompt."""
    calls = sum(estimate_tokens(call.tool + call.arguments) for call in message.tool_calls)
    given = [message.provider.parts] if message.provider else []
    given += [call.parts for call in message.tool_calls]
    parts = sum(estimate_tokens(_text(each)) for each in given if each)
    count = TOKENS_PER_MESSAGE * (1 + len(message.tool_calls))
    return estimate_tokens(message.content) + calls + parts + count


def estimate_tool_tokens(tools: Iterable[ToolDefinition]) -> int:
    """Return the estimated tokens that the schemas of tools add to a prompt."""
    return sum(estimate_tokens(_text(tool.model_dump())) + TOKENS_PER_MESSAGE * 2 for tool in tools)


def _text(document: dict[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False)
