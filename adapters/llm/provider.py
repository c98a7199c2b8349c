"""Interface of model providers, and the code that all providers share."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from domain.agents.run_events import storable
from domain.errors import InvalidInputError
from domain.llm.calls_as_text import has_call_as_text
from domain.llm.messages import FinishReason, ModelReply, ModelRequest, RequestedCall, TokenUsage
from domain.llm.token_estimates import TOKENS_PER_MESSAGE, estimate_tokens
from domain.llm.tool_arguments import read_arguments

CONNECT_SECONDS = 5.0
# How far a server may exceed its output limit before its stream is closed.
OVERRUN_PIECES = 2
OVERRUN_BYTES = 32
OVERRUN_SLACK = 1_024

OnText = Callable[[str], None]


@dataclass
class Progress:
    """Progress of a call: what there is to pay for, however the call ends.

    Args:
        has_begun: Whether the provider has begun to answer, so that the prompt is paid for.
        token_count: Number of received pieces of text, of reasoning and of tool calls.
        usage: Usage that the provider reported so far, if any; final only if `is_final`.
        was_sent: Whether the request may have reached a model: the connection did not fail, and
            no status refused it. Even without output it may then cost its whole reservation.
        is_final: Whether `usage` is the provider's final report on the whole answer.
        call_count: Number of tool calls that have begun to arrive.
        pieces: All received pieces of the answer: text, visible reasoning, names and arguments
            of tool calls.
    """

    has_begun: bool = False
    token_count: int = 0
    usage: TokenUsage | None = None
    was_sent: bool = False
    is_final: bool = False
    call_count: int = 0
    pieces: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All received output."""
        return "".join(self.pieces)

    @property
    def estimated_tokens(self) -> int:
        """Estimate of the received output; a call costs more than its name and arguments."""
        return estimate_tokens(self.text) + TOKENS_PER_MESSAGE * self.call_count

    def see_call(self) -> None:
        """Record that a tool call begins."""
        self.call_count += 1

    def see(self, piece: str) -> None:
        """Record a piece of the answer."""
        self.token_count += 1
        self.pieces.append(piece)


class BatchResult(NamedTuple):
    """What became of a batch.

    Args:
        error_code: Why it has no answer to our request; None if it may have one.
        status: HTTP status of the answer to our request.
        body: Body of that answer.
        provider_code: The provider's code of the error, if it named one.
    """

    error_code: str | None
    status: int | None = None
    body: Any = None
    provider_code: str = ""


class BatchEndpoint(Protocol):
    """Batch endpoint of a provider."""

    async def create(self, request: ModelRequest, key: str) -> str:
        """Create a batch with one request, and return the provider's id of it.

        Args:
            request: Request to send.
            key: Our key of the call, by which `find` finds the batch.

        Raises:
            ProviderUnavailableError: A later attempt may succeed; the batch may exist all the same.
            ProviderRejectedError: The provider refused, or has no such endpoint.
        """
        ...

    async def find(self, key: str, since: datetime) -> str | None:
        """Return the id of the batch that was created under a key; None if there is none.

        Args:
            key: Our key of the call.
            since: When the call began.

        Raises:
            ApplicationError: The provider cannot be asked.
        """
        ...

    async def fetch(self, batch_id: str, key: str) -> BatchResult | None:
        """Return what became of a batch; None while it is under way.

        Raises:
            ApplicationError: The provider cannot be asked.
        """
        ...

    def read(self, result: BatchResult, request: ModelRequest, progress: Progress) -> ModelReply:
        """Return the answer in a result.

        Args:
            result: What became of the batch.
            request: The request.
            progress: Updated with what there is to pay for.

        Raises:
            ProviderUnavailableError: Another batch may have the answer.
            ProviderRejectedError: There is none.
        """
        ...

    async def cancel(self, batch_id: str) -> None:
        """Ask the provider to cancel a batch; one that has ended stays as it is.

        Raises:
            ApplicationError: The provider cannot be asked.
        """
        ...


