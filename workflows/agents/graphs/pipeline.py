"""The pipeline: retrieve, ask the model, ask a person, act, ask again, until there is an answer.

Nodes and edges are all async: a synchronous one would want a thread, which workflow code has not.
The state holds ids and decisions; what is said and found stays in the database.
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
# LangGraph's own count of nodes visited is no limit of ours: steps are counted below.
NODES_PER_STEP = 4


class State(TypedDict, total=False):
    """What travels from node to node."""

    step: int
    calls: list[CallRef]
    is_answered: bool
    is_cut_by_budget: bool
    finish: str
    read_count: int | None


class Pipeline:
    """The nodes, bound to one run's hands."""

    def __init__(self, hands: StepActivityCalls, route: Route, continue_as_new_after: int) -> None:
        self._step_calls = hands
        self._route = route
        self._continue_as_new_after = continue_as_new_after

    async def enter(self, state: State) -> Literal["retrieve", "ask_model"]:
        """Look up before the first step only; a run that continues as new is past that."""
        return "retrieve" if self._route.has_retrieval and not state["step"] else "ask_model"

    async def retrieve(self, state: State) -> State:
        """Find the passages that answer the question."""
        await self._step_calls.retrieve()
        return {}

    async def ask_model(self, state: State) -> State:
        """Ask the model once.

        Raises:
            ApplicationError: It has been asked often enough.
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

    async def after_thinking(self, state: State) -> str:
        """Go on with what the model wants; malformed calls go straight back to it."""
        if state["is_answered"] or state["is_cut_by_budget"]:
            return END
        if any(call.expires_at for call in state["calls"]):
            return "approve"
        return "act" if state["calls"] else self._onward()

    async def approve(self, state: State) -> State:
        """Wait until each call that needs a person's word has one; the shell hears it."""
        for call in state["calls"]:
            if call.expires_at is not None:
                interrupt(call)
        return {}

    async def act(self, state: State) -> State:
        """Make the calls one after the other; a refused one gives the refusal to the model."""
        for call in state["calls"]:
            await self._step_calls.run_tool(call)
        return {"calls": []}

    async def after_acting(self, state: State) -> str:
        """Let the model read what came of it."""
        return self._onward()

    def _onward(self) -> str:
        """Think again, or let the run continue as new before its history grows too long."""
        return END if is_long(self._continue_as_new_after) else "ask_model"


def is_long(continue_as_new_after: int) -> bool:
    """Tell whether a run should continue as new before its history grows too long."""
    return workflow.info().get_current_history_length() >= continue_as_new_after


def pipeline(hands: StepActivityCalls, route: Route, continue_as_new_after: int) -> StateGraph[Any]:
    """Build the graph of a run.

    Args:
        hands: What the nodes call.
        route: How the graph goes.
        continue_as_new_after: Events of history after which it ends early, without an answer.
    """
    nodes = Pipeline(hands, route, continue_as_new_after)
    graph = StateGraph(State)
    graph.add_node("retrieve", nodes.retrieve)
    graph.add_node("ask_model", nodes.ask_model)
    graph.add_node("approve", nodes.approve)
    graph.add_node("act", nodes.act)
    graph.add_conditional_edges(START, nodes.enter, ["retrieve", "ask_model"])
    graph.add_edge("retrieve", "ask_model")
    graph.add_conditional_edges(
        "ask_model", nodes.after_thinking, ["approve", "act", "ask_model", END]
    )
    graph.add_edge("approve", "act")
    graph.add_conditional_edges("act", nodes.after_acting, ["ask_model", END])
    return graph
