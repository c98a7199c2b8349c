"""The kinds of agents: each gives defaults for the fields that an agent's file leaves out."""

from collections.abc import Mapping
from typing import Any

RESEARCH = "research"
ANALYSIS = "analysis"
CODING = "coding"

# Fields of `AgentSpec` by kind; what the file of an agent says itself comes first.
KINDS: Mapping[str, Mapping[str, Any]] = {
    # Finds and cites: passages of the user's documents are there before the first step.
    RESEARCH: {"difficulty": "large", "tools": ["search_memory"], "passage_count": 4},
    # Reads records and computes: no passages, more steps.
    ANALYSIS: {
        "difficulty": "large",
        "tools": ["read_billing", "ask_user"],
        "passage_count": 0,
        "max_step_count": 16,
    },
    # Changes code and tries it: many steps, long answers, no passages.
    CODING: {
        "difficulty": "large",
        "tools": ["ask_user"],
        "passage_count": 0,
        "max_step_count": 30,
        "max_answer_tokens": 4_096,
        "context_tokens": 32_000,
    },
}


def with_defaults(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of an agent's file with those that its kind gives.

    Raises:
        ValueError: There is no such kind.
    """
    kind = values.get("kind")
    if kind is None:
        return dict(values)
    if kind not in KINDS:
        raise ValueError(f"there is no kind {kind}; the kinds are: {', '.join(KINDS)}")
    return {**KINDS[kind], **values}
