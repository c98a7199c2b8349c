"""Where a tool call can stand, and what its effect is unique by. Pure."""

from enum import StrEnum
from uuid import UUID


class ToolCallStatus(StrEnum):
    """Where a call can stand in the ledger."""

    REQUESTED = "requested"
    DONE = "done"
    ALREADY_DONE = "already_done"
    REJECTED = "rejected"
    EXPIRED = "expired"
    FAILED = "failed"


def refund_business_key(
    payment_id: UUID,
    amount_cents: int | None,
    conversation_id: UUID,
) -> str:
    """Return what makes a refund the same one, however often a model plans it anew."""
    amount = "rest" if amount_cents is None else str(amount_cents)
    return f"refund:{payment_id}:{amount}:{conversation_id}"
