"""What a run has done for it outside its workflow."""

import asyncio

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.agent_approvals import ApprovalActivities
    from activities.agent_desk import AgentDeskActivities
    from activities.agent_endings import EndingActivities
    from activities.agent_retrieval import RetrievalActivities
    from activities.agent_steps import StepActivities
    from activities.agent_tools import ToolActivities
    from domain.agent_runs import (
        CallRef,
        Closed,
        NewRunMessage,
        RunEnd,
        RunRequest,
        StepOrder,
        StepReply,
        ToolOrder,
        Turn,
    )
    from domain.approvals import ApprovalCommand, ExpiryOrder, Verdict
    from workflows.timeouts import LOOK_UP, MODEL_CALL, RECORD, TOOL_CALL


class AgentDesk:
    """Everything that one run asks of others; only ids go out and come back."""

    def __init__(self, request: RunRequest) -> None:
        self._request = request
        self._agent_run_id = request.agent_run_id
        self._effects: set[asyncio.Future[None]] = set()

    async def open(self) -> Turn:
        """Write the row, or learn that the run is refused."""
        return await workflow.execute_activity_method(
            AgentDeskActivities.open_run,
            self._request,
            **RECORD,
            summary="admit",
        )

    async def take_turn(self) -> Turn:
        """Begin, if it is our turn in the conversation."""
        return await workflow.execute_activity_method(
            AgentDeskActivities.take_turn,
            self._request,
            **RECORD,
            summary="our turn?",
        )

    async def retrieve(self) -> None:
        """Find the passages that answer the question."""
        await workflow.execute_activity_method(
            RetrievalActivities.retrieve,
            self._order(0),
            **LOOK_UP,
            summary="look into the documents",
        )

    async def think(self, step: int) -> StepReply:
        """Ask the model once."""
        return await workflow.execute_activity_method(
            StepActivities.think,
            self._order(step),
            **MODEL_CALL,
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            summary=f"step {step}",
        )

    async def run_tool(self, call: CallRef) -> None:
        """Make a call, and see it to its end even if the run is canceled."""
        order = ToolOrder(agent_run_id=self._agent_run_id, call_id=call.call_id)
        effect = asyncio.ensure_future(
            workflow.execute_activity_method(
                ToolActivities.run_tool,
                order,
                **TOOL_CALL,
                summary=call.tool,
            ),
        )
        self._effects.add(effect)
        # Reason: whoever cancels us must not leave an effect without its record.
        await asyncio.shield(effect)

    async def finish_effects(self) -> None:
        """Wait for what must not be left half done."""
        for effect in list(self._effects):
            await effect

    async def decide(self, command: ApprovalCommand) -> Verdict:
        """Write down what a person decided."""
        return await workflow.execute_activity_method(
            ApprovalActivities.decide_approval,
            command,
            **RECORD,
            summary=f"{command.decision} {command.call_id}",
        )

    async def expire(self, call: CallRef) -> Verdict:
        """Write down that nobody decided."""
        order = ExpiryOrder(
            agent_run_id=self._agent_run_id,
            call_id=call.call_id,
            at=workflow.now(),
        )
        return await workflow.execute_activity_method(
            ApprovalActivities.expire_approval,
            order,
            **RECORD,
            summary="silence is a no",
        )

    async def add_message(self, message: NewRunMessage) -> None:
        """Add what the user says meanwhile."""
        await workflow.execute_activity_method(
            AgentDeskActivities.add_run_message,
            message,
            **RECORD,
            summary="the user adds a message",
        )

    async def close(self, end: RunEnd) -> Closed:
        """Write down how the run ended."""
        return await workflow.execute_activity_method(
            EndingActivities.close_run,
            end,
            **RECORD,
            summary=end.run_status,
        )

    async def remember(self) -> None:
        """Keep question and answer among the user's memories; news that can wait, and get lost."""
        await workflow.execute_activity_method(
            RetrievalActivities.remember_run,
            self._order(0),
            **LOOK_UP,
            summary="remember",
        )

    def _order(self, step: int) -> StepOrder:
        return StepOrder(agent_run_id=self._agent_run_id, step=step, at=workflow.now())
