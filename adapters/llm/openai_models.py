"""OpenAI's chat completions, and everything that speaks them: vLLM, Ollama, our stand-in."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import urlsplit

import openai

from adapters.llm.errors import (
    BROKEN_CONNECTION,
    MALFORMED,
    Fault,
    FaultError,
    incomplete,
    is_too_long,
    is_unsent,
    translated,
    unreadable,
)
from adapters.llm.openai_answer import OpenAIAnswer
from adapters.llm.openai_messages import wire_messages
from adapters.llm.port import CONNECT_SECONDS, Incoming, OnText, Progress
from adapters.llm.reading import a_text
from adapters.llm.refusals import Refusals
from adapters.llm.streams import bodies
from domain.errors import ApplicationError
from domain.llm import FinishReason, ModelReply, ModelRequest

OPENAI_URL = "https://api.openai.com/v1"
_OPENAI_HOSTS = (".openai.com", ".openai.azure.com")


class OpenAIModels:
    """Models behind OpenAI's chat completions.

    Args:
        client: Without retries of its own.
        limit_name: What the server calls the limit of what a model may write.
    """

    def __init__(self, client: openai.AsyncOpenAI, limit_name: str) -> None:
        self._client = client
        self._limit_name = limit_name
        self._refusals = Refusals()

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
        incoming = Incoming(request, on_text, progress)
        answer = OpenAIAnswer(incoming)
        with _our_errors(request.model, progress):
            async with await self._open(request, progress) as chunks:
                incoming.begin()
                async for body in bodies(chunks):
                    answer.take(body)
                    if incoming.is_overrun:
                        return incoming.reply(FinishReason.LENGTH, (), {})
        if answer.finish_reason is None:
            raise incomplete(request.model, progress)
        return incoming.reply(answer.finish_reason, answer.calls, answer.parts)

    async def _open(
        self,
        request: ModelRequest,
        progress: Progress,
    ) -> openai.AsyncStream[object]:
        """Open the stream, asking again without what a refusal names: refusals are free."""
        wire = self._wire(request)
        while True:
            sent = self._refusals.apply(request.model, wire)
            try:
                return await self._post(sent, progress)
            except openai.APIStatusError as error:
                fault = _fault_of(error)
                if is_too_long(fault) or error.status_code not in MALFORMED:
                    raise
                words = f"{fault.message} {error.code or ''}"
                if not self._refusals.learn(request.model, sent, words, error.param):
                    raise
                progress.was_sent = False

    async def _post(
        self,
        wire: dict[str, Any],
        progress: Progress,
    ) -> openai.AsyncStream[object]:
        progress.was_sent = True
        # Reason: as plain objects; the SDK's classes fail on what servers really send.
        return await self._client.post(
            "/chat/completions",
            cast_to=object,
            body=wire,
            stream=True,
            stream_cls=openai.AsyncStream[object],
        )

    def _wire(self, request: ModelRequest) -> dict[str, Any]:
        wire: dict[str, Any] = {
            "model": request.model,
            "messages": wire_messages(request),
            "stream": True,
            "stream_options": {"include_usage": True},
            self._limit_name: request.max_tokens,
            "temperature": request.temperature,
        }
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


def _fault_of(error: openai.APIStatusError) -> Fault:
    codes = (a_text(error.code), a_text(error.type))
    return Fault(error.status_code, a_text(error.message), codes, error.response.headers)


@contextmanager
def _our_errors(model: str, progress: Progress) -> Iterator[None]:
    try:
        yield
    except openai.APIStatusError as error:
        fault = _fault_of(error)
    except FaultError as error:
        fault = error.fault
    except openai.APIConnectionError as error:
        fault = Fault(was_sent=not is_unsent(error))
    except BROKEN_CONNECTION:
        fault = Fault()
    except openai.APIError as error:
        # Reason: an error within a stream has no status; vLLM gives it as its code.
        status = int(error.code) if error.code and error.code.isdigit() else 500
        fault = Fault(status, a_text(error.message), (error.code, a_text(error.type)))
    except ApplicationError:
        raise
    except Exception:  # noqa: BLE001 - whatever an SDK stumbles over is an answer of some shape
        raise unreadable(model, progress) from None
    else:
        return
    raise translated(fault, model, progress) from None
