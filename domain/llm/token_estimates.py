"""How many tokens to reserve for a text, for whoever has no tokenizer of its model. Pure.

Prose takes 3 to 4 bytes for a token, so this is about twice as much as it needs. It is no bound for
text that tokenizers know badly, such as long random strings or rare scripts.
"""

import json
from collections.abc import Iterable
from typing import Any

from domain.base import Frozen
from domain.llm.messages import ChatMessage, ToolDefinition

BYTES_PER_TOKEN = 2
TOKENS_PER_MESSAGE = 8


class Unread(Frozen):
    """What the model has to read at its next step: the input, and what it has not answered yet.

    Args:
        message_count: How many messages.
        token_count: What they are reckoned at.
    """

    message_count: int = 0
    token_count: int = 0


def worst_case(text: str) -> int:
    """Return what a text's tokens are reckoned at."""
    return tokens_of_bytes(len(text.encode()))


def tokens_of_bytes(size: int) -> int:
    """Return what a text of this size in UTF-8 is reckoned at."""
    return -(-size // BYTES_PER_TOKEN)


def worst_case_of_message(message: ChatMessage) -> int:
    """Return what a message is reckoned to add to a prompt."""
    calls = sum(worst_case(call.tool + call.arguments) for call in message.tool_calls)
    given = [message.provider.parts] if message.provider else []
    given += [call.parts for call in message.tool_calls]
    parts = sum(worst_case(_text(each)) for each in given if each)
    count = TOKENS_PER_MESSAGE * (1 + len(message.tool_calls))
    return worst_case(message.content) + calls + parts + count


def worst_case_of_tools(tools: Iterable[ToolDefinition]) -> int:
    """Return what tools' schemas are reckoned to add to a prompt."""
    return sum(worst_case(_text(tool.model_dump())) + TOKENS_PER_MESSAGE * 2 for tool in tools)


def _text(document: dict[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False)