class ModelProvider(Protocol):
    """Provider of models."""

    @property
    def batches(self) -> BatchEndpoint | None:
        """Batch endpoint of the provider; None if it has none that can be used."""
        ...

    async def stream(
        self,
        request: ModelRequest,
        on_text: OnText,
        progress: Progress,
    ) -> ModelReply:
        """Call a model; cancelling the awaiting task closes the connection at once.

        Args:
            request: Request to send.
            on_text: Called with each piece of text as it arrives.
            progress: Updated during the call, to be read however the call ends.

        Returns:
            The whole answer.

        Raises:
            ProviderUnavailableError: A retry can help: `model_unavailable`,
                `model_rate_limited`, `model_stream_incomplete`.
            ProviderRejectedError: A retry cannot help: `model_rejected`, `model_credentials`,
                `model_not_found`, `model_context_too_long` (with `limit_tokens` in `details` if
                the provider names it), `model_request_too_large`, `model_answer_unreadable`.
        """
        ...


class Incoming:
    """Answer while it is received.

    Args:
        request: Request that was sent.
        on_text: Called with each piece of text.
        progress: Updated with everything that is received.
    """

    def __init__(self, request: ModelRequest, on_text: OnText, progress: Progress) -> None:
        self._request = request
        self._on_text = on_text
        self._pieces: list[str] = []
        self._byte_count = 0
        self.progress = progress

    @property
    def is_overrun(self) -> bool:
        """Whether the output is far beyond the limit that the server was given.

        Such output would be paid for until the step times out, and again after its retry.
        """
        limit, count = self._request.max_tokens, self.progress.token_count
        most = OVERRUN_PIECES * limit + OVERRUN_SLACK
        return count > most or self._byte_count > OVERRUN_BYTES * limit + OVERRUN_SLACK

    def begin(self) -> None:
        """Record that the provider has begun to answer."""
        self.progress.has_begun = True

    def add_text(self, piece: str) -> None:
        """Add a piece of text; ignore an empty piece."""
        if not piece:
            return
        # Reason: PostgreSQL stores neither NUL nor half of a surrogate pair.
        piece = piece.replace("\x00", "").encode("utf-8", "replace").decode()
        self.see(piece)
        self._pieces.append(piece)
        self._on_text(piece)

    def see(self, piece: str) -> None:
        """Record a piece of the answer, also reasoning or a part of a tool call."""
        self.progress.see(piece)
        self._byte_count += len(piece.encode())

    def begin_call(self) -> None:
        """Record that a tool call begins."""
        self.progress.see_call()

    def report(self, usage: TokenUsage, *, is_final: bool) -> None:
        """Record the usage that the provider has reported so far."""
        self.progress.usage = usage
        self.progress.is_final = is_final

    def reply(
        self,
        finish_reason: FinishReason,
        calls: tuple[RequestedCall, ...],
        parts: dict[str, Any],
    ) -> ModelReply:
        """Return the whole answer.

        Args:
            finish_reason: Finish reason that the provider reported.
            calls: Tool calls that the model requests.
            parts: Provider's data to send back beside text and calls.

        Returns:
            The answer. Calls are kept only if the model ended by itself: arguments that a limit
            cut off may still look complete, and would do something else than intended.
        """
        if finish_reason in {FinishReason.STOP, FinishReason.TOOL_CALLS}:
            # Reason: some servers send `stop` beside calls, and some `tool_calls` without calls.
            finish_reason = FinishReason.TOOL_CALLS if calls else FinishReason.STOP
        else:
            calls = ()
        text = "".join(self._pieces)
        tools = [tool.name for tool in self._request.tools]
        return ModelReply(
            text=text,
            tool_calls=tuple(
                call.model_copy(update={"parts": storable(call.parts)}) for call in calls
            ),
            finish_reason=finish_reason,
            usage=self.progress.usage,
            parts=storable(parts),
            has_call_as_text=not calls and has_call_as_text(text, tools),
        )


def arguments_of(call: RequestedCall) -> dict[str, Any]:
    """Return a past call's arguments as an object, since servers refuse broken JSON."""
    try:
        return read_arguments(call.arguments)
    except InvalidInputError:
        return {"malformed_arguments": call.arguments}
