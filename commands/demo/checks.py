"""What the demo asserts, and how it waits."""

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from rich.console import Console

PAUSE_SECONDS = 0.1
PATIENCE_SECONDS = 45.0


class DemoError(Exception):
    """Something that the story tells did not happen."""


def expect(is_true: bool, sentence: str, seen: object) -> None:
    """Hold the story to what it tells.

    Args:
        is_true: Whether it happened.
        sentence: What was to happen.
        seen: What was seen instead.

    Raises:
        DemoError: It did not happen.
    """
    if not is_true:
        raise DemoError(f"expected that {sentence}; seen: {seen}")


def wait_until(
    console: Console,
    sentence: str,
    look: Callable[[], Any],
    is_it: Callable[[Any], Any] = bool,
) -> Any:
    """Wait, visibly, until something has happened.

    Args:
        console: Where to show that we wait.
        sentence: What we wait for.
        look: Looks at it.
        is_it: Tells whether what was seen is what we wait for.

    Returns:
        What was seen.

    Raises:
        DemoError: It did not happen in time.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    seen: Any = None
    with console.status(sentence):
        while time.monotonic() < deadline:
            seen = look()
            if is_it(seen):
                return seen
            time.sleep(PAUSE_SECONDS)
    raise DemoError(f"waited {PATIENCE_SECONDS:.0f} s: {sentence}; seen: {seen}")


def short(moment: str | None) -> str:
    """Render a moment of the API; none is one that somebody has to ask for."""
    return f"{datetime.fromisoformat(moment):%d %b %Y %H:%M:%S} UTC" if moment else "when asked"
