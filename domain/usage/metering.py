"""Reports of usage beyond limits to the meters of an outside system, such as Stripe. Pure."""

from decimal import Decimal
from enum import StrEnum

from domain.base import Frozen
from domain.plans import Limit


class MeterEventStatus(StrEnum):
    """The status of a report of usage.

    A report whose outcome stays unknown for too long is not sent again: it might count twice.
    """

    PENDING = "pending"
    SENT = "sent"
    REJECTED = "rejected"
    OUTCOME_UNKNOWN = "outcome_unknown"


class MeterReport(Frozen):
    """Usage to report to a meter.

    Args:
        identifier: Key under which the meter counts the report once.
        event_name: Name by which the meter is addressed.
        stripe_customer_id: Customer whose usage it is.
        quantity: How much was used.
    """

    identifier: str
    event_name: str
    stripe_customer_id: str
    quantity: int


class MeterError(Frozen):
    """Why a meter could not count a report.

    Args:
        identifier: Identifier of the report.
        error_code: Code of the outside system.
        message: Its message.
    """

    identifier: str
    error_code: str
    message: str


def overage_due(used: Decimal, limit: Limit | None, reported: int) -> int:
    """Return how many whole units beyond a limit are not reported yet.

    Args:
        used: Usage within the window of the limit.
        limit: The limit; without one all usage is billed.
        reported: Units of the window that were reported before.
    """
    included = limit.count if limit else 0
    return max(0, int(used - included) - reported)
