"""Client of OpenAI's chat completions and compatible servers: vLLM, Ollama, our sandbox."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import openai

from adapters.llm.asking import ask
from adapters.llm.errors import (
    ProviderFault,
    is_unsent,
)
from adapters.llm.provider import (
    CONNECT_SECONDS,
    BatchEndpoint,
    Incoming,
    OnText,
    Progress,
)
from adapters.llm.providers.openai_answer import OpenAIAnswer
from adapters.llm.providers.openai_batches import OpenAIBatches
from adapters.llm.providers.openai_messages import wire_messages
from adapters.llm.reading import Json, a_text
from adapters.llm.refusals import Refusals
from domain.llm.json_output import is_strict
from domain.llm.messages import ModelReply, ModelRequest

_OPENAI_HOSTS = (".openai.com", ".openai.azure.com")


class OpenAIModels:
    """Models of OpenAI's chat completions.

    Args:
        client: Client of the SDK, without retries of its own.
        limit_name: Name of the server's parameter for the output limit.
    """

    def __init__(self, client: openai.AsyncOpenAI, limit_name: str) -> None:
        self._client = client
        self._limit_name = limit_name
        self._refusals = Refusals()
        self.batches: BatchEndpoint = OpenAIBatches(client, self, self._refusals)

    @classmethod
    @asynccontextmanager
    async def opened(
        cls,
        base_url: str,
        api_key: str,
        timeout_seconds: float,
    ) -> AsyncIterator["OpenAIModels"]:
        """Open a client; see `Provider`."""
        async with openai.AsyncOpenAI(
            api_key=api_key,
            base_url=base_url,
            timeout=openai.Timeout(timeout_seconds, connect=CONNECT_SECONDS),
            max_retries=0,
        ) as client:
            yield cls(client, limit_name(base_url))

    async def stream(
        self,
        request: ModelRequest,
        on_text: OnText,
        progress: Progress,
    ) -> ModelReply:
        """Call a model; see `ModelProvider`."""
        return await ask(self, self._refusals, request, on_text, progress)

    async def post(self, body: Json) -> openai.AsyncStream[object]:
        """Send a request, and return its stream as soon as it is open."""
        # Reason: plain objects, since the SDK's classes fail on answers of real servers.
        return await self._client.post(
            "/chat/completions",
            cast_to=object,
            body=body,
            stream=True,
            stream_cls=openai.AsyncStream[object],
        )

    def answer(self, incoming: Incoming) -> OpenAIAnswer:
        """Return the reader for the bodies of a stream."""
        return OpenAIAnswer(incoming)

    def fault_of(self, error: Exception) -> ProviderFault | None:
        """Return the provider's fault for an error of the SDK; None for any other error."""
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
        """Return the body of a request in the provider's format."""
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
        if request.output_schema is not None:
            wire["response_format"] = {
                "type": "json_schema",
                "json_schema": {
                    "name": "answer",
                    "schema": request.output_schema,
                    "strict": is_strict(request.output_schema),
                },
            }
        return wire


def limit_name(url: str) -> str:
    """Return the name of a server's parameter for the output limit.

    Args:
        url: Base address of the server.

    Returns:
        Name of the parameter.
    """
    # Reason: OpenAI's reasoning models refuse `max_tokens`. Ollama silently ignores
    # `max_completion_tokens`, so a budget would not hold; vLLM takes either. No server is certain
    # to take both in one request.
    host = f".{urlsplit(url).hostname or ''}"
    return "max_completion_tokens" if host.endswith(_OPENAI_HOSTS) else "max_tokens"


def _fault_of(error: openai.APIStatusError) -> ProviderFault:
    codes = (a_text(error.code), a_text(error.type))
    words, headers = a_text(error.message), error.response.headers
    return ProviderFault(error.status_code, words, codes, headers, param=error.param)


def _fault_within(error: openai.APIError) -> ProviderFault:
    # Reason: an error within a stream has no status; vLLM sends the status as the code.
    status = int(error.code) if error.code and error.code.isdigit() else 500
    return ProviderFault(status, a_text(error.message), (error.code, a_text(error.type)))
