"""Runs a run's graph from interrupt to interrupt, and passes people's decisions to it."""

from contextlib import suppress
from enum import Enum, auto
from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
    from langgraph.types import Command

    from domain.agents.runs import CallRef, RunFinish
    from workflows.agents import activity_calls
    from workflows.agents.graphs import find_pattern
    from workflows.agents.graphs.pattern import GraphState, Pattern
    from workflows.agents.state import RunState
    from workflows.cancellation import await_cancellable

# Patch id: a run that waits for a decision may continue as new.
WAITING_RUN_CONTINUES = "a-waiting-run-continues-as-new"


class GraphOutcome(Enum):
    """How one execution of the graph ends."""

    ANSWERED = auto()
    BUDGET_EXCEEDED = auto()
    CONTINUE_AS_NEW = auto()


async def run_graph(run: RunState) -> GraphOutcome:
    """Run the graph of a run's pattern until there is an answer or the run continues as new.

    Args:
        run: The run; for `CONTINUE_AS_NEW`, its `step` is the next step.

    Raises:
        ActivityError: A step failed for good.
        ApplicationError: There is no answer within the steps allowed.
    """
    pattern = find_pattern(run.start.route.pattern)
    while True:
        # Reason: the model can only read messages that are stored.
        await workflow.wait_condition(lambda: run.unstored_count == 0)
        seen_message_count = run.message_count
        state = await _run_once(run, pattern)
        run.step = state["step"]
        if state["is_cut_by_budget"]:
            run.is_over = True
            return GraphOutcome.BUDGET_EXCEEDED
        if not state["is_answered"]:
            return GraphOutcome.CONTINUE_AS_NEW
        read = state.get("read_count")
        has_read_all = read is not None and read >= run.message_count
        if has_read_all or seen_message_count >= run.message_count:
            run.is_over = True
            run.finish = RunFinish(state["finish"])
            return GraphOutcome.ANSWERED


async def _run_once(run: RunState, pattern: Pattern) -> GraphState:
    """Run the graph once, up to an answer or until the history has grown too long.

    Its checkpoints stay in memory: Temporal keeps the state.
    """
    # Reason: a checkpoint with our own types can only be read back if the types are listed here.
    types = [(each.__module__, each.__name__) for each in pattern.state_types]
    saver = InMemorySaver(serde=JsonPlusSerializer(allowed_msgpack_modules=types))
    app = pattern.build(run).compile(checkpointer=saver)
    limit = pattern.nodes_per_step * (run.start.route.most_steps + 1)
    config: Any = {"configurable": {"thread_id": str(run.step)}, "recursion_limit": limit}
    state: Any = await app.ainvoke({"step": run.step}, config)
    while "__interrupt__" in state:
        call: CallRef = state["__interrupt__"][0].value
        if not await _await_decision(run, call):
            return {"step": state["step"] - 1, "is_answered": False, "is_cut_by_budget": False}
        state = await app.ainvoke(Command(resume=True), config)
    done: GraphState = state
    return done


async def _await_decision(run: RunState, call: CallRef) -> bool:
    """Wait for a decision about a call; without a decision in time the approval expires.

    Returns:
        Whether the call is decided; if not, the run continues as new and then waits again.
    """
    if call.is_decided or call.expires_at is None or call.call_id in run.decided:
        return True
    # Reason: runs that began before this patch never continued as new while waiting.
    can_continue = workflow.patched(WAITING_RUN_CONTINUES)

    def is_long_by_now() -> bool:
        is_suggested = workflow.info().is_continue_as_new_suggested()
        return can_continue and (is_suggested or run.is_history_long)

    with suppress(TimeoutError):
        await await_cancellable(
            workflow.wait_condition(
                lambda: call.call_id in run.decided or is_long_by_now(),
                timeout=max((call.expires_at - workflow.now()).total_seconds(), 0.001),
                timeout_summary=f"approval of {call.tool}",
            ),
        )
        if call.call_id not in run.decided:
            return False
    if call.call_id not in run.decided:
        result = await activity_calls.expire_approval(run, call)
        run.decided[result.call_id] = result
    return True
