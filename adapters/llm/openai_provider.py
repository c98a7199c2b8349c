"""OpenAI's chat completions, and everything that speaks them: vLLM, Ollama, our stand-in."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import openai

from adapters.llm.asking import ask
from adapters.llm.errors import (
    ProviderFault,
    is_unsent,
)
from adapters.llm.openai_answer import OpenAIAnswer
from adapters.llm.openai_messages import wire_messages
from adapters.llm.provider import CONNECT_SECONDS, Incoming, OnText, Progress
from adapters.llm.reading import Json, a_text
from adapters.llm.refusals import Refusals
from domain.llm.messages import ModelReply, ModelRequest

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
        return await ask(self, self._refusals, request, on_text, progress)

    async def post(self, body: Json) -> openai.AsyncStream[object]:
        """Send a request, and return its stream as soon as there is one."""
        # Reason: as plain objects; the SDK's classes fail on what servers really send.
        return await self._client.post(
            "/chat/completions",
            cast_to=object,
            body=body,
            stream=True,
            stream_cls=openai.AsyncStream[object],
        )

    def answer(self, incoming: Incoming) -> OpenAIAnswer:
        """Return what reads the bodies of a stream."""
        return OpenAIAnswer(incoming)

    def fault_of(self, error: Exception) -> ProviderFault | None:
        """Return what an error of the SDK stands for; None for any other error."""
        match error:
            case openai.APIStatusError():
                return _fault_of(error)
            case openai.APIConnectionError():
                return ProviderFault(was_sent=not is_unsent(error))
            case openai.APIError():
                return _fault_within(error)
            case _:
                return None

    def request(self, request: ModelRequest) -> Json:
        """Return a request as the provider takes it."""
        wire: Json = {
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


def _fault_of(error: openai.APIStatusError) -> ProviderFault:
    codes = (a_text(error.code), a_text(error.type))
    words, headers = a_text(error.message), error.response.headers
    return ProviderFault(error.status_code, words, codes, headers, param=error.param)


def _fault_within(error: openai.APIError) -> ProviderFault:
    # Reason: an error within a stream has no status; vLLM gives it as its code.
    status = int(error.code) if error.code and error.code.isdigit() else 500
    return ProviderFault(status, a_text(error.message), (error.code, a_text(error.type)))
