"""What all tools that write at outside systems share: nothing is done twice."""

from collections.abc import Mapping
from typing import Any

import structlog

from database.agents.models import AgentRun, ToolCall
from database.agents.tool_calls import ToolCallRepository
from database.agents.tool_outcomes import ToolOutcomeRepository
from database.session import Sessions
from domain.agents.tools.tool_calls import ToolCallStatus
from services.agents.tools.catalog import Effect

log = structlog.get_logger(__name__)

UNKNOWN = "outcome_unknown"
_UNKNOWN_FACTS = {
    "code": UNKNOWN,
    "message": "nobody knows yet whether this was done; do not call the tool for it again, and "
    "tell the user that a person will find out",
}
_EARLIER_FACTS = {
    "code": UNKNOWN,
    "message": "this was not done: an earlier call may have done it already, and a person has to "
    "find that out first",
}


async def find_refusal(
    sessions: Sessions, run: AgentRun, call: ToolCall, business_key: str | None
) -> Effect | None:
    """Return the result of a call whose effect an earlier call has, or may have, made.

    Args:
        sessions: Database sessions.
        run: The run.
        call: The call.
        business_key: What calls for the same effect share; None if all calls of the tool in the
            conversation may be for the same.
    """
    async with sessions.begin() as session:
        if business_key is not None:
            earlier = await ToolCallRepository(session).claim(call.call_id, business_key)
        else:
            outcomes = ToolOutcomeRepository(session)
            earlier = await outcomes.find_open(run.conversation_id, call)
    if earlier is None:
        return None
    if earlier.tool_call_status == ToolCallStatus.DONE:
        result = {**(earlier.result_data or {}), "status": ToolCallStatus.ALREADY_DONE}
        return Effect(ToolCallStatus.ALREADY_DONE, result)
    return Effect(ToolCallStatus.FAILED, {**_EARLIER_FACTS, "call_id": str(earlier.call_id)})


async def start_call(sessions: Sessions, call: ToolCall) -> bool:
    """Record that a request is about to be sent; return False if it may have been sent before."""
    async with sessions.begin() as session:
        return await ToolOutcomeRepository(session).start(call.call_id)


def unknown_outcome(call: ToolCall, shown: Mapping[str, Any] | None = None) -> Effect:
    """Return the result of a call of which nothing tells whether it was made.

    Args:
        call: The call.
        shown: What the outside system said.
    """
    log.warning("tool_outcome_unknown", tool=call.tool, call_id=str(call.call_id))
    return Effect(ToolCallStatus.OUTCOME_UNKNOWN, {**(shown or {}), **_UNKNOWN_FACTS})
