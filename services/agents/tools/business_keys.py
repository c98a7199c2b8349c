"""Claims effects that must be unique across runs, so that a model that asks twice acts once."""

from uuid import UUID

from database.agents.models import ToolCall
from database.agents.tool_calls import ToolCallRepository
from database.session import Session


async def claim(session: Session, call: ToolCall, business_key: str) -> UUID:
    """Claim an effect for a call.

    Args:
        session: The transaction; the caller has checked that the call may have the effect.
        call: The call.
        business_key: What must be unique.

    Returns:
        Id of the call that owns the effect: this one, or an earlier one that asked for the same.
    """
    earlier = await ToolCallRepository(session).claim(call.call_id, business_key)
    return earlier.call_id if earlier else call.call_id
