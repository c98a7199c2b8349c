"""Calls of the activities of an agent run and of its steps; only ids and decisions are passed."""

import asyncio
from contextlib import suppress

from temporalio import workflow
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from activities.agents.approvals import ApprovalActivities
    from activities.agents.completion import RunClosingActivities
    from activities.agents.conversation_queue import ConversationQueueActivities
    from activities.agents.model_calls import ModelCallActivities
    from activities.agents.retrieval import RetrievalActivities
    from activities.agents.runs import RunActivities
    from activities.agents.teams import TeamActivities
    from activities.agents.tool_calls import ToolActivities
    from domain.agents.approvals import ApprovalCommand, ApprovalResult, ExpiryInput
    from domain.agents.routes import TeamRules
    from domain.agents.runs import (
        CallRef,
        CloseRunInput,
        CloseRunResult,
        NewRunMessage,
        PlanInput,
        QueuePosition,
        RaiseBudget,
        RunRequest,
        RunStatus,
        StepInput,
        StepResult,
        ToolCallInput,
    )
    from domain.llm.batches import Urgency
    from workflows.activity_options import (
        BATCH_CALL,
        CANCEL_BATCH,
        LOOK_UP,
        MODEL_CALL,
        RECORD,
        TOOL_CALL,
    )
    from workflows.agents.state import RunState
    from workflows.cancellation import await_cancellable
    from workflows.records import execute_record


async def open_run(run: RunState) -> QueuePosition:
    """Write the run's row, or raise an error if the run is refused."""
    if run.start.request.parent is not None:
        summary = "open the run of a team's member"
        return await execute_record(
            TeamActivities.open_child_run, run.start.request, summary, is_local=run.is_short
        )
    summary = "check the allowance, and open the run"
    return await execute_record(
        RunActivities.open_run, run.start.request, summary, is_local=run.is_short
    )


async def start_if_first(request: RunRequest) -> QueuePosition:
    """Begin the run if it is the first open run of its conversation."""
    return await await_cancellable(
        workflow.execute_activity_method(
            ConversationQueueActivities.start_if_first,
            request,
            **RECORD,
            summary="check whether the run is first in its conversation",
        ),
    )


async def decide_approval(command: ApprovalCommand) -> ApprovalResult:
    """Record a person's decision about a tool call."""
    return await workflow.execute_activity_method(
        ApprovalActivities.decide_approval,
        command,
        **RECORD,
        summary=f"{command.decision} tool call {command.call_id}, user {command.decided_by}",
    )


async def expire_approval(run: RunState, call: CallRef) -> ApprovalResult:
    """Record that an approval expired without a decision."""
    activity_input = ExpiryInput(
        agent_run_id=run.agent_run_id,
        call_id=call.call_id,
        at=workflow.now(),
    )
    return await await_cancellable(
        workflow.execute_activity_method(
            ApprovalActivities.expire_approval,
            activity_input,
            **RECORD,
            summary="the approval expires",
        ),
    )


async def add_run_message(message: NewRunMessage) -> None:
    """Add a user's message to the run."""
    await workflow.execute_activity_method(
        RunActivities.add_run_message,
        message,
        **RECORD,
        summary="the user adds a message",
    )


async def raise_budget(command: RaiseBudget) -> None:
    """Raise the budget of the run."""
    await workflow.execute_activity_method(
        RunActivities.raise_budget,
        command,
        **RECORD,
        summary="the budget is raised",
    )


async def close_run(run: RunState, end: CloseRunInput) -> CloseRunResult:
    """Record how the run ended."""
    return await execute_record(
        RunClosingActivities.close_run, end, end.run_status, is_local=run.is_short
    )


async def remember_run(run: RunState) -> None:
    """Store question and answer as a memory of the user; losing it is acceptable."""
    await workflow.execute_activity_method(
        RetrievalActivities.remember_run,
        _step_input(run, 0),
        **LOOK_UP,
        summary="store the memory",
    )


async def retrieve(run: RunState) -> None:
    """Find the passages that answer the run's question."""
    await await_cancellable(
        workflow.execute_activity_method(
            RetrievalActivities.retrieve,
            _step_input(run, 0),
            **LOOK_UP,
            summary="search the documents",
        ),
    )


async def ask_model(run: RunState, step: int) -> StepResult:
    """Call the model once; before the first step, find the passages that answer the question.

    The batch of a call that is canceled is canceled as well.
    """
    step_input = _step_input(run, step)
    is_batch = step_input.urgency is Urgency.BATCH
    is_retrieving = run.is_short and run.start.route.has_retrieval and not step
    summary = f"search the documents, step {step}" if is_retrieving else f"step {step}"
    try:
        return await await_cancellable(
            workflow.execute_activity_method(
                ModelCallActivities.ask_model,
                step_input.model_copy(update={"is_retrieving": is_retrieving}),
                **(BATCH_CALL if is_batch else MODEL_CALL),
                cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
                summary=f"{summary}, by a batch" if is_batch else summary,
            ),
        )
    except asyncio.CancelledError:
        if is_batch:
            await _cancel_batch(step_input)
        raise


async def _cancel_batch(step_input: StepInput) -> None:
    """Cancel the batch of a step, as far as the provider can be reached in time."""
    canceling = asyncio.ensure_future(
        workflow.execute_activity_method(
            ModelCallActivities.cancel_model_batch,
            step_input,
            **CANCEL_BATCH,
            summary="cancel the batch",
        ),
    )
    # Reason: otherwise the run is closed all the same, and the batch booked at its worst case.
    with suppress(FailureError):
        await asyncio.shield(canceling)


async def plan_team_step(run: RunState, step: int, team: TeamRules) -> StepResult:
    """Make the next move of a team whose steps are planned by rule."""
    step_input = _step_input(run, step).model_dump()
    plan = PlanInput(**step_input, pattern=run.start.route.pattern, team=team)
    summary = f"plan step {step} of the team"
    return await execute_record(TeamActivities.plan_team_step, plan, summary, is_local=run.is_short)


async def read_run_status(run: RunState, request: RunRequest) -> RunStatus | None:
    """Return the status of another run; None if it has no row."""
    summary = "look whether the run of a team's member has ended"
    return await execute_record(
        TeamActivities.read_run_status, request, summary, is_local=run.is_short
    )


async def run_tool(run: RunState, call: CallRef) -> None:
    """Make a tool call; an approved call is finished even if the run is canceled."""
    tool_run = workflow.execute_activity_method(
        ToolActivities.run_tool,
        ToolCallInput(agent_run_id=run.agent_run_id, call_id=call.call_id),
        **TOOL_CALL,
        summary=call.tool,
    )
    if call.expires_at is None:  # a read-only tool, whose system may be down for hours
        await await_cancellable(tool_run)
        return
    effect = asyncio.ensure_future(tool_run)
    run.effects.add(effect)
    # Reason: a canceled run must not leave an effect without its record.
    await asyncio.shield(effect)


async def finish_effects(run: RunState) -> None:
    """Wait for the approved tool calls that are under way."""
    for effect in list(run.effects):
        with suppress(FailureError):
            await effect


def _step_input(run: RunState, step: int) -> StepInput:
    return StepInput(
        agent_run_id=run.agent_run_id,
        step=step,
        at=workflow.now(),
        on_budget=run.start.request.on_budget,
        urgency=run.start.request.urgency,
    )
