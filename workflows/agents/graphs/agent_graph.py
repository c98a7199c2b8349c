"""The graph of the patterns that come with the product: plan a step, then make its calls.

Of an agent that works alone, its model plans every step. Of a team, the pattern decides whether
the model or the rules in `domain/agents/patterns.py` plan; the members' runs are tool calls.
The state holds ids and decisions; texts stay in the database.
"""

from typing import Any, Literal

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from langgraph.graph import END, START, StateGraph
    from langgraph.types import interrupt

    from domain.agents.patterns import HAND_OVER, is_planned_by_rule
    from domain.agents.runs import CallRef, RunFinish
    from workflows.agents import activity_calls, pause
    from workflows.agents.children import error_of_members, run_members
    from workflows.agents.graphs.pattern import GraphState, Pattern
    from workflows.agents.state import RunState

STEP_LIMIT = "step_limit_reached"


class State(GraphState, total=False):
    """The state that the nodes pass on.

    Keys:
        calls: Calls that the model asked for.
        is_paused: Whether the run waits for its budget, and continues as new.
    """

    calls: list[CallRef]
    is_paused: bool


class AgentGraph:
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
        """Call the model once, or plan the step of a team by rule.

        Raises:
            ApplicationError: The limit of steps is reached.
        """
        step, team = state["step"], self._route.team
        if team is not None and is_planned_by_rule(self._route.pattern, step):
            reply = await activity_calls.plan_team_step(self._run, step, team)
        elif step >= self._route.max_step_count:
            raise ApplicationError(
                f"there is no answer after {step} steps",
                type=STEP_LIMIT,
                non_retryable=True,
            )
        else:
            asked = await pause.ask_model(self._run, step)
            if asked is None:
                return {
                    "calls": [],
                    "is_answered": False,
                    "is_cut_by_budget": False,
                    "is_paused": True,
                }
            reply = asked
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
        if state["is_answered"] or state["is_cut_by_budget"] or state.get("is_paused"):
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
        """Make the calls one after the other; for a rejected call the model gets the refusal.

        The members of a team work before, at the same time; a call then returns what they brought.

        Raises:
            ApplicationError: Too few members completed their tasks.
        """
        failure = await run_members(self._run, state["calls"])
        for call in state["calls"]:
            await activity_calls.run_tool(self._run, call)
        if failure is not None:
            raise error_of_members(failure)
        if any(call.tool == HAND_OVER and call.agent for call in state["calls"]):
            return {"calls": [], "is_answered": True, "finish": RunFinish.STOP.value}
        return {"calls": []}

    async def after_tool_calls(self, state: State) -> str:
        """Choose the node after the tool calls: the model reads their results.

        A run that has handed its task over has ended.
        """
        return END if state["is_answered"] else self._next_node()

    def _next_node(self) -> str:
        """Call the model again, or end the graph if the history has grown too long."""
        return END if self._run.is_history_long else "ask_model"


def build_graph(run: RunState) -> StateGraph[Any]:
    """Build the graph of a run."""
    nodes = AgentGraph(run)
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


AGENT_GRAPH = Pattern(build_graph, nodes_per_step=4)
