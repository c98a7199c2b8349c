"""Checks the tool calls that a model requested, and enters them into the ledger.

A malformed call is answered at once with its errors, so that the model can correct it.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from agents.guards import fence, find_document_suspicions, warning
from agents.spec import AgentSpec
from database.agents.agent_runs import AgentRunRepository
from database.agents.messages import MessageRepository
from database.agents.models import AgentRun, Approval, ToolCall
from database.agents.tool_calls import ToolCallRepository
from domain.agents.approvals import ApprovalStatus, args_digest, status_while_waiting
from domain.agents.patterns import DELEGATE, HAND_OVER
from domain.agents.run_events import NewRunEvent, RunEventKind, storable
from domain.agents.runs import CallRef, StepInput
from domain.agents.tools.tool_calls import ToolCallStatus
from domain.errors import InvalidInputError
from domain.ids import call_id
from domain.llm.messages import RequestedCall, Role
from domain.llm.tool_arguments import read_arguments
from services.agents.teams.targets import find_target
from services.agents.tools.catalog import Tool

MALFORMED = "malformed_tool_call"
_MAX_NAMED_ERRORS = 5


class CheckedCall(NamedTuple):
    """A tool call after its check.

    Args:
        call_id: Our id of the call.
        requested: The call as the model wrote it.
        tool: The tool; None if the agent has no tool of this name.
        arguments: The validated arguments; empty if they are malformed.
        problem: The error, written for the model; None if the call is valid.
    """

    call_id: UUID
    requested: RequestedCall
    tool: Tool | None
    arguments: dict[str, Any]
    problem: str | None

    @property
    def stored(self) -> dict[str, Any]:
        """The call as stored in the assistant's message; its arguments are always well-formed."""
        text = orjson.dumps(self.arguments).decode()
        return {
            "call_id": str(self.call_id),
            "tool": storable(self.requested.tool),
            "arguments": text,
        }


class LedgerEntries(NamedTuple):
    """A step's valid calls, and the stream events of all its calls."""

    open_calls: tuple[CallRef, ...]
    events: list[NewRunEvent]


def check(
    step_input: StepInput, tools: Sequence[Tool], position: int, asked: RequestedCall
) -> CheckedCall:
    """Check one tool call and its arguments.

    Args:
        step_input: The step that requested the call.
        tools: Tools that the model may call.
        position: Index among the step's calls, from 0.
        asked: The call as the model wrote it.
    """
    our_call_id = call_id(step_input.agent_run_id, step_input.step, position)
    by_name = {tool.spec.name: tool for tool in tools}
    if (tool := by_name.get(asked.tool)) is None:
        problem = f"there is no such tool; the tools are: {', '.join(by_name) or 'none'}"
        return CheckedCall(our_call_id, asked, None, {}, problem)
    try:
        arguments = tool.spec.arguments.model_validate(storable(read_arguments(asked.arguments)))
    except InvalidInputError as error:
        return CheckedCall(our_call_id, asked, tool, {}, error.message)
    except ValidationError as error:
        return CheckedCall(our_call_id, asked, tool, {}, describe(error))
    return CheckedCall(our_call_id, asked, tool, arguments.model_dump(mode="json"), None)


async def enter(
    session: AsyncSession,
    run: AgentRun,
    step_input: StepInput,
    agent: AgentSpec,
    calls: list[CheckedCall],
) -> LedgerEntries:
    """Enter a step's calls into the ledger, with the approvals that they need.

    Args:
        session: The transaction that also stores the model's message.
        run: The run that the calls belong to.
        step_input: The step; approvals expire a fixed time after its `at`.
        agent: Spec of the agent, which holds the approvals' time to live.
        calls: The checked calls.

    Returns:
        The calls that can be made, and the stream events of all calls.
    """
    expires_at = step_input.at + agent.approval_ttl
    open_calls: list[CallRef] = []
    events: list[NewRunEvent] = []
    for position, call in enumerate(calls):
        await _add_call(session, run, step_input.step, position, call)
        events.append(_call_event(call))
        if call.tool is None or call.problem is not None:
            events.append(await _add_refusal(session, run, call))
            continue
        needs_approval = _approver_role(call) is not None
        open_calls.append(
            CallRef(
                call_id=call.call_id,
                tool=call.tool.spec.name,
                expires_at=expires_at if needs_approval else None,
                agent=await named_agent(session, run, call.tool.spec.name, call.call_id),
            )
        )
        if needs_approval:
            events.append(await _request_approval(session, run, call.tool, call, expires_at))
    roles = [role for call in calls if (role := _approver_role(call)) is not None]
    if roles:
        waiting = {"run_status": status_while_waiting(roles)}
        await AgentRunRepository(session).change(run.agent_run_id, waiting)
        events.append(NewRunEvent(kind=RunEventKind.STATUS, data=waiting))
    return LedgerEntries(tuple(open_calls), events)


