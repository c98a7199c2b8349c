"""Limits of an hour: how many passwords are checked for an account, and mails sent. Pure."""

from datetime import datetime, timedelta

WINDOW = timedelta(hours=1)
# All addresses together from which nobody has logged in to the account lately.
UNKNOWN_LIMIT = 100
# An address from which somebody has: guessing from elsewhere does not keep its owner out.
KNOWN_LIMIT = 30
# Mails with a link to set a new password, for one account.
RESET_LIMIT = 5
# How long an address is remembered after a log-in.
KNOWN_FOR = timedelta(days=30)


def window_of(at: datetime) -> datetime:
    """Return the beginning of the hour in which a time lies."""
    return at.replace(minute=0, second=0, microsecond=0)


def limit_of(*, is_known: bool) -> int:
    """Return how many passwords are checked in a window."""
    return KNOWN_LIMIT if is_known else UNKNOWN_LIMIT
