"""How many tokens a text can be at the most, for whoever has no tokenizer of its model. Pure."""

import json
from collections.abc import Iterable
from typing import Any

from domain.llm import ChatMessage, ToolDefinition

BYTES_PER_TOKEN = 2
TOKENS_PER_MESSAGE = 8


def worst_case(text: str) -> int:
    """Return an upper bound of a text's tokens: common tokenizers take 3 to 4 bytes for one."""
    return -(-len(text.encode()) // BYTES_PER_TOKEN)


def worst_case_of_message(message: ChatMessage) -> int:
    """Return an upper bound of what one message adds to a prompt."""
    calls = sum(worst_case(call.tool + call.arguments) for call in message.tool_calls)
    count = TOKENS_PER_MESSAGE * (1 + len(message.tool_calls))
    return worst_case(message.content) + calls + count


def worst_case_of_tools(tools: Iterable[ToolDefinition]) -> int:
    """Return an upper bound of what tools' schemas add to a prompt."""
    return sum(worst_case(_text(tool.model_dump())) + TOKENS_PER_MESSAGE * 2 for tool in tools)


def _text(document: dict[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False)
