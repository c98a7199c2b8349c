"""Files that runs make: charts, outputs of scripts and results that were too long, over HTTP."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4
from xml.etree import ElementTree as ET

import httpx
import pytest

from agents.tools.spec import Arguments, ToolSpec
from bootstrap.tools import load_agents
from database.agents.models import AgentRun, ToolCall
from domain.agents import artifacts
from domain.agents.tools.tool_calls import ToolCallStatus
from domain.errors import UnavailableError
from services.agents.tools.built_in import BUILT_IN_TOOLS
from services.agents.tools.catalog import Effect, Tool, ToolCatalog, ToolResources
from tests.api.agents.test_agent_runs import ENDED, events, wait
from tests.api.agents.test_doors import add_agent, folder
from tests.api.agents.test_questions import calls, results
from tests.api.conftest import API, Person, problem
from tests.support.interpreters import spinning, until_gone, until_spinning
from tests.unit.agents.support import Model

__all__ = ["folder"]
pytestmark = pytest.mark.usefixtures("workers")
BUILT_IN = {tool.spec.name: tool for tool in BUILT_IN_TOOLS}
CHART = {
    "kind": "bar",
    "title": "Paid <by> month",
    "labels": ["October", "November"],
    "values": [[29, 58]],
}


async def run_tools(
    person: Person,
    model: Model,
    *steps: dict[str, Any],
    agent: str = "analysis",
    conversation_id: str | None = None,
) -> dict[str, Any]:
    """Run an agent whose model makes these calls, and then answers."""
    mark = f"work {uuid4().hex}"
    await model.script(*steps, {"text": "Done."}, match=mark)
    body: dict[str, Any] = {"agent": agent, "input": mark, "conversation_id": conversation_id}
    reply = await person.post("agent-runs", **body)
    assert reply.status_code == 202, reply.text
    run = await wait(person, reply.json(), *ENDED)
    assert run["run_status"] == "completed", run
    return run


def path_of(run: dict[str, Any], artifact_id: str = "") -> str:
    return f"{API}/agent-runs/{run['agent_run_id']}/artifacts/{artifact_id}".rstrip("/")


async def download(person: Person, run: dict[str, Any], facts: dict[str, Any]) -> httpx.Response:
    reply = await person.http.get(path_of(run, facts["artifact_id"]))
    assert reply.status_code == 200, reply.text
    return reply


async def listed(person: Person, run: dict[str, Any]) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await person.http.get(path_of(run))).json()["items"]
    return items


async def test_a_chart_is_drawn_and_downloaded_by_its_owner(
    customer: Person, admin: Person, other: Person, model: Model, stranger: httpx.AsyncClient
) -> None:
    run = await run_tools(customer, model, calls(("make_chart", CHART)))
    (result,) = await results(customer, run)
    facts = result["artifact"]
    assert (result["status"], facts["name"], facts["media_type"]) == (
        "done",
        "chart.svg",
        "image/svg+xml",
    )
    (row,) = await listed(customer, run)
    assert {**facts, "agent_run_id": run["agent_run_id"]}.items() <= row.items()
    for person in (customer, admin):
        reply = await download(person, run, facts)
        assert ET.fromstring(reply.text).tag.endswith("svg")  # noqa: S314 - our own text
        assert "Paid &lt;by&gt; month" in reply.text
        assert len(reply.content) == facts["size_bytes"]
        assert reply.headers["content-type"].partition(";")[0] == "image/svg+xml"
        assert reply.headers["content-disposition"] == 'attachment; filename="chart.svg"'
        assert reply.headers.get_list("x-content-type-options") == ["nosniff"]
        policy = reply.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert reply.headers["cache-control"] == "no-store"
        assert "script" not in policy
    problem(await other.http.get(path_of(run)), 404, "not_found")
    problem(await other.http.get(path_of(run, facts["artifact_id"])), 404, "not_found")
    problem(await stranger.get(path_of(run, facts["artifact_id"])), 401, "unauthorized")
    problem(await customer.http.get(path_of(run, str(uuid4()))), 404, "not_found")
    another = await run_tools(customer, model)
    problem(await customer.http.get(path_of(another, facts["artifact_id"])), 404, "not_found")


async def test_files_are_listed_by_pages(customer: Person, model: Model) -> None:
    charts = [("make_chart", CHART | {"name": f"c{index}.svg"}) for index in range(3)]
    run = await run_tools(customer, model, calls(*charts))
    seen: list[str] = []
    cursor: str | None = None
    while True:
        params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await customer.http.get(path_of(run), params=params)).json()
        seen += [each["name"] for each in page["items"]]
        if (cursor := page["next_cursor"]) is None:
            break
    assert seen == ["c2.svg", "c1.svg", "c0.svg"]
    reply = await customer.http.get(path_of(run), params={"cursor": "tampered"})
    problem(reply, 422, "invalid_cursor")


async def test_a_wrong_chart_is_told_to_the_model(customer: Person, model: Model) -> None:
    wrong = CHART | {"labels": ["one"]}
    run = await run_tools(customer, model, calls(("make_chart", wrong)))
    (result,) = await results(customer, run)
    assert result["code"] == "malformed_tool_call"
    assert "there are 1 labels, and there must be 2" in result["message"]
    assert await listed(customer, run) == []


async def test_code_is_tried_and_handed_over_and_taken_up_again(
    customer: Person, model: Model
) -> None:
    """A script whose test fails hands over nothing; the mended one does; a later run reads it."""
    wrong = 'source = "def double(x): return x + x + 1"\n'
    right = 'source = "def double(x): return x + x"\n'
    tests = "exec(source)\nassert double(2) == 4\nprint('tested')\noutputs['double.py'] = source"
    run = await run_tools(
        customer,
        model,
        calls(("run_python", {"code": wrong + tests})),
        calls(("run_python", {"code": right + tests})),
        agent="coding",
    )
    failed, passed = await results(customer, run)
    assert (failed["status"], failed["code"], failed["line"]) == ("failed", "python_exception", 3)
    assert "AssertionError" in failed["message"]
    (facts,) = passed["artifacts"]
    assert (passed["status"], passed["printed"], facts["name"]) == ("done", "tested\n", "double.py")
    assert (await download(customer, run, facts)).text == "def double(x): return x + x"

    again = {"code": "exec(files['double.py'])\nprint(double(21))", "files": ["double.py"]}
    missing = {"code": "1", "files": ["triple.py"]}
    later = await run_tools(
        customer,
        model,
        calls(("run_python", again), ("run_python", missing)),
        agent="coding",
        conversation_id=run["conversation_id"],
    )
    read, refused = await results(customer, later)
    assert (read["status"], read["printed"]) == ("done", "42\n")
    assert refused["code"] == "unknown_artifact"
    assert refused["message"] == "this conversation has no file triple.py; it has: double.py"


async def test_what_a_script_makes_is_within_the_limits(customer: Person, model: Model) -> None:
    many = "for number in range(51): outputs[f'f{number}'] = 'x'\nprint('made')"
    names = "outputs['../x'] = 'x'"
    large = "outputs['x'] = 'x' * 1_000_001"
    scripts = [("run_python", {"code": code}) for code in (many, names, large)]
    run = await run_tools(customer, model, calls(*scripts), agent="coding")
    told = await results(customer, run)
    assert [each["code"] for each in told] == [
        "too_many_artifacts",
        "artifact_name_invalid",
        "artifact_too_large",
    ]
    assert told[0]["printed"] == "made\n"
    assert await listed(customer, run) == []


async def test_a_long_result_is_kept_and_read_by_parts(customer: Person, model: Model) -> None:
    printing = {"code": "for number in range(5_000): print('line', number)"}
    run = await run_tools(customer, model, calls(("run_python", printing)), agent="coding")
    (result,) = await results(customer, run)
    assert (result["status"], result["is_whole"]) == ("done", True)
    assert "line 100" in result["cut"]
    assert "line 4999" not in result["cut"]
    facts = result["artifact"]
    whole = (await download(customer, run, facts)).json()
    assert whole["printed"].endswith("line 4999\n")
    (asked,) = [each for each in await events(customer, run) if each["kind"] == "tool_result"]
    assert asked["data"]["result"]["artifact"] == facts

    size = len((await download(customer, run, facts)).text)
    part = {"artifact_id": facts["artifact_id"], "offset": size - 50}
    long = {"artifact_id": facts["artifact_id"], "length": 10_000}
    later = await run_tools(
        customer,
        model,
        calls(("read_artifact", part), ("read_artifact", long)),
        agent="coding",
        conversation_id=run["conversation_id"],
    )
    end, begin = await results(customer, later)
    assert "line 4999" in end["text"]
    assert (end["next_offset"], end["character_count"]) == (None, size)
    assert (len(begin["text"]), begin["next_offset"]) == (10_000, 10_000)


async def test_a_file_is_read_in_its_own_conversation_only(
    customer: Person, other: Person, model: Model
) -> None:
    run = await run_tools(customer, model, calls(("make_chart", CHART)))
    (result,) = await results(customer, run)
    read = calls(
        ("read_artifact", {"artifact_id": result["artifact"]["artifact_id"]}),
        ("run_python", {"code": "1", "files": ["chart.svg"]}),
    )
    elsewhere = await run_tools(customer, model, read)
    codes = [each["code"] for each in await results(customer, elsewhere)]
    assert codes == ["unknown_artifact", "unknown_artifact"]
    here = await run_tools(customer, model, read, conversation_id=run["conversation_id"])
    first, second = await results(customer, here)
    assert first["text"].startswith("<svg ")
    assert second["status"] == "done"


async def test_bytes_are_no_text_for_a_model(customer: Person, model: Model) -> None:
    code = r"outputs['b.bin'] = b'\xff\x00\x01'"
    run = await run_tools(customer, model, calls(("run_python", {"code": code})), agent="coding")
    (facts,) = (await results(customer, run))[0]["artifacts"]
    assert facts["media_type"] == "application/octet-stream"
    assert (await download(customer, run, facts)).content == b"\xff\x00\x01"
    read = calls(
        ("read_artifact", {"artifact_id": facts["artifact_id"]}),
        ("run_python", {"code": "print(len(files['b.bin']))", "files": ["b.bin"]}),
    )
    later = await run_tools(
        customer, model, read, agent="coding", conversation_id=run["conversation_id"]
    )
    refused, counted = await results(customer, later)
    assert (refused["code"], counted["printed"]) == ("artifact_not_text", "3\n")


# --- an answer that is lost


def losing(tool: str, effect: Any, lost: list[UUID]) -> Tool:
    """Return a tool whose first attempt does its work, and whose answer is lost then."""

    async def lose(resources: ToolResources, run: AgentRun, call: ToolCall) -> Effect:
        made: Effect = await effect(resources, run, call)
        if call.call_id not in lost:
            lost.append(call.call_id)
            raise UnavailableError("the answer is lost")
        return made

    spec = BUILT_IN[tool].spec
    patience = timedelta(minutes=5)
    return Tool(replace(spec, name=f"losing_{tool}", patience=patience), lose)


async def test_a_repeated_call_stores_its_files_once(
    customer: Person, model: Model, folder: Path, tools: ToolCatalog
) -> None:
    lost: list[UUID] = []
    names = ("make_chart", "run_python")
    tools.add(losing(name, BUILT_IN[name].effect, lost) for name in names)
    add_agent(folder, "unlucky", 'tools = ["losing_make_chart", "losing_run_python"]')
    load_agents(tools)
    code = "import random, time\noutputs['n.txt'] = f'{random.random()} {time.time()}'\n"
    code += "print(outputs['n.txt'])"
    run = await run_tools(
        customer,
        model,
        calls(("losing_make_chart", CHART), ("losing_run_python", {"code": code})),
        agent="unlucky",
    )
    assert len(lost) == 2
    drawn, ran = await results(customer, run)
    rows = {each["name"]: each["artifact_id"] for each in await listed(customer, run)}
    assert rows == {
        "chart.svg": drawn["artifact"]["artifact_id"],
        "n.txt": ran["artifacts"][0]["artifact_id"],
    }
    assert (await download(customer, run, ran["artifacts"][0])).text + "\n" == ran["printed"]


# --- a result that is longer than a file may be


async def tell_much(_: ToolResources, run: AgentRun, call: ToolCall) -> Effect:
    return Effect(ToolCallStatus.DONE, {"much": "ü" * call.arguments_data["count"]})


class TellMuch(Arguments):
    """How much."""

    count: int


TELL_MUCH = Tool(ToolSpec("tell_much", "Tell much.", TellMuch), tell_much)


async def test_results_are_kept_up_to_the_limits_of_a_run(
    customer: Person,
    model: Model,
    folder: Path,
    tools: ToolCatalog,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(artifacts, "MAX_RUN_FILE_COUNT", 2)
    tools.add([TELL_MUCH])
    add_agent(folder, "teller", 'tools = ["tell_much", "make_chart"]')
    load_agents(tools)
    long, short = ("tell_much", {"count": 600_000}), ("tell_much", {"count": 9_000})
    run = await run_tools(customer, model, calls(long, short, short), agent="teller")
    first, second, last = await results(customer, run)
    assert (first["is_whole"], first["artifact"]["media_type"]) == (False, "text/plain")
    assert 999_990 <= first["artifact"]["size_bytes"] <= 1_000_000
    assert (await download(customer, run, first["artifact"])).text.endswith("üü")
    assert second["is_whole"] is True
    assert (last["artifact"], last["artifact_error"]) == (None, "too_many_artifacts")
    assert last["cut"].startswith('{"status":"done","much":"')


# --- a script that never ends


async def test_a_canceled_run_leaves_no_script_behind(customer: Person, model: Model) -> None:
    before, mark = spinning(), f"work {uuid4().hex}"
    endless = calls(("run_python", {"code": "while True:\n    pass"}))
    await model.script(endless, match=mark)
    run = (await customer.post("agent-runs", agent="coding", input=mark)).json()
    busy = await until_spinning(before)
    reply = await customer.post(f"agent-runs/{run['agent_run_id']}/cancel")
    assert reply.status_code == 200, reply.text
    await until_gone(busy)
    ended = await wait(customer, run, *ENDED)
    assert ended["run_status"] == "canceled", ended
