"""The tool calls that a model asked for: read, checked, and entered into the ledger.

What is malformed is answered at once with what is wrong, so that the model can mend it.
"""

from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from agents.guards import fence, screen_document, warning
from agents.spec import AgentSpec
from agents.tools import TOOLS
from agents.tools.spec import ToolSpec
from database.agents.agent_runs import AgentRunRepository
from database.agents.messages import MessageRepository
from database.agents.models import AgentRun, Approval, ToolCall
from database.agents.tool_calls import ToolCallRepository
from domain.agents.approvals import ApprovalStatus, args_digest
from domain.agents.run_events import NewRunEvent, RunEventKind, storable
from domain.agents.runs import CallRef, RunStatus, StepInput
from domain.agents.tool_calls import ToolCallStatus
from domain.errors import InvalidInputError
from domain.ids import call_id
from domain.llm.messages import RequestedCall, Role
from domain.llm.tool_arguments import read_arguments
from services.agents.tools.previews import expected_effect

MALFORMED = "malformed_tool_call"
_MAX_NAMED_ERRORS = 5


class CheckedCall(NamedTuple):
    """A call as the ledger has it.

    Args:
        call_id: Ours.
        requested: As the model wrote it.
        spec: The tool; None if the agent has none of this name.
        arguments: As the tool takes them; empty if they are malformed.
        problem: What is wrong with it, for the model; None if it can be made.
    """

    call_id: UUID
    requested: RequestedCall
    spec: ToolSpec | None
    arguments: dict[str, Any]
    problem: str | None

    @property
    def stored(self) -> dict[str, Any]:
        """The call as the assistant's message keeps it; always with well-formed arguments."""
        text = orjson.dumps(self.arguments).decode()
        return {
            "call_id": str(self.call_id),
            "tool": storable(self.requested.tool),
            "arguments": text,
        }


class LedgerEntries(NamedTuple):
    """What became of a step's calls: those that can be made, and what the stream tells."""

    made: tuple[CallRef, ...]
    notes: list[NewRunEvent]


def check(order: StepInput, agent: AgentSpec, position: int, asked: RequestedCall) -> CheckedCall:
    """Read one call, and tell what is wrong with it.

    Args:
        order: The step that it belongs to.
        agent: Whose tools there are.
        position: Among the step's calls, from 0.
        asked: As the model wrote it.
    """
    ours = call_id(order.agent_run_id, order.step, position)
    if asked.tool not in agent.tools:
        problem = f"there is no such tool; there are: {', '.join(agent.tools) or 'none'}"
        return CheckedCall(ours, asked, None, {}, problem)
    spec = TOOLS[asked.tool]
    try:
        arguments = spec.arguments.model_validate(storable(read_arguments(asked.arguments)))
    except InvalidInputError as error:
        return CheckedCall(ours, asked, spec, {}, error.message)
    except ValidationError as error:
        return CheckedCall(ours, asked, spec, {}, _named(error))
    return CheckedCall(ours, asked, spec, arguments.model_dump(mode="json"), None)


async def enter(
    session: AsyncSession,
    run: AgentRun,
    order: StepInput,
    agent: AgentSpec,
    calls: list[CheckedCall],
) -> LedgerEntries:
    """Enter a step's calls into the ledger, with the approvals that they need.

    Args:
        session: The transaction that also stores the model's message.
        run: Whose calls.
        order: Which step; approvals expire by its time.
        agent: Says how long a person may think.
        calls: Checked.

    Returns:
        The calls that can be made, and what the stream tells of all of them.
    """
    expires_at = order.at + agent.approval_ttl
    made: list[CallRef] = []
    notes: list[NewRunEvent] = []
    for position, call in enumerate(calls):
        await _enter_one(session, run, order.step, position, call)
        notes.append(_asked(call))
        if call.spec is None or call.problem is not None:
            notes.append(await _answer(session, run, call))
            continue
        needs_yes = call.spec.approver_role is not None
        until = expires_at if needs_yes else None
        made.append(CallRef(call_id=call.call_id, tool=call.spec.name, expires_at=until))
        if needs_yes:
            notes.append(await _ask_for_yes(session, run, call, expires_at))
    if any(ref.expires_at for ref in made):
        waiting = {"run_status": RunStatus.WAITING_APPROVAL}
        await AgentRunRepository(session).change(run.agent_run_id, waiting)
        notes.append(NewRunEvent(kind=RunEventKind.STATUS, data=waiting))
    return LedgerEntries(tuple(made), notes)


async def _enter_one(
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


async def _answer(session: AsyncSession, run: AgentRun, call: CheckedCall) -> NewRunEvent:
    result = _refusal(call)
    await MessageRepository(session).add(
        run.conversation_id,
        f"tool-result:{call.call_id}",
        Role.TOOL,
        fenced_result(result),
        agent_run_id=run.agent_run_id,
        call_id=call.call_id,
    )
    facts = {"call_id": str(call.call_id), "tool": call.requested.tool, "result": result}
    return NewRunEvent(kind=RunEventKind.TOOL_RESULT, data=facts)


def fenced_result(result: dict[str, Any]) -> str:
    """Render what came of a call for the model: fenced, and marked if it looks like orders."""
    fenced = fence(orjson.dumps(result).decode(), "tool-result")
    return f"{warning(screen_document(result))}\n{fenced}".lstrip()


async def _ask_for_yes(
    session: AsyncSession,
    run: AgentRun,
    call: CheckedCall,
    expires_at: datetime,
) -> NewRunEvent:
    digest = args_digest(call.requested.tool, call.arguments)
    effect = await expected_effect(session, run, call.requested.tool, call.arguments)
    values = {
        "call_id": call.call_id,
        "agent_run_id": run.agent_run_id,
        "args_sha256": digest,
        "effect_data": effect,
        "approver_role": call.spec.approver_role if call.spec else None,
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


def _asked(call: CheckedCall) -> NewRunEvent:
    facts = {
        "call_id": str(call.call_id),
        "tool": call.requested.tool,
        "arguments": call.arguments,
    }
    return NewRunEvent(kind=RunEventKind.TOOL_CALL, data=facts)


def _refusal(call: CheckedCall) -> dict[str, Any]:
    return {"status": "failed", "code": MALFORMED, "message": call.problem}


def _named(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_input=False)[:_MAX_NAMED_ERRORS]
    named = (f"{'.'.join(map(str, each['loc'])) or 'arguments'}: {each['msg']}" for each in found)
    return f"wrong arguments: {'; '.join(named)}"


class ToolCallContext(NamedTuple):
    """A call, whose run it is, and what a person said to it."""

    run: AgentRun
    call: ToolCall
    approval: Approval | None
