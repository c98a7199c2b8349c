"""Runs a run's graph from interrupt to interrupt, and passes people's decisions to it."""

from contextlib import suppress
from enum import Enum, auto
from typing import Any
from uuid import UUID

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
    from langgraph.types import Command

    from domain.agents.approvals import ApprovalResult
    from domain.agents.runs import CallRef, RunFinish, RunStart
    from workflows.agents.activity_calls import RunActivityCalls, StepActivityCalls
    from workflows.agents.graphs.pipeline import NODES_PER_STEP, State, is_long, pipeline
    from workflows.cancellation import await_cancellable

# Reason: a checkpoint with our own types can only be read back if the types are listed here.
_SERDE = JsonPlusSerializer(allowed_msgpack_modules=[(CallRef.__module__, CallRef.__name__)])
# Patch id: a run that waits for a decision may continue as new.
WAITING_RUN_CONTINUES = "a-waiting-run-continues-as-new"


class GraphOutcome(Enum):
    """How one execution of the graph ends."""

    ANSWERED = auto()
    BUDGET_EXCEEDED = auto()
    CONTINUE_AS_NEW = auto()


class GraphRunner:
    """Runs the graph of one run; its checkpoints stay in memory, as Temporal keeps the state."""

    def __init__(self, start: RunStart, calls: RunActivityCalls) -> None:
        self._start = start
        self._calls = calls
        self._step_calls = StepActivityCalls(start.request.agent_run_id)
        self._decided: dict[UUID, ApprovalResult] = {}
        self.message_count = self._stored_count = start.message_count
        self.step = start.step
        self.finish = RunFinish.STOP
        self.is_over = False

    def on_decision(self, result: ApprovalResult) -> None:
        """Record a decision about a tool call."""
        self._decided[result.call_id] = result

    @property
    def unstored_count(self) -> int:
        """The number of messages that are not stored yet."""
        return self.message_count - self._stored_count

    def expect_message(self) -> None:
        """Count a new message of the user, which the model has to read before the run ends."""
        self.message_count += 1

    def note_stored_message(self) -> None:
        """Count an expected message as stored."""
        self._stored_count += 1

    def forget_message(self) -> None:
        """Uncount an expected message that was refused."""
        self.message_count -= 1

    async def run(self) -> GraphOutcome:
        """Run the graph until there is an answer or the run has to continue as new.

        Returns:
            How the graph ended; for `CONTINUE_AS_NEW`, `step` is the next step.

        Raises:
            ActivityError: A step failed for good.
            ApplicationError: There is no answer within the steps allowed.
        """
        while True:
            # Reason: the model can only read messages that are stored.
            await workflow.wait_condition(lambda: self._stored_count == self.message_count)
            seen_message_count = self.message_count
            state = await self._run_once()
            self.step = state["step"]
            if state["is_cut_by_budget"]:
                self.is_over = True
                return GraphOutcome.BUDGET_EXCEEDED
            if not state["is_answered"]:
                return GraphOutcome.CONTINUE_AS_NEW
            read = state.get("read_count")
            has_read_all = read is not None and read >= self.message_count
            if has_read_all or seen_message_count >= self.message_count:
                self.is_over = True
                self.finish = RunFinish(state["finish"])
                return GraphOutcome.ANSWERED

    async def finish_effects(self) -> None:
        """Wait for the approved tool calls that are under way."""
        await self._step_calls.finish_effects()

    async def _run_once(self) -> State:
        """Run the graph once, up to an answer or until the history has grown too long."""
        graph = pipeline(self._step_calls, self._start.route, self._start.continue_as_new_after)
        app = graph.compile(checkpointer=InMemorySaver(serde=_SERDE))
        limit = NODES_PER_STEP * (self._start.route.max_step_count + 1)
        config: Any = {"configurable": {"thread_id": str(self.step)}, "recursion_limit": limit}
        state: Any = await app.ainvoke({"step": self.step}, config)
        while "__interrupt__" in state:
            call: CallRef = state["__interrupt__"][0].value
            if not await self._await_decision(call):
                return {"step": state["step"] - 1, "is_answered": False, "is_cut_by_budget": False}
            state = await app.ainvoke(Command(resume=True), config)
        done: State = state
        return done

    async def _await_decision(self, call: CallRef) -> bool:
        """Wait for a decision about a call; without a decision in time the approval expires.

        Returns:
            Whether the call is decided; if not, the run continues as new and then waits again.
        """
        if call.is_decided or call.expires_at is None or call.call_id in self._decided:
            return True
        # Reason: runs that began before this patch never continued as new while waiting.
        can_continue = workflow.patched(WAITING_RUN_CONTINUES)

        def is_long_by_now() -> bool:
            is_suggested = workflow.info().is_continue_as_new_suggested()
            return can_continue and (is_suggested or is_long(self._start.continue_as_new_after))

        with suppress(TimeoutError):
            await await_cancellable(
                workflow.wait_condition(
                    lambda: call.call_id in self._decided or is_long_by_now(),
                    timeout=max((call.expires_at - workflow.now()).total_seconds(), 0.001),
                    timeout_summary=f"approval of {call.tool}",
                ),
            )
            if call.call_id not in self._decided:
                return False
        if call.call_id not in self._decided:
            self.on_decision(await self._calls.expire(call))
        return True
