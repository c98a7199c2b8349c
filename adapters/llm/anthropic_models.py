"""Anthropic's messages."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import anthropic
from anthropic.types import (
    MessageDeltaUsage,
    RawContentBlockDeltaEvent,
    RawContentBlockStartEvent,
    RawMessageStreamEvent,
    Usage,
)

from adapters.llm.errors import BROKEN_CONNECTION, Fault, incomplete, translated
from adapters.llm.port import CONNECT_SECONDS, Incoming, OnText, Progress, arguments_of
from domain.llm import (
    ChatMessage,
    FinishReason,
    ModelReply,
    ModelRequest,
    RequestedCall,
    Role,
    TokenUsage,
)

ANTHROPIC_URL = "https://api.anthropic.com"
_FINISH_REASONS = {
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "tool_use": FinishReason.TOOL_CALLS,
    "max_tokens": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "refusal": FinishReason.REFUSED,
}
# What an error within a stream would have been as a status.
_STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
}


class AnthropicModels:
    """Models behind Anthropic's messages.

    Args:
        client: Without retries of its own.
    """

    def __init__(self, client: anthropic.AsyncAnthropic) -> None:
        self._client = client

    @classmethod
    @asynccontextmanager
    async def opened(
        cls,
        base_url: str | None,
        api_key: str,
        timeout_seconds: float,
    ) -> AsyncIterator["AnthropicModels"]:
        """Open a client; the arguments are those of `open_models`."""
        # Reason: this SDK adds `/v1` by itself, and one setting serves both.
        url = (base_url or ANTHROPIC_URL).rstrip("/").removesuffix("/v1")
        async with anthropic.AsyncAnthropic(
            api_key=api_key,
            base_url=url,
            timeout=anthropic.Timeout(timeout_seconds, connect=CONNECT_SECONDS),
            max_retries=0,
        ) as client:
            yield cls(client)

    async def stream(
        self,
        request: ModelRequest,
        on_text: OnText,
        progress: Progress,
    ) -> ModelReply:
        """Ask a model; see `ModelProvider`."""
        incoming = Incoming(on_text, progress)
        answer = _Answer(incoming)
        with _our_errors(request.model, progress):
            async with await self._client.messages.create(**_wire(request)) as events:
                incoming.begin()
                async for event in events:
                    answer.take(event)
        if answer.finish_reason is None:
            raise incomplete(request.model, progress)
        return incoming.reply(answer.finish_reason, answer.calls)


def _wire(request: ModelRequest) -> dict[str, Any]:
    # Reason: the temperature stays out; this SDK has given it up, and newer models refuse it.
    wire: dict[str, Any] = {
        "model": request.model,
        "messages": _turns(request.messages),
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
    return wire


def _turns(messages: tuple[ChatMessage, ...]) -> list[dict[str, Any]]:
    """Make turns of messages: user and assistant in alternation, tool results being the user's."""
    turns: list[dict[str, Any]] = []
    for message in messages:
        if message.role is Role.SYSTEM or not (blocks := _blocks(message)):
            continue
        role = "assistant" if message.role is Role.ASSISTANT else "user"
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"].extend(blocks)
        else:
            turns.append({"role": role, "content": blocks})
    return turns


def _blocks(message: ChatMessage) -> list[dict[str, Any]]:
    if message.role is Role.TOOL:
        return [
            {
                "type": "tool_result",
                "tool_use_id": message.provider_call_id,
                "content": message.content,
            },
        ]
    # Reason: a block of nothing but blanks is refused.
    texts = [{"type": "text", "text": message.content}] if message.content.strip() else []
    calls = [
        {
            "type": "tool_use",
            "id": call.provider_call_id,
            "name": call.tool,
            "input": arguments_of(call),
        }
        for call in message.tool_calls
    ]
    return [*texts, *calls]


class _Answer:
    """What the events have said so far."""

    def __init__(self, incoming: Incoming) -> None:
        self._incoming = incoming
        self._calls: dict[int, RequestedCall] = {}
        self._inputs: dict[int, str] = {}
        self.finish_reason: FinishReason | None = None

    @property
    def calls(self) -> tuple[RequestedCall, ...]:
        return tuple(
            call.model_copy(update={"arguments": self._inputs.get(index) or call.arguments})
            for index, call in sorted(self._calls.items())
        )

    def take(self, event: RawMessageStreamEvent) -> None:
        """Add what one event says."""
        match event.type:
            case "message_start":
                self._take_usage(event.message.usage)
            case "content_block_start":
                self._take_block(event)
            case "content_block_delta":
                self._take_delta(event)
            case "message_delta":
                self._take_usage(event.usage)
                if event.delta.stop_reason:
                    self.finish_reason = _FINISH_REASONS.get(event.delta.stop_reason)
            case _:
                pass

    def _take_usage(self, found: Usage | MessageDeltaUsage | None) -> None:
        """Read the usage, which the last event counts in all; what it leaves out stays."""
        if found is None:
            return
        known = self._incoming.progress.usage or TokenUsage()
        prompt = (
            (found.input_tokens or 0)
            + (found.cache_creation_input_tokens or 0)
            + (found.cache_read_input_tokens or 0)
        )
        self._incoming.progress.usage = TokenUsage(
            prompt_tokens=max(known.prompt_tokens, prompt),
            completion_tokens=max(known.completion_tokens, found.output_tokens or 0),
        )

    def _take_block(self, event: RawContentBlockStartEvent) -> None:
        block = event.content_block
        if block.type == "text":
            self._incoming.add_text(block.text)
        elif block.type == "tool_use":
            self._incoming.count_piece()
            self._calls[event.index] = RequestedCall(
                provider_call_id=block.id,
                tool=block.name,
                arguments=json.dumps(block.input or {}),
            )

    def _take_delta(self, event: RawContentBlockDeltaEvent) -> None:
        delta = event.delta
        if delta.type == "text_delta":
            self._incoming.add_text(delta.text)
        elif delta.type == "input_json_delta":
            self._incoming.count_piece()
            self._inputs[event.index] = self._inputs.get(event.index, "") + delta.partial_json


@contextmanager
def _our_errors(model: str, progress: Progress) -> Iterator[None]:
    try:
        yield
    except anthropic.APIStatusError as error:
        status = error.status_code
        # Reason: an error within a stream comes with the status of the stream, which is 200.
        if status < 400:
            status = _STATUSES.get(error.type or "", 500)
        fault = Fault(
            status,
            error.api_message or "",
            (error.error_code, error.type),
            error.response.headers,
        )
    except (anthropic.APIConnectionError, *BROKEN_CONNECTION):
        fault = Fault()
    except anthropic.APIError as error:
        fault = Fault(500, error.message)
    else:
        return
    raise translated(fault, model, progress) from None
