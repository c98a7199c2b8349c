"""What the nodes of a run's graph have done for them: looking up, thinking, acting."""

import asyncio
from contextlib import suppress
from uuid import UUID

from temporalio import workflow
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from activities.agents.model_calls import StepActivities
    from activities.agents.retrieval import RetrievalActivities
    from activities.agents.tool_calls import ToolActivities
    from domain.agents.runs import CallRef, StepOrder, StepReply, ToolOrder
    from workflows.activity_options import LOOK_UP, MODEL_CALL, TOOL_CALL
    from workflows.cancellation import or_canceled


class AgentHands:
    """The activities of one run's steps; only ids go out and come back."""

    def __init__(self, agent_run_id: UUID) -> None:
        self._agent_run_id = agent_run_id
        self._effects: set[asyncio.Future[None]] = set()

    async def retrieve(self) -> None:
        """Find the passages that answer the question."""
        await or_canceled(
            workflow.execute_activity_method(
                RetrievalActivities.retrieve,
                self._order(0),
                **LOOK_UP,
                summary="look into the documents",
            ),
        )

    async def think(self, step: int) -> StepReply:
        """Ask the model once."""
        return await or_canceled(
            workflow.execute_activity_method(
                StepActivities.think,
                self._order(step),
                **MODEL_CALL,
                cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
                summary=f"step {step}",
            ),
        )

    async def run_tool(self, call: CallRef) -> None:
        """Make a call; one that somebody said yes to is seen to its end even if we are canceled."""
        order = ToolOrder(agent_run_id=self._agent_run_id, call_id=call.call_id)
        making = workflow.execute_activity_method(
            ToolActivities.run_tool,
            order,
            **TOOL_CALL,
            summary=call.tool,
        )
        if call.expires_at is None:  # it only looks, perhaps at what is down for hours
            await or_canceled(making)
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

    def _order(self, step: int) -> StepOrder:
        return StepOrder(agent_run_id=self._agent_run_id, step=step, at=workflow.now())
