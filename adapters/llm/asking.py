"""Calls a model of any provider: sends, streams, and translates every failure."""

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, Protocol

import structlog

from adapters.llm.errors import (
    BROKEN_CONNECTION,
    MALFORMED,
    ProviderFault,
    ProviderFaultError,
    incomplete,
    is_too_long,
    translated,
    unreadable,
)
from adapters.llm.provider import Incoming, OnText, Progress
from adapters.llm.reading import Json
from adapters.llm.refusals import Refusals
from adapters.llm.streams import Stream, bodies
from domain.errors import ApplicationError
from domain.llm.messages import FinishReason, ModelReply, ModelRequest, RequestedCall

log = structlog.get_logger(__name__)


class Answer(Protocol):
    """Answer of a model, collected from the bodies of a stream."""

    @property
    def finish_reason(self) -> FinishReason | None:
        """Reason why the model stopped; None if it is missing or unknown."""
        ...

    @property
    def calls(self) -> tuple[RequestedCall, ...]:
        """Tool calls that the model requests."""
        ...

    @property
    def parts(self) -> Json:
        """Provider's data that must be sent back with the message."""
        ...

    def take(self, body: Any) -> None:
        """Read one body."""
        ...


class Wire(Protocol):
    """Protocol of one kind of provider."""

    def request(self, request: ModelRequest) -> Json:
        """Return the body of a request in the provider's format."""
        ...

    async def post(self, body: Json) -> AbstractAsyncContextManager[Stream]:
        """Send a request, and return its stream as soon as it is open."""
        ...

    def answer(self, incoming: Incoming) -> Answer:
        """Return the reader for the bodies of a stream."""
        ...

    def fault_of(self, error: Exception) -> ProviderFault | None:
        """Return the provider's fault for an error of the SDK; None for any other error."""
        ...


async def ask(
    wire: Wire,
    refusals: Refusals,
    request: ModelRequest,
    on_text: OnText,
    progress: Progress,
) -> ModelReply:
    """Call a model.

    Args:
        wire: Protocol of the model's provider.
        refusals: Parameters that the models have refused before.
        request: Request to send.
        on_text: Called with each piece of text as it arrives.
        progress: Updated during the call, to be read however the call ends.

    Returns:
        The whole answer; an answer far beyond its limit is closed and marked as cut off.

    Raises:
        ApplicationError: See `ModelProvider.stream`.
    """
    incoming = Incoming(request, on_text, progress)
    answer = wire.answer(incoming)
    with translate_errors(wire, request.model, progress):
        async with await _open(wire, refusals, request, progress) as stream:
            incoming.begin()
            async for body in bodies(stream):
                answer.take(body)
                if incoming.is_overrun:
                    return incoming.reply(FinishReason.LENGTH, (), {})
    if answer.finish_reason is None:
        raise incomplete(request.model, progress)
    return incoming.reply(answer.finish_reason, answer.calls, answer.parts)


async def _open(
    wire: Wire,
    refusals: Refusals,
    request: ModelRequest,
    progress: Progress,
) -> AbstractAsyncContextManager[Stream]:
    """Open the stream; after a refusal, which is free, send again without what it names."""
    body = wire.request(request)
    while True:
        sent = refusals.apply(request.model, body)
        progress.was_sent = True
        try:
            return await wire.post(sent)
        except Exception as error:
            fault = wire.fault_of(error)
            if fault is None or is_too_long(fault) or fault.status not in MALFORMED:
                raise
            words = f"{fault.message} {fault.codes[0] or ''}"
            if not refusals.learn(request.model, sent, words, fault.param):
                raise
            progress.was_sent = False


@contextmanager
def translate_errors(wire: Wire, model: str, progress: Progress) -> Iterator[None]:
    """Translate what is raised in a block into our own errors.

    Args:
        wire: Protocol of the provider that is called.
        model: Model that is called.
        progress: Progress of the call; its `was_sent` is updated.

    Raises:
        ApplicationError: See `ModelProvider.stream`.
    """
    try:
        yield
    except ApplicationError:
        raise
    except ProviderFaultError as error:
        fault = error.fault
    except Exception as error:
        found = wire.fault_of(error)
        if found is None and not isinstance(error, BROKEN_CONNECTION):
            # Reason: any other error of an SDK means an unreadable answer; details are in the log.
            log.exception("model_answer_unreadable", model=model)
            raise unreadable(model, progress) from None
        fault = found or ProviderFault()
    else:
        return
    raise translated(fault, model, progress) from None
