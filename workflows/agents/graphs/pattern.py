"""What all patterns of agents have in common: a graph's state, and how the graph is built."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypedDict

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from langgraph.graph import StateGraph

    from domain.agents.runs import CallRef
    from workflows.agents.state import RunState


class GraphState(TypedDict, total=False):
    """The state that nodes pass on; a pattern may add keys of its own.

    Keys:
        step: Number of the next step; a graph begins with the run's next step, and each call of
            the model is one step.
        is_answered: Whether the run has its answer. A graph that ends without an answer, and not
            by the budget, continues as new with `step`.
        is_cut_by_budget: Whether the budget ended before the answer was complete.
        finish: Why the model stopped, if the run has its answer.
        read_count: Added messages that the model has read so far; None if that is unknown.
    """

    step: int
    is_answered: bool
    is_cut_by_budget: bool
    finish: str
    read_count: int | None


@dataclass(frozen=True)
class Pattern:
    """A pattern of agents: a LangGraph graph that runs as workflow code.

    Nodes and edges are async: LangGraph runs synchronous ones in a thread, which workflow code
    must not use. A node that needs a decision about a tool call interrupts the graph with the
    `CallRef`, after the step that requested the call.

    Args:
        build: Builds the graph of one run; its nodes call activities by `activity_calls`. The keys
            of its state include those of `GraphState`.
        nodes_per_step: Most nodes that are visited for one step; only for LangGraph's own limit.
        state_types: Types of ours in the state, without which a checkpoint cannot be read.
    """

    build: Callable[[RunState], StateGraph[Any]]
    nodes_per_step: int
    state_types: tuple[type, ...] = (CallRef,)
