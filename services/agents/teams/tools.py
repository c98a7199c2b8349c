"""The tools of teams: `delegate` returns what a member brought, `hand_over` passes a task on."""

import json
from typing import Any

from agents.tools.teams import DELEGATE_SPEC, HAND_OVER_SPEC
from database.agents.agent_runs import AgentRunRepository
from database.agents.models import AgentRun, ToolCall
from domain.agents.citations import CitedPassage, adopt_passages
from domain.agents.runs import CLOSED, RunStatus
from domain.agents.tools.tool_calls import ToolCallStatus
from domain.ids import child_run_id
from domain.llm.json_output import with_texts
from services.agents.teams.members import hand_over_of
from services.agents.teams.targets import find_target
from services.agents.tools.catalog import Effect, Tool, ToolResources

LOST = "member_lost"
REFUSED = "not_delegated"


async def delegate(resources: ToolResources, run: AgentRun, call: ToolCall) -> Effect:
    """Return what a member brought; its run has ended before.

    The passages that its answer cites become passages of this run, under numbers of this run.
    """
    async with resources.sessions.begin() as session:
        runs = AgentRunRepository(session)
        child = await runs.get(child_run_id(call.call_id), None)
        if child is None:
            target = await find_target(session, run, call)
            if target.refusal:
                facts = {"code": REFUSED, "message": target.refusal}
                return Effect(ToolCallStatus.FAILED, facts)
        if child is None or child.run_status not in CLOSED:
            facts = {"code": LOST, "message": "the member's run was ended from outside"}
            return Effect(ToolCallStatus.FAILED, facts)
        if child.run_status != RunStatus.COMPLETED:
            return Effect(ToolCallStatus.FAILED, _failure(child))
        locked = await runs.lock(run.agent_run_id)
        known = [CitedPassage(**each) for each in (locked and locked.passages_data) or ()]
        text, merged = adopted_answer(child, known)
        if len(merged) > len(known):
            kept = [passage.model_dump(mode="json") for passage in merged]
            await runs.change(run.agent_run_id, {"passages_data": kept})
    return Effect(ToolCallStatus.DONE, {**_facts(child), "output": text})


async def hand_over(resources: ToolResources, run: AgentRun, call: ToolCall) -> Effect:
    """Pass a task on to a peer, who begins as soon as this run has ended."""
    async with resources.sessions() as session:
        target = await find_target(session, run, call)
        earlier = await hand_over_of(session, run)
    if target.agent is None:
        return Effect(ToolCallStatus.FAILED, {"code": REFUSED, "message": target.refusal})
    if earlier is not None and earlier.call_id != call.call_id:
        message = f"the task was handed over to {earlier.arguments_data['agent']} already"
        return Effect(ToolCallStatus.FAILED, {"code": REFUSED, "message": message})
    return Effect(ToolCallStatus.DONE, {"agent": target.agent})


def _facts(child: AgentRun) -> dict[str, Any]:
    return {"agent": child.agent, "agent_run_id": str(child.agent_run_id)}


def adopted_answer(child: AgentRun, known: list[CitedPassage]) -> tuple[str, list[CitedPassage]]:
    """Return a member's answer under the numbers of its leader, and the leader's passages."""
    brought = [CitedPassage(**each) for each in child.passages_data or ()]
    merged = known

    def adopt(text: str) -> str:
        nonlocal merged
        text, merged = adopt_passages(text, brought, merged)
        return text

    if child.output_data is None:
        return adopt(child.output or ""), merged
    # Reason: outside its texts, `[1]` is a list of JSON.
    answer = json.dumps(with_texts(child.output_data, adopt), ensure_ascii=False)
    return answer, merged


def _failure(child: AgentRun) -> dict[str, Any]:
    """Return what the model reads of a member that did not complete."""
    return {
        **_facts(child),
        "code": child.error_code or child.run_status,
        "message": child.error_message or f"the member's run is {child.run_status}",
        "output": child.output,
    }


DELEGATE_TOOL = Tool(DELEGATE_SPEC, delegate)
HAND_OVER_TOOL = Tool(HAND_OVER_SPEC, hand_over)
