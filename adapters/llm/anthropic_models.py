"""Anthropic's messages."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import anthropic

from adapters.llm.anthropic_answer import AnthropicAnswer
from adapters.llm.anthropic_request import wire_request
from adapters.llm.errors import (
    BROKEN_CONNECTION,
    MALFORMED,
    STATUSES,
    Fault,
    FaultError,
    incomplete,
    is_too_long,
    is_unsent,
    translated,
    unreadable,
)
from adapters.llm.port import CONNECT_SECONDS, Incoming, OnText, Progress
from adapters.llm.reading import a_text
from adapters.llm.refusals import Refusals
from adapters.llm.streams import bodies
from domain.errors import ApplicationError
from domain.llm import FinishReason, ModelReply, ModelRequest

ANTHROPIC_URL = "https://api.anthropic.com"


class AnthropicModels:
    """Models behind Anthropic's messages.

    Args:
        client: Without retries of its own.
    """

    def __init__(self, client: anthropic.AsyncAnthropic) -> None:
        self._client = client
        self._refusals = Refusals()

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
            async with await self._open(request, progress) as events:
                incoming.begin()
                async for body in bodies(events):
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
    ) -> anthropic.AsyncStream[object]:
        """Open the stream, asking again without what a refusal names: refusals are free."""
        wire = wire_request(request)
        while True:
            sent = self._refusals.apply(request.model, wire)
            try:
                return await self._post(sent, progress)
            except anthropic.APIStatusError as error:
                fault = _fault_of(error)
                if is_too_long(fault) or error.status_code not in MALFORMED:
                    raise
                if not self._refusals.learn(request.model, sent, fault.message, None):
                    raise
                progress.was_sent = False

    async def _post(
        self,
        wire: dict[str, Any],
        progress: Progress,
    ) -> anthropic.AsyncStream[object]:
        progress.was_sent = True
        # Reason: as plain objects; the SDK's classes fail on what servers really send.
        return await self._client.post(
            "/v1/messages",
            cast_to=object,
            body=wire,
            stream=True,
            stream_cls=anthropic.AsyncStream[object],
        )


def _fault_of(error: anthropic.APIStatusError) -> Fault:
    # Reason: an error within a stream comes with the status of the stream, which is 200.
    is_within = error.status_code < 400
    codes = (a_text(error.error_code), a_text(error.type))
    status = STATUSES.get(codes[1], 500) if is_within else error.status_code
    words = a_text(error.api_message) or a_text(error.message)
    return Fault(status, words, codes, error.response.headers)


@contextmanager
def _our_errors(model: str, progress: Progress) -> Iterator[None]:
    try:
        yield
    except anthropic.APIStatusError as error:
        fault = _fault_of(error)
    except FaultError as error:
        fault = error.fault
    except anthropic.APIConnectionError as error:
        fault = Fault(was_sent=not is_unsent(error))
    except BROKEN_CONNECTION:
        fault = Fault()
    except anthropic.APIError as error:
        fault = Fault(500, a_text(error.message))
    except ApplicationError:
        raise
    except Exception:  # noqa: BLE001 - whatever an SDK stumbles over is an answer of some shape
        raise unreadable(model, progress) from None
    else:
        return
    raise translated(fault, model, progress) from None
