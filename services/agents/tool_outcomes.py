"""Records what a person found out about a tool call whose outcome was unknown."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from database.agents.messages import MessageRepository
from database.agents.models import ToolCall
from database.agents.run_events import RunEventRepository
from database.agents.tool_calls import ToolCallRepository
from domain.agents.run_events import NewRunEvent, RunEventKind
from domain.agents.tools.tool_calls import ToolCallStatus
from domain.agents.tools.tool_outcomes import told_status
from services.agents.tool_call_ledger import fenced_result


async def settle_outcome(
    session: AsyncSession, call: ToolCall, decided_by: UUID, *, is_done: bool, note: str | None
) -> None:
    """Record whether a call was done; its conversation reads it from then on.

    Args:
        session: The transaction, which has locked the call.
        call: The call.
        decided_by: Administrator who tells it.
        is_done: Whether it was done.
        note: What else the administrator tells the model.

    Raises:
        IllegalCommandError: The outcome is known, and is another one.
    """
    status = told_status(ToolCallStatus(call.tool_call_status), is_done=is_done)
    if status is None:
        return
    result: dict[str, Any] = {"status": status, "told_by": str(decided_by), "note": note}
    values: dict[str, Any] = {
        "tool_call_status": status,
        "result_data": result,
        "completed_at": call.completed_at or datetime.now(UTC),
    }
    if status is ToolCallStatus.FAILED:
        values["business_key"] = None  # the call had no effect; another call may have it
    await ToolCallRepository(session).change(call.call_id, values)
    await MessageRepository(session).rewrite(f"tool-result:{call.call_id}", fenced_result(result))
    facts = {"call_id": str(call.call_id), "tool": call.tool, "result": result, "suspicions": []}
    event = NewRunEvent(kind=RunEventKind.TOOL_RESULT, data=facts)
    await RunEventRepository(session).append_many({call.agent_run_id: [event]})
