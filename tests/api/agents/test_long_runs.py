"""Long runs: a thousand steps, long conversations, many calls; their histories stay short."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
from pydantic import Field, create_model
from temporalio.client import Client

from agents.tools.spec import Arguments, ToolSpec
from bootstrap.tools import load_agents
from database.agents.models import AgentRun, ToolCall
from domain.agents.tools.tool_calls import ToolCallStatus
from sandbox.llm.tokens import pieces
from services.agents.tools.catalog import Effect, Tool, ToolCatalog, ToolResources
from tests.api.agents.test_agent_runs import ENDED
from tests.api.agents.test_doors import add_agent, folder
from tests.api.conftest import Person, until
from tests.conftest import Measure
from tests.unit.agents.support import Model

__all__ = ["folder"]
MAX_EVENTS = 2_000
MAX_BYTES = 5_000_000
PAGE_TOKENS = 200
PAGE = " ".join(["word"] * PAGE_TOKENS)
LONG_SECONDS = 3_000
TURN = create_model(
    "TurnPage", __base__=Arguments, number=(int, Field(description="Number of the page."))
)


async def turn_page(_: ToolResources, __: AgentRun, call: ToolCall) -> Effect:
    page = {"number": call.arguments_data["number"], "text": PAGE}
    return Effect(ToolCallStatus.DONE, page)


class Segment(NamedTuple):
    """One execution of a run's workflow, up to the next continue-as-new."""

    event_count: int
    byte_count: int
    seconds: float


async def segments_of(client: Client, workflow_id: str) -> list[Segment]:
    """Return the executions of a run's workflow, the first one first."""
    handle = client.get_workflow_handle(workflow_id)
    found, info = [], (await handle.describe()).raw_description.workflow_execution_info
    run_id = info.first_run_id
    while run_id:
        history = await client.get_workflow_handle(workflow_id, run_id=run_id).fetch_history()
        first, last = history.events[0], history.events[-1]
        seconds = last.event_time.ToDatetime() - first.event_time.ToDatetime()
        size = sum(event.ByteSize() for event in history.events)
        found.append(Segment(len(history.events), size, seconds.total_seconds()))
        run_id = last.workflow_execution_continued_as_new_event_attributes.new_execution_run_id
    return found


async def read_on(
    person: Person, model: Model, agent: str, step_count: int, calls_each: int
) -> dict[str, Any]:
    """Let a run turn pages, some at each step, and return it when it has ended."""
    mark = f"read it all {uuid4().hex}"
    calls = [{"name": agent, "arguments": {"number": number}} for number in range(calls_each)]
    turn = {"tool_calls": calls, "repeat": step_count - 1, "token_seconds": 0}
    await model.script(turn, {"text": "That was all."}, match=mark)
    reply = await person.post("agent-runs", agent=agent, input=mark)
    assert reply.status_code == 202, reply.text
    run = reply.json()

    async def look() -> dict[str, Any] | None:
        seen: dict[str, Any] = await person.get(f"agent-runs/{run['agent_run_id']}")
        return seen if seen["run_status"] in ENDED else None

    ended: dict[str, Any] = await until(look, LONG_SECONDS)
    return ended


@pytest.mark.parametrize(
    ("step_count", "calls_each"),
    [
        pytest.param(21, 2, id="sample"),
        pytest.param(
            1_000, 1, id="thousand steps", marks=[pytest.mark.soak, pytest.mark.timeout(3_600)]
        ),
        pytest.param(21, 10, id="two hundred calls", marks=pytest.mark.soak),
        pytest.param(2, 200, id="two hundred calls at once", marks=pytest.mark.soak),
    ],
)
async def test_a_long_run_completes_with_short_histories(
    customer: Person,
    model: Model,
    folder: Path,
    tools: ToolCatalog,
    dev_server: Client,
    measure: Measure,
    step_count: int,
    calls_each: int,
) -> None:
    agent = f"reader_{uuid4().hex[:8]}"
    tools.add([Tool(ToolSpec(agent, "Turn a page.", TURN), turn_page)])
    limits = f"max_step_count = {step_count}\nmax_answer_tokens = 20_000\ncontext_tokens = 64_000"
    add_agent(folder, agent, f'{limits}\ntools = ["{agent}"]')
    load_agents(tools)
    began, began_at = time.monotonic(), datetime.now(UTC)
    run = await read_on(customer, model, agent, step_count, calls_each)
    seconds = time.monotonic() - began
    assert (run["run_status"], run["output"]) == ("completed", "That was all."), run
    steps = (await customer.get(f"agent-runs/{run['agent_run_id']}/steps"))["items"]
    assert len(steps) == step_count
    made = [call for step in steps for call in step["tool_calls"]]
    assert [call["result"]["status"] for call in made] == ["done"] * (step_count - 1) * calls_each
    segments = await segments_of(dev_server, run["workflow_id"])
    tokens = len(made) * len(pieces(PAGE))
    lines = [
        f"{step_count} steps, {len(made)} calls of tools, conversation of {tokens} tokens:"
        f" {seconds:.0f} s, {1000 * seconds / step_count:.0f} ms a step,"
        f" {len(segments)} executions from {began_at:%H:%M:%S}:",
        *(
            f"  {each.event_count} events, {each.byte_count / 1000:.0f} KB, {each.seconds:.1f} s"
            for each in segments
        ),
    ]
    measure("\n".join(lines))
    assert max(each.event_count for each in segments) <= MAX_EVENTS
    assert max(each.byte_count for each in segments) <= MAX_BYTES
