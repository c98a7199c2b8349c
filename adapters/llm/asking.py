"""How a model is asked, whoever provides it: sent, streamed, and every failure made one of ours."""

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
    """What the bodies of a stream have said so far."""

    @property
    def finish_reason(self) -> FinishReason | None:
        """Why the model stopped; None if it did not say so in a way that we know."""
        ...

    @property
    def calls(self) -> tuple[RequestedCall, ...]:
        """What the model asks for."""
        ...

    @property
    def parts(self) -> Json:
        """What the provider wants back with the message."""
        ...

    def take(self, body: Any) -> None:
        """Add what one body says."""
        ...


class Wire(Protocol):
    """How one kind of provider is spoken to."""

    def request(self, request: ModelRequest) -> Json:
        """Return a request as the provider takes it."""
        ...

    async def post(self, body: Json) -> AbstractAsyncContextManager[Stream]:
        """Send a request, and return its stream as soon as there is one."""
        ...

    def answer(self, incoming: Incoming) -> Answer:
        """Return what reads the bodies of a stream."""
        ...

    def fault_of(self, error: Exception) -> ProviderFault | None:
        """Return what an error of the SDK stands for; None for any other error."""
        ...


async def ask(
    wire: Wire,
    refusals: Refusals,
    request: ModelRequest,
    on_text: OnText,
    progress: Progress,
) -> ModelReply:
    """Ask a model.

    Args:
        wire: How its provider is spoken to.
        refusals: What its models have refused before.
        request: What to ask.
        on_text: Called with each piece of text as it comes.
        progress: Kept up to date, to be read however the call ends.

    Returns:
        The whole answer; one that goes on far past its limit is closed, and told as cut.

    Raises:
        ApplicationError: As `ModelProvider.stream` says.
    """
    incoming = Incoming(request, on_text, progress)
    answer = wire.answer(incoming)
    with _our_errors(wire, request.model, progress):
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
    """Open the stream, asking again without what a refusal names: refusals are free."""
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
def _our_errors(wire: Wire, model: str, progress: Progress) -> Iterator[None]:
    try:
        yield
    except ApplicationError:
        raise
    except ProviderFaultError as error:
        fault = error.fault
    except Exception as error:
        found = wire.fault_of(error)
        if found is None and not isinstance(error, BROKEN_CONNECTION):
            # Reason: whatever an SDK stumbles over is an answer of some shape; the log has it.
            log.exception("model_answer_unreadable", model=model)
            raise unreadable(model, progress) from None
        fault = found or ProviderFault()
    else:
        return
    raise translated(fault, model, progress) from None
