"""Makes the tool calls of a run: each once, and only with an approval if the tool needs one."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity

from agents.guards import find_document_suspicions
from agents.tools.spec import ToolSpec
from database.agents.agent_runs import AgentRunRepository
from database.agents.messages import MessageRepository
from database.agents.run_events import RunEventRepository
from database.agents.tool_calls import ToolCallRepository
from database.session import Sessions
from domain.agents.approvals import ApprovalStatus, args_digest
from domain.agents.run_events import NewRunEvent, RunEventKind, storable
from domain.agents.runs import ToolCallInput
from domain.agents.tools.tool_calls import ToolCallStatus
from domain.errors import ApplicationError, NotFoundError, UnavailableError
from domain.llm.messages import Role
from observability.metrics import TOOL_CALLS
from services.agents.artifacts.long_results import store_result
from services.agents.knowledge.look_ups import is_overdue
from services.agents.tool_call_ledger import ToolCallContext, fenced_result
from services.agents.tools.catalog import Effect, Tool, ToolCatalog, ToolResources


class ToolActivities:
    """The activity that makes the tool calls of the ledger."""

    def __init__(self, catalog: ToolCatalog, resources: ToolResources, sessions: Sessions) -> None:
        self._catalog = catalog
        self._resources = resources
        self._sessions = sessions

    @activity.defn
    async def run_tool(self, call_input: ToolCallInput) -> None:
        """Make a tool call, and store its result as a message for the model.

        A refusal by a person or by the tool is also a result, which the model reads.

        Args:
            call_input: The call; a completed call is not repeated.

        Raises:
            NotFoundError: There is no such call, or its tool does not exist any more.
            UnavailableError: A system that the tool needs is down; the next attempt finds out the
                outcome. A read-only tool gives up after a while, which is its result.
        """
        context = await self._read(call_input)
        if context.call.completed_at is not None:
            return
        tool = self._catalog.find(context.call.tool)
        effect = _refusal(context, tool.spec)
        if effect is None:
            try:
                effect = await self._call_tool(context, tool)
            except ApplicationError as error:
                if error.is_retryable and not _is_given_up(tool.spec):
                    raise
                # Reason: many codes mean that a system is down, and the model needs only one.
                code = UnavailableError.code if error.is_retryable else error.error_code
                facts = {"code": code, "message": error.message}
                effect = Effect(ToolCallStatus.FAILED, facts)
        await self._complete(context, effect, tool.spec.output_limit_bytes)

    async def _call_tool(self, context: ToolCallContext, tool: Tool) -> Effect:
        """Run the tool within the time that its spec allows for one attempt."""
        try:
            async with asyncio.timeout(tool.spec.time_limit.total_seconds()):
                return await tool.effect(self._resources, context.run, context.call)
        except TimeoutError as error:
            raise UnavailableError(f"{tool.spec.name} does not answer in time") from error

    async def _read(self, call_input: ToolCallInput) -> ToolCallContext:
        async with self._sessions() as session:
            calls = ToolCallRepository(session)
            call = await calls.get(call_input.call_id)
            run = await AgentRunRepository(session).get(call_input.agent_run_id, None)
            approval = await calls.approval(call_input.call_id)
        if call is None or run is None or call.agent_run_id != run.agent_run_id:
            raise NotFoundError("there is no such tool call")
        return ToolCallContext(run, call, approval)

    async def _complete(self, context: ToolCallContext, effect: Effect, limit: int) -> None:
        run, call = context.run, context.call
        result = storable({"status": effect.status, **effect.result})
        if context.approval is not None and context.approval.asked_arguments_data is not None:
            # Reason: the model has to know that its call was made otherwise than it asked.
            result["edited_arguments"] = call.arguments_data
        async with self._sessions.begin() as session:
            result = await _bounded(session, context, result, limit)
            is_new = await _add_result(session, context, result)
            if not is_new and effect.status is ToolCallStatus.OUTCOME_UNKNOWN:
                return  # another attempt knows it
            values: dict[str, Any] = {
                "tool_call_status": effect.status,
                "result_data": result,
                "completed_at": datetime.now(UTC),
            }
            if effect.status is ToolCallStatus.FAILED:
                values["business_key"] = None  # the call had no effect; another call may have it
            await ToolCallRepository(session).change(call.call_id, values)
            if is_new:
                facts = {
                    "call_id": str(call.call_id),
                    "tool": call.tool,
                    "result": result,
                    "suspicions": list(find_document_suspicions(result)),
                }
                event = NewRunEvent(kind=RunEventKind.TOOL_RESULT, data=facts)
                await RunEventRepository(session).append(run.agent_run_id, [event])
        TOOL_CALLS.labels(call.tool, effect.status).inc()


def _is_given_up(spec: ToolSpec) -> bool:
    return spec.patience is not None and is_overdue(spec.patience)


def _refusal(context: ToolCallContext, spec: ToolSpec) -> Effect | None:
    """Return the refusal of a call that lacks the approval of its arguments; None if it may run."""
    call, approval = context.call, context.approval
    if spec.approver_role is None:
        return None
    digest = args_digest(call.tool, call.arguments_data)
    if approval is not None and approval.args_sha256 == digest:
        if approval.approval_status == ApprovalStatus.APPROVED:
            return None
        if approval.approval_status == ApprovalStatus.REJECTED:
            result = {"message": "a person rejected the call", "reason": approval.reason}
            return Effect(ToolCallStatus.REJECTED, result)
    return Effect(ToolCallStatus.EXPIRED, {"message": "the call was not approved in time"})


async def _bounded(
    session: AsyncSession, context: ToolCallContext, result: dict[str, Any], limit: int
) -> dict[str, Any]:
    """Cut a result to the length that the tool's spec allows, also for ledger and stream.

    The whole result becomes a file of the run, which the cut one names.
    """
    document = orjson.dumps(result)
    if len(document) <= limit:
        return result
    stored = await store_result(session, context.run, context.call, result)
    cut = document[:limit].decode(errors="ignore")
    return {"status": result["status"], **stored, "cut": cut}


async def _add_result(
    session: AsyncSession, context: ToolCallContext, result: dict[str, Any]
) -> bool:
    return await MessageRepository(session).add(
        context.run.conversation_id,
        f"tool-result:{context.call.call_id}",
        Role.TOOL,
        fenced_result(result),
        agent_run_id=context.run.agent_run_id,
        call_id=context.call.call_id,
    )
