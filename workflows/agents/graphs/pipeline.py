"""The pipeline graph: retrieve, then call the model and its tools until there is an answer.

All nodes and edges are async: LangGraph runs synchronous ones in a thread, which workflow code
must not use. The state holds ids and decisions; texts stay in the database.
"""

from typing import Any, Literal, TypedDict

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from langgraph.graph import END, START, StateGraph
    from langgraph.types import interrupt

    from domain.agents.runs import CallRef, Route
    from workflows.agents.activity_calls import StepActivityCalls

STEP_LIMIT = "step_limit_reached"
# Only for LangGraph's own limit of visited nodes; our limit of steps is checked below.
NODES_PER_STEP = 4


class State(TypedDict, total=False):
    """The state that the nodes pass on."""

    step: int
    calls: list[CallRef]
    is_answered: bool
    is_cut_by_budget: bool
    finish: str
    read_count: int | None


class Pipeline:
    """The nodes and edges of the graph, bound to one run's activity calls."""

    def __init__(
        self, step_calls: StepActivityCalls, route: Route, continue_as_new_after: int
    ) -> None:
        self._step_calls = step_calls
        self._route = route
        self._continue_as_new_after = continue_as_new_after

    async def enter(self, state: State) -> Literal["retrieve", "ask_model"]:
        """Retrieve before the first step only; a run that continues as new is past that step."""
        return "retrieve" if self._route.has_retrieval and not state["step"] else "ask_model"

    async def retrieve(self, state: State) -> State:
        """Find the passages that answer the question."""
        await self._step_calls.retrieve()
        return {}

    async def ask_model(self, state: State) -> State:
        """Call the model once.

        Raises:
            ApplicationError: The limit of steps is reached.
        """
        step = state["step"]
        if step >= self._route.max_step_count:
            raise ApplicationError(
                f"there is no answer after {step} steps",
                type=STEP_LIMIT,
                non_retryable=True,
            )
        reply = await self._step_calls.ask_model(step)
        return {
            "step": step + 1,
            "calls": list(reply.calls),
            "is_answered": reply.is_answer,
            "is_cut_by_budget": reply.is_cut_by_budget,
            "finish": reply.finish.value,
            "read_count": reply.read_count,
        }

    async def after_model_call(self, state: State) -> str:
        """Choose the node after a model call; the model is called again if no call was valid."""
        if state["is_answered"] or state["is_cut_by_budget"]:
            return END
        if any(call.expires_at for call in state["calls"]):
            return "approve"
        return "act" if state["calls"] else self._next_node()

    async def approve(self, state: State) -> State:
        """Interrupt the graph for each call that needs an approval, until it is decided."""
        for call in state["calls"]:
            if call.expires_at is not None:
                interrupt(call)
        return {}

    async def act(self, state: State) -> State:
        """Make the calls one after the other; for a rejected call the model gets the refusal."""
        for call in state["calls"]:
            await self._step_calls.run_tool(call)
        return {"calls": []}

    async def after_tool_calls(self, state: State) -> str:
        """Choose the node after the tool calls: the model reads their results."""
        return self._next_node()

    def _next_node(self) -> str:
        """Call the model again, or end the graph if the history has grown too long."""
        return END if is_long(self._continue_as_new_after) else "ask_model"


def is_long(continue_as_new_after: int) -> bool:
    """Return whether the history is so long that the run should continue as new."""
    return workflow.info().get_current_history_length() >= continue_as_new_after


def pipeline(
    step_calls: StepActivityCalls, route: Route, continue_as_new_after: int
) -> StateGraph[Any]:
    """Build the graph of a run.

    Args:
        step_calls: Activity calls of the nodes.
        route: Settings of the agent's spec that shape the graph.
        continue_as_new_after: Number of history events after which the graph ends early, without
            an answer.
    """
    nodes = Pipeline(step_calls, route, continue_as_new_after)
    graph = StateGraph(State)
    graph.add_node("retrieve", nodes.retrieve)
    graph.add_node("ask_model", nodes.ask_model)
    graph.add_node("approve", nodes.approve)
    graph.add_node("act", nodes.act)
    graph.add_conditional_edges(START, nodes.enter, ["retrieve", "ask_model"])
    graph.add_edge("retrieve", "ask_model")
    graph.add_conditional_edges(
        "ask_model", nodes.after_model_call, ["approve", "act", "ask_model", END]
    )
    graph.add_edge("approve", "act")
    graph.add_conditional_edges("act", nodes.after_tool_calls, ["ask_model", END])
    return graph
