"""Routes by which people decide tool calls of runs, and answer the questions of runs."""

from collections.abc import Mapping
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends
from fastapi.responses import JSONResponse

from api.deps import Caller, CallerDep, SessionsDep, TemporalDep, ToolsDep
from api.http.routing import ApiRouter
from api.idempotency import Claim, IdempotentDep
from api.openapi.problems import (
    APPROVAL_CLOSED,
    APPROVER_REQUIRED,
    INVALID_ARGUMENTS,
    NO_QUESTION,
    OTHER_ARGUMENTS,
    TEMPORAL_DOWN,
    UNKNOWN_CALL,
    WORKFLOW_MISSING,
    illegal,
    no_such,
    pending,
    problems,
)
from api.queries.agent_runs import find_agent_run
from api.schemas.agent_runs import AgentRunOut, DecidedRunOut
from api.schemas.run_decisions import AnswerIn, ApprovalIn
from api.starters.approvals import send_decision
from api.starters.run_commands import read_now
from database.agents.approvals import ApprovalRepository
from database.agents.models import AgentRun, Approval, ToolCall
from database.agents.tool_calls import ToolCallRepository
from database.session import Sessions
from domain.agents.approvals import (
    OWNER,
    ApprovalCommand,
    ApprovalStatus,
    Decision,
    closed_approval,
    decided_digest,
    no_question,
    unknown_call,
)
from services.agents.approvals import edited_arguments

router = ApiRouter(prefix="/agent-runs", tags=["agent-runs"])

_NO_ANSWER = (pending("agent_run_id"), TEMPORAL_DOWN)


async def get_decidable(agent_run_id: UUID, caller: CallerDep, sessions: SessionsDep) -> AgentRun:
    """Return the run in the path if it is the caller's, or if the caller may decide a call of it.

    Raises:
        NotFoundError: There is no such run.
    """
    scope = caller.scope
    async with sessions() as session:
        approvals = ApprovalRepository(session)
        if scope is not None and await approvals.is_delegated(agent_run_id, scope):
            scope = None
    return await find_agent_run(sessions, agent_run_id, scope)


DecidableDep = Annotated[AgentRun, Depends(get_decidable)]


@router.post(
    "/{agent_run_id}/approve",
    response_model=DecidedRunOut,
    responses=problems(
        APPROVER_REQUIRED,
        INVALID_ARGUMENTS,
        no_such("agent run"),
        UNKNOWN_CALL,
        OTHER_ARGUMENTS,
        APPROVAL_CLOSED,
        illegal("run", "run_status", "completed"),
        *_NO_ANSWER,
        WORKFLOW_MISSING,
    ),
)
async def decide_tool_call(
    body: ApprovalIn,
    run: DecidableDep,
    caller: CallerDep,
    sessions: SessionsDep,
    temporal: TemporalDep,
    tools: ToolsDep,
    once: IdempotentDep,
) -> JSONResponse:
    """Approve or reject a tool call that waits for approval.

    An approval may change the call's `arguments`; the answer has the digest of those that were
    decided. Repeating a decision changes nothing.
    """

    async def work(claim: Claim) -> DecidedRunOut:
        approval, call = await _asked(sessions, run, body.call_id)
        command = _command(run, caller, claim, approval, body.model_dump())
        if body.arguments is not None:
            edited = edited_arguments(tools.find(call.tool), body.arguments)
            command = command.model_copy(update={"arguments": edited})
        await send_decision(temporal, sessions, run, approval, call.tool, claim, command)
        shown = await read_now(sessions, run)
        return DecidedRunOut(**shown.model_dump(), args_sha256=decided_digest(call.tool, command))

    return await once.run(caller.user_id, work)


@router.post(
    "/{agent_run_id}/answer",
    response_model=AgentRunOut,
    responses=problems(
        APPROVER_REQUIRED,
        no_such("agent run"),
        UNKNOWN_CALL,
        NO_QUESTION,
        APPROVAL_CLOSED,
        illegal("run", "run_status", "completed"),
        *_NO_ANSWER,
        WORKFLOW_MISSING,
    ),
)
async def answer_question(
    body: AnswerIn,
    run: DecidableDep,
    caller: CallerDep,
    sessions: SessionsDep,
    temporal: TemporalDep,
    once: IdempotentDep,
) -> JSONResponse:
    """Answer a question of a run (`ask_user`), which goes on with the answer.

    Only the run's owner answers, or whom an administrator has delegated the question to. To leave
    a question unanswered, reject it.
    """

    async def work(claim: Claim) -> AgentRunOut:
        approval, call = await _asked(sessions, run, body.call_id)
        if approval.approver_role != OWNER:
            raise no_question()
        if approval.decided_at is not None and approval.reason != body.content:
            raise closed_approval(ApprovalStatus(approval.approval_status))
        answer = {
            "call_id": body.call_id,
            "args_sha256": approval.args_sha256,
            "decision": Decision.APPROVE,
            "reason": body.content,
        }
        command = _command(run, caller, claim, approval, answer)
        await send_decision(temporal, sessions, run, approval, call.tool, claim, command)
        return await read_now(sessions, run)

    return await once.run(caller.user_id, work)


async def _asked(sessions: Sessions, run: AgentRun, call_id: UUID) -> tuple[Approval, ToolCall]:
    """Return a call of a run that waits, or has waited, for a person, and its approval.

    Raises:
        ConflictError: There is no such call (`unknown_call`).
    """
    async with sessions() as session:
        ledger = ToolCallRepository(session)
        approval, call = await ledger.approval(call_id), await ledger.get(call_id)
    if approval is None or call is None or approval.agent_run_id != run.agent_run_id:
        raise unknown_call()
    return approval, call


def _command(
    run: AgentRun, caller: Caller, claim: Claim, approval: Approval, decision: Mapping[str, Any]
) -> ApprovalCommand:
    is_owner = caller.user_id == run.user_id and approval.approver_role == OWNER
    return ApprovalCommand(
        command_id=claim.command_id,
        agent_run_id=run.agent_run_id,
        decided_by=caller.user_id,
        role=OWNER if is_owner else caller.role,
        **decision,
    )
