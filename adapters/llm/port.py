"""What every provider of models can do, and the pieces that all of them share."""

from collections.abc import Callable
from typing import Protocol

from domain.errors import ProviderUnavailableError
from domain.llm import ModelReply, ModelRequest

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


class TextFlow:
    """The text of an answer while it comes in.

    Args:
        on_text: Called with each piece.
    """

    def __init__(self, on_text: OnText) -> None:
        self._on_text = on_text
        self._pieces: list[str] = []

    def add(self, piece: str | None) -> None:
        """Take a piece; empty ones are no news."""
        if not piece:
            return
        # Reason: PostgreSQL stores neither NUL nor half of a surrogate pair.
        piece = piece.replace("\x00", "").encode("utf-8", "replace").decode()
        self._pieces.append(piece)
        self._on_text(piece)

    @property
    def piece_count(self) -> int:
        """How many pieces came; a token each, as providers stream them."""
        return len(self._pieces)

    @property
    def text(self) -> str:
        """All of it so far."""
        return "".join(self._pieces)


def incomplete() -> ProviderUnavailableError:
    """Make the error of a stream that stopped without saying why."""
    return ProviderUnavailableError(
        "the model's answer broke off before its end",
        "model_stream_incomplete",
    )
