"""Makes the tool calls of a run: each once, with a person's yes where the tool needs one."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity

from agents.guards import screen_document
from agents.tools import TOOLS
from database.agents.agent_runs import AgentRunRepository
from database.agents.messages import MessageRepository
from database.agents.models import AgentRun, ToolCall
from database.agents.run_events import RunEventRepository
from database.agents.tool_calls import ToolCallRepository
from database.session import Sessions
from domain.agents.approvals import ApprovalStatus, args_digest
from domain.agents.run_events import NewRunEvent, RunEventKind, storable
from domain.agents.runs import ToolCallInput
from domain.agents.tool_calls import ToolCallStatus
from domain.errors import ApplicationError, NotFoundError, UnavailableError
from domain.llm.messages import Role
from observability import TOOL_CALLS
from services.agents.look_ups import is_overdue
from services.agents.tool_call_ledger import ToolCallContext, fenced_result
from services.agents.tools.effects import Effect

Tool = Callable[[AgentRun, ToolCall], Awaitable[Effect]]


class ToolActivities:
    """The ledger's hand."""

    def __init__(self, tools: Mapping[str, Tool], sessions: Sessions) -> None:
        self._tools = tools
        self._sessions = sessions

    @activity.defn
    async def run_tool(self, order: ToolCallInput) -> None:
        """Make a call, and give its result to the model as a message.

        A refusal, by a person or by the tool, is a result too: the model reads it and goes on.

        Args:
            order: Which call; one that is complete is left alone.

        Raises:
            UnavailableError: What the tool needs is down; its outcome is found out next time. A
                tool that only looks gives up after a while: that is its result.
        """
        asked = await self._read(order)
        if asked.call.completed_at is not None:
            return
        effect = _without_yes(asked)
        if effect is None:
            try:
                effect = await self._make(asked)
            except ApplicationError as error:
                if error.is_retryable and not _is_given_up(asked.call.tool):
                    raise
                # Reason: what is down has many names, and the model needs one.
                code = UnavailableError.code if error.is_retryable else error.error_code
                facts = {"code": code, "message": error.message}
                effect = Effect(ToolCallStatus.FAILED, facts)
        await self._complete(asked, effect)

    async def _make(self, asked: ToolCallContext) -> Effect:
        """Let the tool do it, within the time that its spec allows for one try."""
        tool = asked.call.tool
        try:
            async with asyncio.timeout(TOOLS[tool].time_limit.total_seconds()):
                return await self._tools[tool](asked.run, asked.call)
        except TimeoutError as error:
            raise UnavailableError(f"{tool} does not answer in time") from error

    async def _read(self, order: ToolCallInput) -> ToolCallContext:
        async with self._sessions() as session:
            calls = ToolCallRepository(session)
            call = await calls.get(order.call_id)
            run = await AgentRunRepository(session).get(order.agent_run_id, None)
            approval = await calls.approval(order.call_id)
        if call is None or run is None or call.agent_run_id != run.agent_run_id:
            raise NotFoundError("there is no such tool call")
        return ToolCallContext(run, call, approval)

    async def _complete(self, asked: ToolCallContext, effect: Effect) -> None:
        run, call = asked.run, asked.call
        result = _bounded(storable({"status": effect.status, **effect.result}), call.tool)
        async with self._sessions.begin() as session:
            is_new = await _add_result(session, asked, result)
            values: dict[str, Any] = {
                "tool_call_status": effect.status,
                "result_data": result,
                "completed_at": datetime.now(UTC),
            }
            if effect.status is ToolCallStatus.FAILED:
                values["business_key"] = None  # it had no effect: another call may have it
            await ToolCallRepository(session).change(call.call_id, values)
            if is_new:
                facts = {
                    "call_id": str(call.call_id),
                    "tool": call.tool,
                    "result": result,
                    "suspicions": list(screen_document(result)),
                }
                note = NewRunEvent(kind=RunEventKind.TOOL_RESULT, data=facts)
                await RunEventRepository(session).append(run.agent_run_id, [note])
        TOOL_CALLS.labels(call.tool, effect.status).inc()


def _is_given_up(tool: str) -> bool:
    patience = TOOLS[tool].patience
    return patience is not None and is_overdue(patience)


def _without_yes(asked: ToolCallContext) -> Effect | None:
    """Refuse a call that needs somebody's yes and has none; one yes serves these arguments only."""
    call, approval = asked.call, asked.approval
    if TOOLS[call.tool].approver_role is None:
        return None
    digest = args_digest(call.tool, call.arguments_data)
    if approval is not None and approval.args_sha256 == digest:
        if approval.approval_status == ApprovalStatus.APPROVED:
            return None
        if approval.approval_status == ApprovalStatus.REJECTED:
            said = {"message": "a person said no", "reason": approval.reason}
            return Effect(ToolCallStatus.REJECTED, said)
    return Effect(ToolCallStatus.EXPIRED, {"message": "nobody said yes in time"})


def _bounded(result: dict[str, Any], tool: str) -> dict[str, Any]:
    """Cut what is longer than the tool's spec allows, for the ledger and the stream, too."""
    document, limit = orjson.dumps(result), TOOLS[tool].output_limit_bytes
    if len(document) <= limit:
        return result
    return {"status": result["status"], "cut": document[:limit].decode(errors="ignore")}


async def _add_result(
    session: AsyncSession, asked: ToolCallContext, result: dict[str, Any]
) -> bool:
    return await MessageRepository(session).add(
        asked.run.conversation_id,
        f"tool-result:{asked.call.call_id}",
        Role.TOOL,
        fenced_result(result),
        agent_run_id=asked.run.agent_run_id,
        call_id=asked.call.call_id,
    )
