"""The referee of `--check`: is all traffic what the installed stripe-python says it would be?"""

from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True)
class Passing:
    """A request that passes; without a pattern no route was found for it.

    Attributes:
        is_from_browser: Whether the key is publishable: then the answer shows a part of its object
            only, and the call may bear the secret of that object, which the SDK does not know.
    """

    verb: str
    pattern: str | None = None
    params: dict[str, Any] = field(default_factory=dict)
    is_from_browser: bool = False


class Referee(Protocol):
    """Checks what passes; each method raises `ApiError` for what it finds wrong."""

    def exchange(self, asked: Passing, status: int, body: bytes) -> None:
        """Check a request and its answer."""

    def event(self, event: dict[str, Any]) -> None:
        """Check an event before it is written down."""

    def failure(self, place: str, error: Exception) -> None:
        """Note a mistake of the sandbox itself."""

    def report(self) -> dict[str, Any]:
        """Return what was checked and every deviation, oldest first."""

    def close(self) -> None:
        """Let go of its file."""


class Lenient:
    """The referee without `--check`: lets everything pass."""

    def exchange(self, asked: Passing, status: int, body: bytes) -> None:
        """Do nothing."""

    def event(self, event: dict[str, Any]) -> None:
        """Do nothing."""

    def failure(self, place: str, error: Exception) -> None:
        """Do nothing."""

    def report(self) -> dict[str, Any]:
        """Say that nothing was checked."""
        counts = dict.fromkeys(("event", "request", "response"), 0)
        return {**{f"checked_{what}_count": n for what, n in counts.items()}, "items": []}

    def close(self) -> None:
        """Do nothing."""
