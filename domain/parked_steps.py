"""Parked steps: failures that no retry mends, which are shown and tried again later."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from domain.base import Frozen

# Reason: a step that needs a person is retried ever more rarely, but for ever.
_PAUSES = (
    timedelta(seconds=15),
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=6),
)


class ParkableResource(StrEnum):
    """Resources that can have parked steps, as metrics and the doctor command name them."""

    SUBSCRIPTION = "subscription"
    PAYMENT_RETRY = "payment_retry"
    PAYMENT = "payment"


class ParkedStep(Frozen):
    """A step that failed and waits, as the API shows it.

    Args:
        step: Name of the step.
        code: Stable name of the problem, for programs.
        message: Description of the problem, for people.
        since: When the step was first parked, on Temporal's clock.
        details: Facts about the problem, such as Stripe's code and request id.
        release: Release in which the step failed; None if unknown.
    """

    step: str
    code: str
    message: str
    since: datetime
    details: dict[str, Any] = {}
    release: str | None = None


def pause_after(try_count: int) -> timedelta:
    """Return how long to wait before a parked step is tried again.

    Args:
        try_count: How often the step was parked, including this time; from 1.
    """
    return _PAUSES[min(try_count, len(_PAUSES)) - 1]
