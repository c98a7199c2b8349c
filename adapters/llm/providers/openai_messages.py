"""Builds messages in the format of OpenAI's chat completions."""

import json
from typing import Any

from adapters.llm.provider import arguments_of
from adapters.llm.providers.openai_answer import EXTRA, REASONING_FIELDS
from adapters.llm.turns import own_parts, sent_ids, turns_of
from domain.llm.messages import ChatMessage, ModelRequest, ProviderParts, RequestedCall


def wire_messages(request: ModelRequest) -> list[dict[str, Any]]:
    """Return the messages of a request in OpenAI's format.

    Args:
        request: Request to send.
    """
    ids = sent_ids(request)
    return [_message(message, ids, own_parts(message, request)) for message in turns_of(request)]


def _message(
    message: ChatMessage,
    ids: dict[str, str],
    provider: ProviderParts | None,
) -> dict[str, Any]:
    wire: dict[str, Any] = {"role": message.role.value, "content": message.content}
    if provider is not None:
        # Reason: DeepSeek and Kimi require the reasoning beside its tool calls; beside an answer
        # it is of no use, and some servers refuse it there.
        sent_names = {EXTRA, *REASONING_FIELDS} if message.tool_calls else {EXTRA}
        wire |= {name: part for name, part in provider.parts.items() if name in sent_names}
    if message.provider_call_id is not None:
        wire["tool_call_id"] = ids.get(message.provider_call_id, message.provider_call_id)
    if message.tool_calls:
        wire["tool_calls"] = [
            _call(call, ids[call.provider_call_id], provider) for call in message.tool_calls
        ]
    return wire


def _call(call: RequestedCall, id: str, provider: ProviderParts | None) -> dict[str, Any]:
    parts = dict(call.parts) if provider is not None else {}
    function = parts.pop("function", {}) | {
        "name": call.tool,
        "arguments": json.dumps(arguments_of(call)),
    }
    return parts | {"id": id, "type": "function", "function": function}
