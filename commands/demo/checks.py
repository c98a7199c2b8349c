"""Assertions and waiting for the demo."""

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from rich.console import Console

PAUSE_SECONDS = 0.1
TIMEOUT_SECONDS = 45.0


class DemoError(Exception):
    """A step of the demo failed, or one of its checks."""


def expect(is_true: bool, expectation: str, actual: object) -> None:
    """Check a condition.

    Args:
        is_true: The condition.
        expectation: The condition as a clause, for the error message.
        actual: The actual value, for the error message.

    Raises:
        DemoError: The condition is false.
    """
    if not is_true:
        raise DemoError(f"expected that {expectation}; actual: {actual}")


def wait_until(
    console: Console,
    status: str,
    read: Callable[[], Any],
    is_expected: Callable[[Any], Any] = bool,
) -> Any:
    """Read a value until it is as expected, and show a status line meanwhile.

    Args:
        console: Console for the status line.
        status: Text of the status line.
        read: Reads the value.
        is_expected: Returns whether a value is as expected.

    Returns:
        The expected value.

    Raises:
        DemoError: The value was not as expected in time.
    """
    deadline = time.monotonic() + TIMEOUT_SECONDS
    value: Any = None
    with console.status(status):
        while time.monotonic() < deadline:
            value = read()
            if is_expected(value):
                return value
            time.sleep(PAUSE_SECONDS)
    raise DemoError(f"{status}: not within {TIMEOUT_SECONDS:.0f} s; actual: {value}")


def short(timestamp: str | None) -> str:
    """Format a timestamp of the API; None stands for a step that happens only on request."""
    if not timestamp:
        return "on request"
    return f"{datetime.fromisoformat(timestamp):%d %b %Y %H:%M:%S} UTC"
