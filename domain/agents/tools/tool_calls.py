"""Status of tool calls, and the business key of their effects. Pure."""

from enum import StrEnum
from uuid import UUID


class ToolCallStatus(StrEnum):
    """The status of a tool call in the ledger.

    A call to an outside system is `started` before its request is sent. It ends as
    `outcome_unknown` if nothing tells whether it had an effect, until a person tells it.
    """

    REQUESTED = "requested"
    STARTED = "started"
    DONE = "done"
    ALREADY_DONE = "already_done"
    REJECTED = "rejected"
    EXPIRED = "expired"
    FAILED = "failed"
    OUTCOME_UNKNOWN = "outcome_unknown"


def refund_business_key(
    payment_id: UUID,
    amount_cents: int | None,
    conversation_id: UUID,
) -> str:
    """Return the business key of a refund, so that a model that asks twice refunds once."""
    amount = "rest" if amount_cents is None else str(amount_cents)
    return f"refund:{payment_id}:{amount}:{conversation_id}"
