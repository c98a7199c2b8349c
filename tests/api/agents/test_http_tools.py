"""Runs of agents that use tools from files: approvals, lost answers, and who tells the outcome."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from bootstrap.tools import load_agents, read_http_tools
from database.agents.tool_outcomes import ToolOutcomeRepository
from database.session import Sessions
from services.agents.tools.catalog import Tool, ToolCatalog
from tests.api.agents.test_agent_runs import ENDED, answer, events, wait
from tests.api.agents.test_doors import add_agent, folder, run_agent
from tests.api.conftest import API, Person, problem
from tests.support.team_api import TeamApi, team_api
from tests.unit.agents.support import Model
from tests.unit.agents.test_tool_files import write

__all__ = ["folder"]
ARGUMENTS = {
    "type": "object",
    "required": ["sku"],
    "properties": {"sku": {"type": "string", "description": "Which article."}},
}


@pytest.fixture
async def api() -> AsyncIterator[TeamApi]:
    async with team_api() as api:
        yield api


async def make_clerk(
    folder: Path, tmp_path: Path, tools: ToolCatalog, api: TeamApi, **changes: Any
) -> tuple[str, str]:
    """Make an agent with one tool of its own; return the names of both."""
    mark = uuid4().hex[:8]
    agent, name = f"clerk_{mark}", f"order_{mark}"
    files = tmp_path / f"tools_{mark}"
    files.mkdir()
    spec = {
        "description": "Order an article.",
        "method": "POST",
        "url": f"{api.url}/orders",
        "arguments": ARGUMENTS,
        "time_limit": "2s",
    }
    write(files, {**spec, **changes}, name)
    (tool,) = read_http_tools(str(files), ("127.0.0.1",), {})
    assert isinstance(tool, Tool), tool
    tools.add([tool])
    add_agent(folder, agent, f'tools = ["{name}"]')
    load_agents(tools)
    return agent, name


def orders(name: str, **arguments: Any) -> dict[str, Any]:
    return {"tool_calls": [{"name": name, "arguments": {"sku": "A", **arguments}}]}


async def approve(person: Person, admin: Person, run: dict[str, Any]) -> dict[str, Any]:
    waiting = await wait(person, run, "waiting_approval")
    reply = await admin.post(
        f"agent-runs/{run['agent_run_id']}/approve", **answer(waiting, "approve")
    )
    assert reply.status_code == 200, reply.text
    return waiting


async def start(person: Person, agent: str, text: str, **more: Any) -> dict[str, Any]:
    reply = await person.post("agent-runs", agent=agent, input=text, **more)
    assert reply.status_code == 202, reply.text
    run: dict[str, Any] = reply.json()
    return run


async def test_a_model_reads_by_a_tool_from_a_file(
    customer: Person, model: Model, folder: Path, tmp_path: Path, tools: ToolCatalog, api: TeamApi
) -> None:
    reading = {"method": "GET", "url": f"{api.url}/contacts/{{sku}}"}
    agent, name = await make_clerk(folder, tmp_path, tools, api, **reading)
    mark = f"look it up {uuid4().hex}"
    wrong = {"tool_calls": [{"name": name, "arguments": {"sku": 7}}]}
    await model.script(wrong, orders(name), {"text": "There."}, match=mark)
    run = await run_agent(customer, agent, mark)
    assert (run["run_status"], run["output"]) == ("completed", "There.")
    asked = await model.calls(mark)
    (offered,) = asked[0]["body"]["tools"]
    assert offered["function"]["parameters"]["properties"] == ARGUMENTS["properties"]
    results = [
        event["data"]["result"]
        for event in await events(customer, run)
        if event["kind"] == "tool_result"
    ]
    assert "sku: 7 is not of type 'string'" in results[0]["message"]
    assert (results[1]["status"], results[1]["body"]["target"]) == ("done", "/contacts/A")
    assert len(api.requests) == 1


async def test_a_write_is_approved_and_made_once(
    customer: Person,
    admin: Person,
    model: Model,
    folder: Path,
    tmp_path: Path,
    tools: ToolCatalog,
    api: TeamApi,
) -> None:
    """Its first answer is lost; the second request has the same key."""
    api.manners.append("cut_after")
    api.is_idempotent = True
    keyed = {"idempotency_header": "Idempotency-Key"}
    agent, name = await make_clerk(folder, tmp_path, tools, api, **keyed)
    mark = f"order it {uuid4().hex}"
    await model.script(orders(name), {"text": "Ordered."}, match=mark)
    run = await start(customer, agent, mark)
    waiting = await approve(customer, admin, run)
    (pending,) = waiting["pending_approvals"]
    assert pending["effect"] == {"method": "POST", "url": f"{api.url}/orders"}
    done = await wait(customer, run, *ENDED)
    assert (done["run_status"], done["output"]) == ("completed", "Ordered.")
    assert (len(api.orders), len(api.posts)) == (1, 2)


async def test_an_unknown_outcome_is_told_by_an_administrator(
    customer: Person,
    admin: Person,
    model: Model,
    folder: Path,
    tmp_path: Path,
    tools: ToolCatalog,
    api: TeamApi,
) -> None:
    api.manners.append("cut_after")
    agent, name = await make_clerk(folder, tmp_path, tools, api)
    mark = f"order it {uuid4().hex}"
    await model.script(orders(name), {"text": "We will see."}, match=mark)
    run = await start(customer, agent, mark)
    waiting = await approve(customer, admin, run)
    call_id = waiting["pending_approvals"][0]["call_id"]
    done = await wait(customer, run, *ENDED)
    assert (done["run_status"], done["output"]) == ("completed", "We will see.")
    assert "do not call the tool for it again" in str((await model.calls(mark))[-1]["body"])

    listed = (await admin.get("tool-calls"))["items"]
    (unknown,) = [each for each in listed if each["call_id"] == call_id]
    assert (unknown["tool_call_status"], unknown["arguments"]) == ("outcome_unknown", {"sku": "A"})
    problem(await customer.http.get(f"{API}/tool-calls"), 403, "admin_required")
    path = f"tool-calls/{call_id}/outcome"
    problem(await customer.post(path, is_done=True), 403, "admin_required")
    problem(await admin.post(f"tool-calls/{uuid4()}/outcome", is_done=True), 404, "not_found")

    again = f"and again {uuid4().hex}"
    await model.script(orders(name), {"text": "Still open."}, match=again)
    more = {"conversation_id": done["conversation_id"]}
    second = await start(customer, agent, again, **more)
    await approve(customer, admin, second)
    await wait(customer, second, *ENDED)
    assert len(api.posts) == 1

    told = await admin.post(path, is_done=True, note="Order 1 is there.")
    assert told.status_code == 200, told.text
    assert told.json()["tool_call_status"] == "done"
    assert (await admin.post(path, is_done=True)).status_code == 200
    problem(await admin.post(path, is_done=False), 409, "illegal_command")
    assert call_id not in str((await admin.get("tool-calls"))["items"])

    third = f"how is it {uuid4().hex}"
    await model.script({"text": "It is there."}, match=third)
    await wait(customer, await start(customer, agent, third, **more), *ENDED)
    assert "Order 1 is there." in str((await model.calls(third))[-1]["body"])


async def test_a_person_rejects_a_call_and_nothing_is_sent(
    customer: Person,
    admin: Person,
    sessions: Sessions,
    model: Model,
    folder: Path,
    tmp_path: Path,
    tools: ToolCatalog,
    api: TeamApi,
) -> None:
    agent, name = await make_clerk(folder, tmp_path, tools, api)
    mark = f"order it {uuid4().hex}"
    await model.script(orders(name), {"text": "No."}, match=mark)
    run = await start(customer, agent, mark)
    waiting = await wait(customer, run, "waiting_approval")
    path = f"agent-runs/{run['agent_run_id']}/approve"
    wrong = answer(waiting, "approve", arguments={"sku": 7})
    problem(await admin.post(path, **wrong), 422, "invalid_arguments")
    await admin.post(path, **answer(waiting, "reject", reason="too dear"))
    await wait(customer, run, *ENDED)
    assert api.requests == []
    async with sessions.begin() as session:
        call_id = UUID(waiting["pending_approvals"][0]["call_id"])
        assert not await ToolOutcomeRepository(session).start(call_id)
