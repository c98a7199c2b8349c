"""Calls of the activities of an agent run and of its steps."""

import asyncio
from contextlib import suppress
from uuid import UUID

from temporalio import workflow
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from activities.agents.approvals import ApprovalActivities
    from activities.agents.completion import RunClosingActivities
    from activities.agents.conversation_queue import ConversationQueueActivities
    from activities.agents.model_calls import ModelCallActivities
    from activities.agents.retrieval import RetrievalActivities
    from activities.agents.runs import RunActivities
    from activities.agents.tool_calls import ToolActivities
    from domain.agents.approvals import ApprovalCommand, ApprovalResult, ExpiryInput
    from domain.agents.runs import (
        CallRef,
        CloseRunInput,
        CloseRunResult,
        NewRunMessage,
        QueuePosition,
        RunRequest,
        StepInput,
        StepResult,
        ToolCallInput,
    )
    from workflows.activity_options import LOOK_UP, MODEL_CALL, RECORD, TOOL_CALL
    from workflows.cancellation import await_cancellable


class RunActivityCalls:
    """The activity calls of one run; only ids and decisions are passed."""

    def __init__(self, request: RunRequest) -> None:
        self._request = request
        self._agent_run_id = request.agent_run_id

    async def open(self) -> QueuePosition:
        """Open the run: write its row, or raise an error if the run is refused."""
        return await workflow.execute_activity_method(
            RunActivities.open_run,
            self._request,
            **RECORD,
            summary="check the allowance, and open the run",
        )

    async def start_if_first(self) -> QueuePosition:
        """Begin the run if it is the first open run of its conversation."""
        return await await_cancellable(
            workflow.execute_activity_method(
                ConversationQueueActivities.start_if_first,
                self._request,
                **RECORD,
                summary="check whether the run is first in its conversation",
            ),
        )

    async def decide(self, command: ApprovalCommand) -> ApprovalResult:
        """Record a person's decision about a tool call."""
        return await workflow.execute_activity_method(
            ApprovalActivities.decide_approval,
            command,
            **RECORD,
            summary=f"{command.decision} tool call {command.call_id}, user {command.decided_by}",
        )

    async def expire(self, call: CallRef) -> ApprovalResult:
        """Record that an approval expired without a decision."""
        activity_input = ExpiryInput(
            agent_run_id=self._agent_run_id,
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

    async def add_message(self, message: NewRunMessage) -> None:
        """Add a user's message to the run."""
        await workflow.execute_activity_method(
            RunActivities.add_run_message,
            message,
            **RECORD,
            summary="the user adds a message",
        )

    async def close(self, end: CloseRunInput) -> CloseRunResult:
        """Record how the run ended."""
        return await workflow.execute_activity_method(
            RunClosingActivities.close_run,
            end,
            **RECORD,
            summary=end.run_status,
        )

    async def remember(self) -> None:
        """Store question and answer as a memory of the user; losing it is acceptable."""
        await workflow.execute_activity_method(
            RetrievalActivities.remember_run,
            StepInput(agent_run_id=self._agent_run_id, step=0, at=workflow.now()),
            **LOOK_UP,
            summary="store the memory",
        )


class StepActivityCalls:
    """The activity calls of one run's steps; only ids and decisions are passed."""

    def __init__(self, agent_run_id: UUID) -> None:
        self._agent_run_id = agent_run_id
        self._effects: set[asyncio.Future[None]] = set()

    async def retrieve(self) -> None:
        """Find the passages that answer the run's question."""
        await await_cancellable(
            workflow.execute_activity_method(
                RetrievalActivities.retrieve,
                self._step_input(0),
                **LOOK_UP,
                summary="search the documents",
            ),
        )

    async def ask_model(self, step: int) -> StepResult:
        """Call the model once."""
        return await await_cancellable(
            workflow.execute_activity_method(
                ModelCallActivities.ask_model,
                self._step_input(step),
                **MODEL_CALL,
                cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
                summary=f"step {step}",
            ),
        )

    async def run_tool(self, call: CallRef) -> None:
        """Make a tool call; an approved call is finished even if the run is canceled."""
        activity_input = ToolCallInput(agent_run_id=self._agent_run_id, call_id=call.call_id)
        tool_run = workflow.execute_activity_method(
            ToolActivities.run_tool,
            activity_input,
            **TOOL_CALL,
            summary=call.tool,
        )
        if call.expires_at is None:  # a read-only tool, whose system may be down for hours
            await await_cancellable(tool_run)
            return
        effect = asyncio.ensure_future(tool_run)
        self._effects.add(effect)
        # Reason: a canceled run must not leave an effect without its record.
        await asyncio.shield(effect)

    async def finish_effects(self) -> None:
        """Wait for the approved tool calls that are under way."""
        for effect in list(self._effects):
            with suppress(FailureError):
                await effect

    def _step_input(self, step: int) -> StepInput:
        return StepInput(agent_run_id=self._agent_run_id, step=step, at=workflow.now())