async def named_agent(
    session: AsyncSession, run: AgentRun, tool: str, our_call_id: UUID
) -> str | None:
    """Return the agent that a valid call of `delegate` or `hand_over` names; else None."""
    if tool not in {DELEGATE, HAND_OVER}:
        return None
    call = await ToolCallRepository(session).get(our_call_id)
    return None if call is None else (await find_target(session, run, call)).agent


def _approver_role(call: CheckedCall) -> str | None:
    """Return the role that a call waits for; None if it waits for nobody."""
    is_valid = call.tool is not None and call.problem is None
    return call.tool.spec.approver_role if call.tool is not None and is_valid else None


async def _add_call(
    session: AsyncSession,
    run: AgentRun,
    step: int,
    position: int,
    call: CheckedCall,
) -> None:
    is_sound = call.problem is None
    values = {
        "call_id": call.call_id,
        "agent_run_id": run.agent_run_id,
        "step": step,
        "position": position,
        "provider_call_id": storable(call.requested.provider_call_id),
        "tool": storable(call.requested.tool),
        "arguments_data": call.arguments,
        "args_sha256": args_digest(call.requested.tool, call.arguments),
        "tool_call_status": ToolCallStatus.REQUESTED if is_sound else ToolCallStatus.FAILED,
        "result_data": None if is_sound else _refusal(call),
        "completed_at": None if is_sound else datetime.now(UTC),
    }
    await ToolCallRepository(session).add(values)


async def _add_refusal(session: AsyncSession, run: AgentRun, call: CheckedCall) -> NewRunEvent:
    result = _refusal(call)
    await MessageRepository(session).add(
        run.conversation_id,
        f"tool-result:{call.call_id}",
        Role.TOOL,
        fenced_result(result),
        agent_run_id=run.agent_run_id,
        call_id=call.call_id,
    )
    facts = {
        "call_id": str(call.call_id),
        "tool": call.requested.tool,
        "result": result,
        "suspicions": list(find_document_suspicions(result)),
    }
    return NewRunEvent(kind=RunEventKind.TOOL_RESULT, data=facts)


def fenced_result(result: dict[str, Any]) -> str:
    """Render a call's result for the model: fenced, and marked if it looks like instructions."""
    fenced = fence(orjson.dumps(result).decode(), "tool-result")
    return f"{warning(find_document_suspicions(result))}\n{fenced}".lstrip()


async def _request_approval(
    session: AsyncSession,
    run: AgentRun,
    tool: Tool,
    call: CheckedCall,
    expires_at: datetime,
) -> NewRunEvent:
    digest = args_digest(call.requested.tool, call.arguments)
    effect = await tool.preview(session, run, call.arguments) if tool.preview else None
    values = {
        "call_id": call.call_id,
        "agent_run_id": run.agent_run_id,
        "user_id": run.user_id,
        "args_sha256": digest,
        "effect_data": effect,
        "approver_role": tool.spec.approver_role,
        "approval_status": ApprovalStatus.PENDING,
        "expires_at": expires_at,
    }
    await ToolCallRepository(session).add_approval(values)
    facts = {
        "call_id": str(call.call_id),
        "tool": call.requested.tool,
        "arguments": call.arguments,
        "args_sha256": digest,
        "effect": effect,
        "expires_at": expires_at.isoformat(),
    }
    return NewRunEvent(kind=RunEventKind.APPROVAL_REQUESTED, data=facts)


def _call_event(call: CheckedCall) -> NewRunEvent:
    facts = {
        "call_id": str(call.call_id),
        "tool": call.requested.tool,
        "arguments": call.arguments,
    }
    return NewRunEvent(kind=RunEventKind.TOOL_CALL, data=facts)


def _refusal(call: CheckedCall) -> dict[str, Any]:
    return {"status": "failed", "code": MALFORMED, "message": call.problem}


def describe(error: ValidationError) -> str:
    """Return what is wrong with arguments, in one sentence."""
    found = error.errors(include_url=False, include_input=False)[:_MAX_NAMED_ERRORS]
    named = (f"{'.'.join(map(str, each['loc'])) or 'arguments'}: {each['msg']}" for each in found)
    return f"wrong arguments: {'; '.join(named)}"


class ToolCallContext(NamedTuple):
    """A tool call with its run and its approval, if it has one."""

    run: AgentRun
    call: ToolCall
    approval: Approval | None
