"""Every pattern meets every fault of a model, and ends right; what lasts ends it by name."""

from typing import Any
from uuid import uuid4

import pytest

from tests.api.agents.test_teams import (
    ANALYSIS,
    CHANGE,
    CHART,
    CODERS,
    DESK,
    HISTORY,
    REPORT,
    RESEARCH,
    TRIAGE,
    ask,
    children,
    delegate,
)
from tests.api.conftest import Person
from tests.unit.agents.support import Model

pytestmark = pytest.mark.usefixtures("workers")

FAULTS: dict[str, dict[str, Any]] = {
    "429": {"status": 429, "retry_after": 0.1},
    "500": {"status": 500},
    "slow": {"text": "late", "delay_seconds": 2},
    "disconnect": {"text": "cut off in the middle of it", "disconnect_after": 2},
    "no finish reason": {"text": "half", "no_finish_reason": True},
    "malformed tool call": {"tool_calls": [{"name": "search_memory", "arguments": "{"}]},
    "tool error": {"tool_calls": [{"name": "read_billing", "arguments": {"records": "shoes"}}]},
}
# Of each pattern: an agent, the member whose model has the fault, and what the others say.
PATTERNS: dict[str, tuple[str, str, dict[str, list[dict[str, Any]]]]] = {
    "supervisor": (
        "research_report",
        RESEARCH,
        {REPORT: [delegate(("research", "find it")), {"text": "the end"}]},
    ),
    "pipeline": ("data_report", ANALYSIS, {CHART: [{"text": "the end"}]}),
    "hub_and_spoke": (
        "dispute_triage",
        ANALYSIS,
        {HISTORY: [{"text": "-"}], RESEARCH: [{"text": "-"}], TRIAGE: [{"text": "the end"}]},
    ),
    "peer_to_peer": ("help_desk", DESK, {}),
    "hierarchical": (
        "code_change",
        CODERS,
        {CHANGE: [delegate(("coding_team", "do it")), {"text": "the end"}]},
    ),
}
# Refused for good: the run fails, and says of whom.
LASTING = {"status": 400, "message": "this model has been withdrawn", "repeat": 9}


async def play(
    person: Person, model: Model, pattern: str, *faults: dict[str, Any]
) -> dict[str, Any]:
    """Run a team whose member meets faults before it answers."""
    agent, member, others = PATTERNS[pattern]
    for words, items in others.items():
        await model.script(*items, match=words)
    await model.script(*faults, {"text": "the end"}, match=member)
    return await ask(person, agent, f"What about {uuid4().hex}?")


async def empty(model: Model) -> None:
    """Forget what no call has taken, so that it answers no other test."""
    reply = await model.http.post("/_sandbox/reset")
    assert reply.is_success, reply.text


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("pattern", PATTERNS)
async def test_a_fault_that_passes_changes_nothing(
    customer: Person, model: Model, pattern: str, fault: str
) -> None:
    await empty(model)
    run = await play(customer, model, pattern, FAULTS[fault])
    is_answer = fault == "slow" and pattern == "peer_to_peer"
    assert run["run_status"] == "completed", run
    assert run["output"] == ("late" if is_answer else "the end")
    for child in await children(customer, run):
        assert child["run_status"] == "completed", child


@pytest.mark.parametrize("pattern", PATTERNS)
async def test_a_fault_that_lasts_has_a_name(customer: Person, model: Model, pattern: str) -> None:
    await empty(model)
    run = await play(customer, model, pattern, LASTING)
    failed = [each for each in await children(customer, run) if each["run_status"] == "failed"]
    assert [each["error"]["code"] for each in failed] == ["model_rejected"]
    # Some teams go on without the member, and the others say so.
    if run["run_status"] == "failed":
        assert run["error"]["code"] == "member_failed"
        assert pattern in {"peer_to_peer", "hierarchical"}
    else:
        assert run["run_status"] == "completed"
    await empty(model)
