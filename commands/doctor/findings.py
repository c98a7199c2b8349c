"""Results and errors of the checks of `doctor`."""

from typing import NamedTuple


class CheckResult(NamedTuple):
    """The result of one check.

    Args:
        what: Name of the check.
        is_well: Whether the check passed.
        detail: The finding, in one line.
        is_doubtful: Whether the check passed with a warning.
    """

    what: str
    is_passed: bool
    detail: str
    is_warning: bool = False


class CheckFailedError(Exception):
    """A check failed; the message is the finding."""


class CheckDoubtfulError(Exception):
    """A check passed with a warning; the message is the finding."""
