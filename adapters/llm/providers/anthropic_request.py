"""Builds requests in the format of Anthropic's Messages API."""

from typing import Any

from adapters.llm.provider import arguments_of
from adapters.llm.providers.anthropic_answer import THINKING
from adapters.llm.reading import an_object, count_of, objects
from adapters.llm.turns import own_parts, sent_ids, turns_of
from domain.llm.messages import ChatMessage, ModelRequest, Role

Block = dict[str, Any]


def wire_request(request: ModelRequest) -> dict[str, Any]:
    """Return the body of a request in Anthropic's format.

    Args:
        request: Request to send.
    """
    # Reason: no temperature is sent, since the SDK has deprecated it and newer models refuse it.
    wire: dict[str, Any] = {
        "model": request.model,
        "messages": _turns(request),
        "max_tokens": request.max_tokens,
        "stream": True,
    }
    system = [
        {"type": "text", "text": message.content}
        for message in request.messages
        if message.role is Role.SYSTEM and message.content.strip()
    ]
    if system:
        wire["system"] = system
    if request.tools:
        wire["tools"] = [
            {
                "name": tool.name,
                "description": tool.description,
                "input_schema": tool.parameters,
            }
            for tool in request.tools
        ]
    if request.output_schema is not None:
        output = {"type": "json_schema", "schema": request.output_schema}
        wire["output_config"] = {"format": output}
    return wire


def _turns(request: ModelRequest) -> list[dict[str, Any]]:
    """Return alternating turns of user and assistant; tool results are part of the user's."""
    ids = sent_ids(request)
    turns: list[dict[str, Any]] = []
    for message in turns_of(request):
        if message.role is Role.SYSTEM or not (blocks := _blocks(message, request, ids)):
            continue
        role = "assistant" if message.role is Role.ASSISTANT else "user"
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"].extend(blocks)
        else:
            turns.append({"role": role, "content": blocks})
    return turns


def _blocks(message: ChatMessage, request: ModelRequest, ids: dict[str, str]) -> list[Block]:
    if message.role is Role.TOOL:
        call_id = message.provider_call_id or ""
        return [
            {
                "type": "tool_result",
                "tool_use_id": ids.get(call_id, call_id),
                "content": message.content,
            }
        ]
    provider = own_parts(message, request)
    # Reason: Anthropic refuses a text block of nothing but blanks.
    blocks: list[Block] = []
    if message.content.strip():
        blocks.append({"type": "text", "text": message.content})
    for call in message.tool_calls:
        parts = call.parts if provider is not None else {}
        use = {"type": "tool_use", "id": ids[call.provider_call_id], "name": call.tool}
        blocks.append({**parts, **use, "input": arguments_of(call)})
    if provider is not None and blocks:
        _insert_thinking(blocks, provider.parts)
    return blocks


def _insert_thinking(blocks: list[Block], parts: dict[str, Any]) -> None:
    """Insert thinking blocks at their original positions, which their signatures cover."""
    for shift, found in enumerate(objects(parts.get(THINKING))):
        position = min(count_of(found.get("place")) + shift, len(blocks))
        blocks.insert(position, an_object(found.get("block")))
