"""What every provider of models can do, and the pieces that all of them share."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from domain.errors import InvalidInputError
from domain.llm import FinishReason, ModelReply, ModelRequest, RequestedCall, TokenUsage
from domain.repairs import read_arguments

CONNECT_SECONDS = 5.0

OnText = Callable[[str], None]


@dataclass
class Progress:
    """How far a call has come: what there is to pay for, however it ends.

    Args:
        has_begun: Whether the provider has begun to answer, so that the prompt is paid for.
        token_count: Pieces of text and of tool calls that came; providers stream about a token in
            each.
        usage: What the provider reported so far, if anything.
    """

    has_begun: bool = False
    token_count: int = 0
    usage: TokenUsage | None = None


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
                `model_not_found`, `model_context_too_long`.
        """
        ...


class Incoming:
    """An answer while it comes in.

    Args:
        on_text: Called with each piece of text.
        progress: Kept up to date.
    """

    def __init__(self, on_text: OnText, progress: Progress) -> None:
        self._on_text = on_text
        self._pieces: list[str] = []
        self.progress = progress

    def begin(self) -> None:
        """Note that the provider answers."""
        self.progress.has_begun = True

    def add_text(self, piece: str | None) -> None:
        """Take a piece of text; empty ones are no news."""
        if not piece:
            return
        self.count_piece()
        # Reason: PostgreSQL stores neither NUL nor half of a surrogate pair.
        piece = piece.replace("\x00", "").encode("utf-8", "replace").decode()
        self._pieces.append(piece)
        self._on_text(piece)

    def count_piece(self) -> None:
        """Note a piece, also one that is no text."""
        self.progress.token_count += 1

    def reply(
        self,
        finish_reason: FinishReason,
        calls: tuple[RequestedCall, ...],
    ) -> ModelReply:
        """Put the answer together.

        Args:
            finish_reason: As the provider said.
            calls: What the model asks for.

        Returns:
            The answer. Calls are kept only if the model came to its own end: arguments that a limit
            has cut may still look whole, and would do something else than what was meant.
        """
        if finish_reason in {FinishReason.STOP, FinishReason.TOOL_CALLS}:
            # Reason: some servers say `stop` beside calls, and some `tool_calls` without any.
            finish_reason = FinishReason.TOOL_CALLS if calls else FinishReason.STOP
        else:
            calls = ()
        return ModelReply(
            text="".join(self._pieces),
            tool_calls=calls,
            finish_reason=finish_reason,
            usage=self.progress.usage,
        )


def arguments_of(call: RequestedCall) -> dict[str, Any]:
    """Return a past call's arguments as an object: servers refuse a history with broken JSON."""
    try:
        return read_arguments(call.arguments)
    except InvalidInputError:
        return {"malformed_arguments": call.arguments}
