"""What every provider of models can do, and the pieces that all of them share."""

from collections.abc import Callable
from typing import Any, Protocol

from domain.errors import InvalidInputError
from domain.llm import FinishReason, ModelReply, ModelRequest, RequestedCall, TokenUsage
from domain.repairs import read_arguments

CONNECT_SECONDS = 5.0

OnText = Callable[[str], None]


class ModelProvider(Protocol):
    """A provider of models."""

    async def stream(self, request: ModelRequest, on_text: OnText) -> ModelReply:
        """Ask a model; cancelling the awaiting task closes the connection at once.

        Args:
            request: What to ask.
            on_text: Called with each piece of text as it comes.

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
    """

    def __init__(self, on_text: OnText) -> None:
        self._on_text = on_text
        self._pieces: list[str] = []

    def add_text(self, piece: str | None) -> None:
        """Take a piece of text; empty ones are no news."""
        if not piece:
            return
        # Reason: PostgreSQL stores neither NUL nor half of a surrogate pair.
        piece = piece.replace("\x00", "").encode("utf-8", "replace").decode()
        self._pieces.append(piece)
        self._on_text(piece)

    @property
    def token_count(self) -> int:
        """How many pieces of text came; providers stream about a token in each."""
        return len(self._pieces)

    def reply(
        self,
        finish_reason: FinishReason,
        calls: tuple[RequestedCall, ...],
        usage: TokenUsage | None,
    ) -> ModelReply:
        """Put the answer together.

        Args:
            finish_reason: As the provider said.
            calls: What the model asks for.
            usage: What the provider reported.

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
            usage=usage,
        )


def arguments_of(call: RequestedCall) -> dict[str, Any]:
    """Return a past call's arguments as an object: servers refuse a history with broken JSON."""
    try:
        return read_arguments(call.arguments)
    except InvalidInputError:
        return {"malformed_arguments": call.arguments}
