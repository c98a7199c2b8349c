"""Sends decisions about approvals to the runs that wait for them, from routes and from pages."""

from datetime import UTC, datetime

from temporalio.client import Client

from adapters.temporal.calls import CALL_TIMEOUT
from api.idempotency import Claim
from api.starters.run_commands import send_to_run
from database.agents.models import AgentRun, Approval
from database.session import Sessions
from domain.agents.approvals import ApprovalCommand, decide_approval
from services.agents.approvals import approval_snapshot
from workflows.agents.agent_run import AgentRunWorkflow


async def send_decision(
    temporal: Client,
    sessions: Sessions,
    run: AgentRun,
    approval: Approval,
    tool: str,
    claim: Claim,
    command: ApprovalCommand,
) -> None:
    """Send a decision to the run, unless it was made before.

    Args:
        temporal: Client of Temporal.
        sessions: Factory of database sessions.
        run: Run that asked for the approval.
        approval: The approval as it was read.
        tool: Tool of its call.
        claim: Ids of the POST.
        command: The decision.

    Raises:
        ForbiddenError: The user may not decide this approval.
        ConflictError: Other arguments, expired, or decided in another way.
        OutcomePendingError: No answer came in time; the decision goes on.
        ApplicationError: The run has ended, or Temporal cannot be reached.
    """
    snapshot = approval_snapshot(approval, tool)
    if decide_approval(snapshot, command, datetime.now(UTC)) is not None:
        update = AgentRunWorkflow.decide
        await send_to_run(temporal, sessions, run, update, command, claim, CALL_TIMEOUT)
