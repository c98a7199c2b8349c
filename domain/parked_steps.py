"""Parked steps: what failed in a way that no retry mends is shown, owed, and tried again later."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from domain.base import Frozen

# Reason: what needs a person is not asked of Stripe every minute, and never forgotten.
_PAUSES = (
    timedelta(seconds=15),
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=6),
)


class ParkableResource(StrEnum):
    """What can have parked steps, as metrics and the doctor call it."""

    SUBSCRIPTION = "subscription"
    PAYMENT_RETRY = "payment_retry"
    PAYMENT = "payment"


class ParkedStep(Frozen):
    """A step that could not be taken, as the API shows it.

    Args:
        step: Which step.
        code: Stable name of what is in the way.
        message: What is in the way, for a person.
        since: When it was parked first, on Temporal's clock.
        details: Facts about it, such as Stripe's code and request id.
        release: Which release could not take it; None if that is not known.
    """

    step: str
    code: str
    message: str
    since: datetime
    details: dict[str, Any] = {}
    release: str | None = None


def pause_after(try_count: int) -> timedelta:
    """Return how long a parked step rests.

    Args:
        try_count: How often it was parked, this time included; from 1.
    """
    return _PAUSES[min(try_count, len(_PAUSES)) - 1]
