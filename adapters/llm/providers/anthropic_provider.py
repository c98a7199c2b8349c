"""Client of Anthropic's Messages API."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anthropic

from adapters.llm.asking import ask
from adapters.llm.errors import (
    STATUSES,
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
from adapters.llm.providers.anthropic_answer import AnthropicAnswer
from adapters.llm.providers.anthropic_request import wire_request
from adapters.llm.reading import Json, a_text
from adapters.llm.refusals import Refusals
from domain.llm.messages import ModelReply, ModelRequest


class AnthropicModels:
    """Models of Anthropic's Messages API.

    Args:
        client: Client of the SDK, without retries of its own.
    """

    def __init__(self, client: anthropic.AsyncAnthropic) -> None:
        self._client = client
        self._refusals = Refusals()
        # Reason: a batch there cannot be found again by anything of ours while it is under way, so
        # that an answer lost after its creation would be paid for twice.
        self.batches: BatchEndpoint | None = None

    @classmethod
    @asynccontextmanager
    async def opened(
        cls,
        base_url: str,
        api_key: str,
        timeout_seconds: float,
    ) -> AsyncIterator["AnthropicModels"]:
        """Open a client; see `Provider`."""
        # Reason: this SDK adds `/v1` by itself, and one setting serves all providers.
        url = base_url.rstrip("/").removesuffix("/v1")
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
        """Call a model; see `ModelProvider`."""
        return await ask(self, self._refusals, request, on_text, progress)

    async def post(self, body: Json) -> anthropic.AsyncStream[object]:
        """Send a request, and return its stream as soon as it is open."""
        # Reason: plain objects, since the SDK's classes fail on answers of real servers.
        return await self._client.post(
            "/v1/messages",
            cast_to=object,
            body=body,
            stream=True,
            stream_cls=anthropic.AsyncStream[object],
        )

    def request(self, request: ModelRequest) -> Json:
        """Return the body of a request in the provider's format."""
        return wire_request(request)

    def answer(self, incoming: Incoming) -> AnthropicAnswer:
        """Return the reader for the bodies of a stream."""
        return AnthropicAnswer(incoming)

    def fault_of(self, error: Exception) -> ProviderFault | None:
        """Return the provider's fault for an error of the SDK; None for any other error."""
        match error:
            case anthropic.APIStatusError():
                return _fault_of(error)
            case anthropic.APIConnectionError():
                return ProviderFault(was_sent=not is_unsent(error))
            case anthropic.APIError():
                return _fault_within(error)
            case _:
                return None


def _fault_of(error: anthropic.APIStatusError) -> ProviderFault:
    # Reason: an error within a stream comes with the status of the stream, which is 200.
    is_within = error.status_code < 400
    codes = (a_text(error.error_code), a_text(error.type))
    status = STATUSES.get(codes[1], 500) if is_within else error.status_code
    words = a_text(error.api_message) or a_text(error.message)
    return ProviderFault(status, words, codes, error.response.headers)


def _fault_within(error: anthropic.APIError) -> ProviderFault:
    return ProviderFault(500, a_text(error.message))
