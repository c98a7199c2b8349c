"""What the doctor's checks find."""

from typing import NamedTuple


class CheckResult(NamedTuple):
    """What one check found.

    Args:
        what: What was looked at.
        is_well: Whether it works.
        detail: What was found, in a line.
        is_doubtful: It works, and yet somebody should look at it.
    """

    what: str
    is_well: bool
    detail: str
    is_doubtful: bool = False


class CheckFailedError(Exception):
    """Something answers, but not as it should."""


class CheckDoubtfulError(Exception):
    """All of it works, but not as most people want it."""
