"""Anthropic's messages."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import anthropic

from adapters.llm.anthropic_answer import AnthropicAnswer
from adapters.llm.errors import (
    BROKEN_CONNECTION,
    STATUSES,
    Fault,
    FaultError,
    incomplete,
    is_unsent,
    translated,
    unreadable,
)
from adapters.llm.port import CONNECT_SECONDS, Incoming, OnText, Progress, arguments_of
from adapters.llm.streams import bodies
from domain.errors import ApplicationError
from domain.llm import ChatMessage, ModelReply, ModelRequest, Role

ANTHROPIC_URL = "https://api.anthropic.com"


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
        incoming = Incoming(request, on_text, progress)
        answer = AnthropicAnswer(incoming)
        with _our_errors(request.model, progress):
            async with await self._post(request, progress) as events:
                incoming.begin()
                async for body in bodies(events):
                    answer.take(body)
        if answer.finish_reason is None:
            raise incomplete(request.model, progress)
        return incoming.reply(answer.finish_reason, answer.calls, answer.parts)

    async def _post(
        self,
        request: ModelRequest,
        progress: Progress,
    ) -> anthropic.AsyncStream[object]:
        progress.was_sent = True
        # Reason: as plain objects; the SDK's classes fail on what servers really send.
        return await self._client.post(
            "/v1/messages",
            cast_to=object,
            body=_wire(request),
            stream=True,
            stream_cls=anthropic.AsyncStream[object],
        )


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


@contextmanager
def _our_errors(model: str, progress: Progress) -> Iterator[None]:
    try:
        yield
    except anthropic.APIStatusError as error:
        status = error.status_code
        # Reason: an error within a stream comes with the status of the stream, which is 200.
        if status < 400:
            status = STATUSES.get(error.type or "", 500)
        fault = Fault(
            status,
            error.api_message or "",
            (error.error_code, error.type),
            error.response.headers,
        )
    except FaultError as error:
        fault = error.fault
    except anthropic.APIConnectionError as error:
        fault = Fault(was_sent=not is_unsent(error))
    except BROKEN_CONNECTION:
        fault = Fault()
    except anthropic.APIError as error:
        fault = Fault(500, error.message)
    except ApplicationError:
        raise
    except Exception:  # noqa: BLE001 - whatever an SDK stumbles over is an answer of some shape
        raise unreadable(model, progress) from None
    else:
        return
    raise translated(fault, model, progress) from None
