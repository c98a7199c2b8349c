"""The pipeline graph: retrieve, then call the model and its tools until there is an answer.

The state holds ids and decisions; texts stay in the database.
"""

from typing import Any, Literal

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from langgraph.graph import END, START, StateGraph
    from langgraph.types import interrupt

    from domain.agents.runs import CallRef
    from workflows.agents import activity_calls
    from workflows.agents.graphs.pattern import GraphState, Pattern
    from workflows.agents.state import RunState

STEP_LIMIT = "step_limit_reached"


class State(GraphState, total=False):
    """The state that the nodes pass on: also the calls that the model asked for."""

    calls: list[CallRef]


class Pipeline:
    """The nodes and edges of the graph of one run."""

    def __init__(self, run: RunState) -> None:
        self._run = run
        self._route = run.start.route

    async def enter(self, state: State) -> Literal["retrieve", "ask_model"]:
        """Retrieve before the first step; in most runs, the activity of that step does it."""
        has_step = self._route.has_retrieval and not self._run.is_short
        return "retrieve" if has_step and not state["step"] else "ask_model"

    async def retrieve(self, state: State) -> State:
        """Find the passages that answer the question."""
        await activity_calls.retrieve(self._run)
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
        reply = await activity_calls.ask_model(self._run, step)
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
            await activity_calls.run_tool(self._run, call)
        return {"calls": []}

    async def after_tool_calls(self, state: State) -> str:
        """Choose the node after the tool calls: the model reads their results."""
        return self._next_node()

    def _next_node(self) -> str:
        """Call the model again, or end the graph if the history has grown too long."""
        return END if self._run.is_history_long else "ask_model"


def build_pipeline(run: RunState) -> StateGraph[Any]:
    """Build the graph of a run."""
    nodes = Pipeline(run)
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


PIPELINE = Pattern(build_pipeline, nodes_per_step=4)
