"""OpenAI's chat completions, and everything that speaks them: vLLM, Ollama, our stand-in."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import openai
from openai.types.chat import ChatCompletionChunk
from openai.types.chat.chat_completion_chunk import ChoiceDelta, ChoiceDeltaToolCall

from adapters.llm.errors import BROKEN_CONNECTION, Fault, incomplete, translated
from adapters.llm.port import CONNECT_SECONDS, Incoming, OnText, Progress, arguments_of
from domain.llm import (
    ChatMessage,
    FinishReason,
    ModelReply,
    ModelRequest,
    RequestedCall,
    TokenUsage,
)

OPENAI_URL = "https://api.openai.com/v1"
_OPENAI_HOSTS = (".openai.com", ".openai.azure.com")
_FINISH_REASONS = {
    "stop": FinishReason.STOP,
    "tool_calls": FinishReason.TOOL_CALLS,
    "function_call": FinishReason.TOOL_CALLS,
    "length": FinishReason.LENGTH,
    "content_filter": FinishReason.REFUSED,
}


class OpenAIModels:
    """Models behind OpenAI's chat completions.

    Args:
        client: Without retries of its own.
        limit_name: What the server calls the limit of what a model may write.
    """

    def __init__(self, client: openai.AsyncOpenAI, limit_name: str) -> None:
        self._client = client
        self._limit_name = limit_name
        self._only_default_temperature: set[str] = set()

    @classmethod
    @asynccontextmanager
    async def opened(
        cls,
        base_url: str | None,
        api_key: str,
        timeout_seconds: float,
    ) -> AsyncIterator["OpenAIModels"]:
        """Open a client; the arguments are those of `open_models`."""
        url = base_url or OPENAI_URL
        async with openai.AsyncOpenAI(
            api_key=api_key,
            base_url=url,
            timeout=openai.Timeout(timeout_seconds, connect=CONNECT_SECONDS),
            max_retries=0,
        ) as client:
            yield cls(client, limit_name(url))

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
            async with await self._open(request) as chunks:
                incoming.begin()
                async for chunk in chunks:
                    answer.take(chunk)
        if answer.finish_reason is None:
            raise incomplete(request.model, progress)
        return incoming.reply(answer.finish_reason, answer.calls)

    async def _open(self, request: ModelRequest) -> openai.AsyncStream[ChatCompletionChunk]:
        chunks: openai.AsyncStream[ChatCompletionChunk]
        try:
            chunks = await self._client.chat.completions.create(**self._wire(request))
        except openai.BadRequestError as error:
            if error.param != "temperature":
                raise
            # Reason: reasoning models refuse every temperature; that call was free, and the next
            # ones of this model know.
            self._only_default_temperature.add(request.model)
            chunks = await self._client.chat.completions.create(**self._wire(request))
        return chunks

    def _wire(self, request: ModelRequest) -> dict[str, Any]:
        wire: dict[str, Any] = {
            "model": request.model,
            "messages": [_message(message) for message in request.messages],
            "stream": True,
            "stream_options": {"include_usage": True},
            self._limit_name: request.max_tokens,
        }
        if request.model not in self._only_default_temperature:
            wire["temperature"] = request.temperature
        if request.tools:
            wire["tools"] = [
                {"type": "function", "function": tool.model_dump()} for tool in request.tools
            ]
        return wire


def limit_name(url: str) -> str:
    """Say what the server at an address calls the limit of what a model may write.

    Args:
        url: Its base address.

    Returns:
        The parameter's name.
    """
    # Reason: OpenAI's reasoning models refuse `max_tokens`. Ollama silently ignores
    # `max_completion_tokens`, so a budget would not hold; vLLM takes both. No server takes both at
    # once for certain.
    host = f".{urlsplit(url).hostname or ''}"
    return "max_completion_tokens" if host.endswith(_OPENAI_HOSTS) else "max_tokens"


def _message(message: ChatMessage) -> dict[str, Any]:
    wire: dict[str, Any] = {"role": message.role.value, "content": message.content}
    if message.provider_call_id is not None:
        wire["tool_call_id"] = message.provider_call_id
    if message.tool_calls:
        wire["tool_calls"] = [
            {
                "id": call.provider_call_id,
                "type": "function",
                "function": {"name": call.tool, "arguments": json.dumps(arguments_of(call))},
            }
            for call in message.tool_calls
        ]
    return wire


@dataclass
class _Call:
    """A call while it comes in."""

    provider_call_id: str
    tool: str = ""
    arguments: str = ""


class _Answer:
    """What the chunks have said so far."""

    def __init__(self, incoming: Incoming) -> None:
        self._incoming = incoming
        self._calls: list[_Call] = []
        self._by_index: dict[int, _Call] = {}
        self._has_refused = False
        self._finish_reason: FinishReason | None = None

    @property
    def finish_reason(self) -> FinishReason | None:
        return FinishReason.REFUSED if self._has_refused else self._finish_reason

    @property
    def calls(self) -> tuple[RequestedCall, ...]:
        return tuple(
            RequestedCall(
                provider_call_id=call.provider_call_id,
                tool=call.tool,
                arguments=call.arguments,
            )
            for call in self._calls
        )

    def take(self, chunk: ChatCompletionChunk) -> None:
        """Add what one chunk says."""
        if chunk.usage:
            self._incoming.progress.usage = TokenUsage(
                prompt_tokens=chunk.usage.prompt_tokens or 0,
                completion_tokens=chunk.usage.completion_tokens or 0,
            )
        # Reason: the chunk with the usage has no choices; some servers send null instead.
        for choice in chunk.choices or ():
            if choice.delta:
                self._take_delta(choice.delta)
            if choice.finish_reason:
                # Reason: one that we do not know (vLLM's `abort`) is no end of an answer.
                self._finish_reason = _FINISH_REASONS.get(choice.finish_reason)

    def _take_delta(self, delta: ChoiceDelta) -> None:
        self._incoming.add_text(delta.content)
        if delta.refusal:
            self._has_refused = True
            self._incoming.add_text(delta.refusal)
        for piece in delta.tool_calls or ():
            self._take_call(piece)

    def _take_call(self, piece: ChoiceDeltaToolCall) -> None:
        self._incoming.count_piece()
        index = piece.index or 0
        call = self._by_index.get(index)
        # Reason: some servers give every call the index 0; a new id tells them apart.
        if call is None or (piece.id and piece.id != call.provider_call_id):
            call = _Call(piece.id or f"call_{len(self._calls)}")
            self._calls.append(call)
            self._by_index[index] = call
        if piece.function:
            call.tool = call.tool or piece.function.name or ""
            call.arguments += piece.function.arguments or ""


@contextmanager
def _our_errors(model: str, progress: Progress) -> Iterator[None]:
    try:
        yield
    except openai.APIStatusError as error:
        fault = Fault(
            error.status_code,
            error.message,
            (error.code, error.type),
            error.response.headers,
        )
    except (openai.APIConnectionError, *BROKEN_CONNECTION):
        fault = Fault()
    except openai.APIError as error:
        # Reason: an error within a stream has no status; vLLM gives it as its code.
        status = int(error.code) if error.code and error.code.isdigit() else 500
        fault = Fault(status, error.message, (error.code, error.type))
    else:
        return
    raise translated(fault, model, progress) from None
