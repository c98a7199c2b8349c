"""What every provider of models can do, and the pieces that all of them share."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from domain.errors import InvalidInputError
from domain.llm import FinishReason, ModelReply, ModelRequest, RequestedCall, TokenUsage
from domain.repairs import read_arguments
from domain.run_events import storable
from domain.tokens import TOKENS_PER_MESSAGE, worst_case
from domain.written_calls import has_call_as_text

CONNECT_SECONDS = 5.0
# What a server may write past the limit that it was given, before its stream is closed.
OVERRUN_PIECES = 2
OVERRUN_BYTES = 32
OVERRUN_SLACK = 1_024

OnText = Callable[[str], None]


@dataclass
class Progress:
    """How far a call has come: what there is to pay for, however it ends.

    Args:
        has_begun: Whether the provider has begun to answer, so that the prompt is paid for.
        token_count: Pieces of text, of reasoning and of tool calls that came.
        usage: What the provider reported so far, if anything; final only if `is_final`.
        was_sent: Whether the request may have reached a model: no connection that failed, no
            refusal by status. If nothing was seen then, it may have cost its whole reservation.
        is_final: Whether `usage` is the provider's last word on the whole answer.
        call_count: How many tool calls have begun to come.
        pieces: All that was seen of the answer: text, visible reasoning, names and arguments of
            tool calls.
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
        """All that was seen of the answer."""
        return "".join(self.pieces)

    @property
    def reckoned_tokens(self) -> int:
        """What was seen is reckoned at; a call costs more than its name and its arguments."""
        return worst_case(self.text) + TOKENS_PER_MESSAGE * self.call_count

    def see_call(self) -> None:
        """Note that a tool call begins."""
        self.call_count += 1

    def see(self, piece: str) -> None:
        """Note a piece of the answer."""
        self.token_count += 1
        self.pieces.append(piece)


class ModelProvider(Protocol):
    """A provider of models."""

    async def stream(
        self,
        request: ModelRequest,
        on_text: OnText,
        progress: Progress,
    ) -> ModelReply:
        """Ask a model; cancelling the awaiting task closes the connection at once.

        Args:
            request: What to ask.
            on_text: Called with each piece of text as it comes.
            progress: Kept up to date, to be read however the call ends.

        Returns:
            The whole answer.

        Raises:
            ProviderUnavailableError: Trying again can help: `model_unavailable`,
                `model_rate_limited`, `model_stream_incomplete`.
            ProviderRejectedError: It cannot: `model_rejected`, `model_credentials`,
                `model_not_found`, `model_context_too_long` (with `limit_tokens` in `details` if
                the provider names it), `model_request_too_large`, `model_answer_unreadable`.
        """
        ...


class Incoming:
    """An answer while it comes in.

    Args:
        request: What was asked.
        on_text: Called with each piece of text.
        progress: Kept up to date.
    """

    def __init__(self, request: ModelRequest, on_text: OnText, progress: Progress) -> None:
        self._request = request
        self._on_text = on_text
        self._pieces: list[str] = []
        self._byte_count = 0
        self.progress = progress

    @property
    def is_overrun(self) -> bool:
        """Whether the server writes on far past the limit that it was given.

        It would be paid for until the step's time is over, and then again.
        """
        limit, count = self._request.max_tokens, self.progress.token_count
        most = OVERRUN_PIECES * limit + OVERRUN_SLACK
        return count > most or self._byte_count > OVERRUN_BYTES * limit + OVERRUN_SLACK

    def begin(self) -> None:
        """Note that the provider answers."""
        self.progress.has_begun = True

    def add_text(self, piece: str) -> None:
        """Take a piece of text; empty ones are no news."""
        if not piece:
            return
        # Reason: PostgreSQL stores neither NUL nor half of a surrogate pair.
        piece = piece.replace("\x00", "").encode("utf-8", "replace").decode()
        self.see(piece)
        self._pieces.append(piece)
        self._on_text(piece)

    def see(self, piece: str) -> None:
        """Note a piece of the answer, also one that is no text: reasoning, a part of a call."""
        self.progress.see(piece)
        self._byte_count += len(piece.encode())

    def begin_call(self) -> None:
        """Note that a tool call begins."""
        self.progress.see_call()

    def report(self, usage: TokenUsage, *, is_final: bool) -> None:
        """Take the provider's word on what the call has used so far."""
        self.progress.usage = usage
        self.progress.is_final = is_final

    def reply(
        self,
        finish_reason: FinishReason,
        calls: tuple[RequestedCall, ...],
        parts: dict[str, Any],
    ) -> ModelReply:
        """Put the answer together.

        Args:
            finish_reason: As the provider said.
            calls: What the model asks for.
            parts: What the provider wants back beside text and calls.

        Returns:
            The answer. Calls are kept only if the model came to its own end: arguments that a limit
            has cut may still look whole, and would do something else than what was meant.
        """
        if finish_reason in {FinishReason.STOP, FinishReason.TOOL_CALLS}:
            # Reason: some servers say `stop` beside calls, and some `tool_calls` without any.
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
    """Return a past call's arguments as an object: servers refuse a history with broken JSON."""
    try:
        return read_arguments(call.arguments)
    except InvalidInputError:
        return {"malformed_arguments": call.arguments}
