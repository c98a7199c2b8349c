"""What is added to agents without a change of what is there: a pattern, and a source of tools."""

from collections.abc import Iterator
from pathlib import Path
from shutil import copytree
from typing import Any
from uuid import uuid4

import pytest
from langgraph.graph import END, START, StateGraph
from pydantic import Field, create_model

from agents import registry
from agents.tools.spec import Arguments, ToolSpec
from bootstrap.tools import load_agents
from database.agents.models import AgentRun, ToolCall
from domain.agents.tools.tool_calls import ToolCallStatus
from domain.errors import InvalidInputError
from services.agents.tools.catalog import Effect, Tool, ToolCatalog, ToolResources
from tests.api.agents.test_agent_runs import ENDED, events, wait
from tests.api.conftest import Person
from tests.unit.agents.support import Model
from workflows.agents import activity_calls
from workflows.agents.graphs import PATTERNS
from workflows.agents.graphs.pattern import GraphState, Pattern
from workflows.agents.state import RunState


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a copy of the agents' specs and prompts, to which a test can add."""
    for name, path in (("SPECS", registry.SPECS), ("PROMPTS", registry.PROMPTS)):
        monkeypatch.setattr(registry, name, copytree(path, tmp_path / path.name))
    forget()
    yield tmp_path
    forget()


def forget() -> None:
    for cached in (registry.all_agents, registry.prompt_versions, registry.prompt_text):
        cached.cache_clear()


def add_agent(folder: Path, name: str, spec: str) -> None:
    lines = ('description = "On trial."', 'prompt_version = "v1"', "passage_count = 0", spec)
    (folder / "specs" / f"{name}.toml").write_text("\n".join(lines), encoding="utf-8")
    (folder / "prompts" / name).mkdir()
    (folder / "prompts" / name / "v1.md").write_text("You help.", encoding="utf-8")
    forget()


async def run_agent(person: Person, agent: str, text: str) -> dict[str, Any]:
    reply = await person.post("agent-runs", agent=agent, input=text)
    assert reply.status_code == 202, reply.text
    return await wait(person, reply.json(), *ENDED)


# --- a pattern


class Draft(GraphState, total=False):
    """The state of the pattern on trial, with a key of its own."""

    draft_step: int


class DraftAndRevise:
    """A pattern of two calls: the model writes a draft, then its answer."""

    def __init__(self, run: RunState) -> None:
        self._run = run

    async def draft(self, state: Draft) -> Draft:
        return {**await self.revise(state), "draft_step": state["step"]}

    async def revise(self, state: Draft) -> Draft:
        reply = await activity_calls.ask_model(self._run, state["step"])
        return {
            "step": state["step"] + 1,
            "is_answered": reply.is_answer,
            "is_cut_by_budget": reply.is_cut_by_budget,
            "finish": reply.finish.value,
        }


def build_draft_and_revise(run: RunState) -> StateGraph[Any]:
    nodes, graph = DraftAndRevise(run), StateGraph(Draft)
    graph.add_node("draft", nodes.draft)
    graph.add_node("revise", nodes.revise)
    graph.add_edge(START, "draft")
    graph.add_edge("draft", "revise")
    graph.add_edge("revise", END)
    return graph


async def test_a_pattern_is_added(
    customer: Person,
    model: Model,
    folder: Path,
    tools: ToolCatalog,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    add_agent(folder, "editor", 'pattern = "draft_and_revise"')
    with pytest.raises(InvalidInputError, match=r"editor\.toml names the pattern draft_and_revise"):
        load_agents(tools)
    pattern = Pattern(build_draft_and_revise, nodes_per_step=1)
    monkeypatch.setitem(PATTERNS, "draft_and_revise", pattern)
    load_agents(tools)
    mark = f"write {uuid4().hex}"
    await model.script({"text": "A draft."}, {"text": "The answer."}, match=mark)
    run = await run_agent(customer, "editor", mark)
    assert (run["run_status"], run["output"]) == ("completed", "The answer.")
    assert len(await model.calls(mark)) == 2
    listed = {agent["agent"]: agent for agent in (await customer.get("agents"))["items"]}
    assert listed["editor"]["pattern"] == "draft_and_revise"
    assert listed["research"]["pattern"] == "pipeline"


# --- a source of tools

# As if a server had described it: no class of ours stands behind its arguments.
TRACK = create_model(
    "TrackParcel",
    __base__=Arguments,
    number=(str, Field(min_length=1, description="Number of the parcel.")),
)


async def track_parcel(_: ToolResources, run: AgentRun, call: ToolCall) -> Effect:
    number = call.arguments_data["number"]
    return Effect(ToolCallStatus.DONE, {"number": number, "place": f"depot of {run.agent}"})


COURIER = [Tool(ToolSpec("track_parcel", "Tell where a parcel is.", TRACK), track_parcel)]


async def test_a_source_of_tools_joins(
    customer: Person, model: Model, folder: Path, tools: ToolCatalog
) -> None:
    add_agent(folder, "courier", 'tools = ["track_parcel"]')
    with pytest.raises(InvalidInputError, match=r"courier\.toml names unknown tools"):
        load_agents(tools)
    tools.add(COURIER)
    load_agents(tools)
    mark, call = f"where is it {uuid4().hex}", {"name": "track_parcel"}
    wrong, right = {**call, "arguments": {}}, {**call, "arguments": {"number": "AB12"}}
    await model.script(
        {"tool_calls": [wrong]}, {"tool_calls": [right]}, {"text": "There."}, match=mark
    )
    run = await run_agent(customer, "courier", mark)
    assert (run["run_status"], run["output"]) == ("completed", "There.")
    asked = await model.calls(mark)
    assert [tool["function"]["name"] for tool in asked[0]["body"]["tools"]] == ["track_parcel"]
    seen = await events(customer, run)
    results = [event["data"]["result"] for event in seen if event["kind"] == "tool_result"]
    assert [result["status"] for result in results] == ["failed", "done"]
    assert results[1] == {"status": "done", "number": "AB12", "place": "depot of courier"}
    assert "depot of courier" in str(asked[2]["body"])
    listed = {agent["agent"]: agent for agent in (await customer.get("agents"))["items"]}
    assert [tool["name"] for tool in listed["courier"]["tools"]] == ["track_parcel"]
