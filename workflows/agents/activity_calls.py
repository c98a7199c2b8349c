"""What a run has written down outside its workflow: its beginning, its end, what people say."""

import asyncio
from contextlib import suppress
from uuid import UUID

from temporalio import workflow
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from activities.agents.approvals import ApprovalActivities
    from activities.agents.completion import RunClosingActivities
    from activities.agents.conversation_queue import ConversationQueueActivities
    from activities.agents.model_calls import StepActivities
    from activities.agents.retrieval import RetrievalActivities
    from activities.agents.runs import RunActivities
    from activities.agents.tool_calls import ToolActivities
    from domain.agents.approvals import ApprovalCommand, ApprovalResult, ExpiryInput
    from domain.agents.runs import (
        CallRef,
        NewRunMessage,
        QueuePosition,
        RunClosed,
        RunEnd,
        RunRequest,
        StepInput,
        StepReply,
        ToolCallInput,
    )
    from workflows.activity_options import LOOK_UP, MODEL_CALL, RECORD, TOOL_CALL
    from workflows.cancellation import await_cancellable


class RunActivityCalls:
    """Everything that one run asks of others; only ids go out and come back."""

    def __init__(self, request: RunRequest) -> None:
        self._request = request
        self._agent_run_id = request.agent_run_id

    async def open(self) -> QueuePosition:
        """Write the row, or learn that the run is refused."""
        return await workflow.execute_activity_method(
            RunActivities.open_run,
            self._request,
            **RECORD,
            summary="admit",
        )

    async def start_if_first(self) -> QueuePosition:
        """Begin, if it is our turn in the conversation."""
        return await await_cancellable(
            workflow.execute_activity_method(
                ConversationQueueActivities.start_if_first,
                self._request,
                **RECORD,
                summary="our turn?",
            ),
        )

    async def decide(self, command: ApprovalCommand) -> ApprovalResult:
        """Write down what a person decided."""
        return await workflow.execute_activity_method(
            ApprovalActivities.decide_approval,
            command,
            **RECORD,
            summary=f"{command.decision} {command.call_id}",
        )

    async def expire(self, call: CallRef) -> ApprovalResult:
        """Write down that nobody decided."""
        order = ExpiryInput(
            agent_run_id=self._agent_run_id,
            call_id=call.call_id,
            at=workflow.now(),
        )
        return await await_cancellable(
            workflow.execute_activity_method(
                ApprovalActivities.expire_approval,
                order,
                **RECORD,
                summary="silence is a no",
            ),
        )

    async def add_message(self, message: NewRunMessage) -> None:
        """Add what the user says meanwhile."""
        await workflow.execute_activity_method(
            RunActivities.add_run_message,
            message,
            **RECORD,
            summary="the user adds a message",
        )

    async def close(self, end: RunEnd) -> RunClosed:
        """Write down how the run ended."""
        return await workflow.execute_activity_method(
            RunClosingActivities.close_run,
            end,
            **RECORD,
            summary=end.run_status,
        )

    async def remember(self) -> None:
        """Keep question and answer among the user's memories; news that can wait, and get lost."""
        await workflow.execute_activity_method(
            RetrievalActivities.remember_run,
            StepInput(agent_run_id=self._agent_run_id, step=0, at=workflow.now()),
            **LOOK_UP,
            summary="remember",
        )


class StepActivityCalls:
    """The activities of one run's steps; only ids go out and come back."""

    def __init__(self, agent_run_id: UUID) -> None:
        self._agent_run_id = agent_run_id
        self._effects: set[asyncio.Future[None]] = set()

    async def retrieve(self) -> None:
        """Find the passages that answer the question."""
        await await_cancellable(
            workflow.execute_activity_method(
                RetrievalActivities.retrieve,
                self._order(0),
                **LOOK_UP,
                summary="look into the documents",
            ),
        )

    async def ask_model(self, step: int) -> StepReply:
        """Ask the model once."""
        return await await_cancellable(
            workflow.execute_activity_method(
                StepActivities.ask_model,
                self._order(step),
                **MODEL_CALL,
                cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
                summary=f"step {step}",
            ),
        )

    async def run_tool(self, call: CallRef) -> None:
        """Make a call; one that somebody said yes to is seen to its end even if we are canceled."""
        order = ToolCallInput(agent_run_id=self._agent_run_id, call_id=call.call_id)
        making = workflow.execute_activity_method(
            ToolActivities.run_tool,
            order,
            **TOOL_CALL,
            summary=call.tool,
        )
        if call.expires_at is None:  # it only looks, perhaps at what is down for hours
            await await_cancellable(making)
            return
        effect = asyncio.ensure_future(making)
        self._effects.add(effect)
        # Reason: whoever cancels us must not leave an effect without its record.
        await asyncio.shield(effect)

    async def finish_effects(self) -> None:
        """Wait for what must not be left half done."""
        for effect in list(self._effects):
            with suppress(FailureError):
                await effect

    def _order(self, step: int) -> StepInput:
        return StepInput(agent_run_id=self._agent_run_id, step=step, at=workflow.now())
