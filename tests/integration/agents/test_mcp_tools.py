"""Tools of MCP servers: a real server of the official SDK, which changes, hangs and floods."""

import asyncio
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from agents.tools.settings import ToolSettings
from bootstrap.tools import make_tool_catalog, read_mcp_servers, tool_sources
from config import Settings
from database.session import Sessions
from domain.errors import InvalidInputError, UnavailableError
from services.agents.tools.catalog import Tool, ToolCatalog
from services.agents.tools.mcp.agreed import (
    LOCK,
    AgreedTool,
    compare,
    find_fault,
    read_agreed,
    tool_name,
    write_agreed,
)
from services.agents.tools.mcp.servers import McpServer, make_tools, watch_server
from tests.conftest import PROJECT, free_port
from tests.support.mcp_server import INJECTION
from tests.support.tool_shop import Shop

SECRET = "a-key-of-the-mcp-server"


class Server:
    """A process of the server, and what its calls did."""

    def __init__(self, folder: Path, form: str = "stream") -> None:
        self.state, self.port = folder / "calls", free_port()
        self.state.touch()
        command = [sys.executable, "-m", "tests.support.mcp_server", str(self.port)]
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [*command, str(self.state), form], cwd=PROJECT, stdout=log, stderr=log
            )
        for _ in range(1_000):
            try:
                httpx.get(f"http://127.0.0.1:{self.port}/mcp", timeout=20)
            except httpx.HTTPError:
                assert self.process.poll() is None, (folder / "log").read_text()

                time.sleep(0.1)
            else:
                return

    @property
    def calls(self) -> list[str]:
        return self.state.read_text().splitlines()

    def stop(self) -> None:
        self.process.kill()
        self.process.wait(100)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    yield server
    server.stop()


@pytest.fixture
def flooding(tmp_path: Path, form: str) -> Iterator[Server]:
    server = Server(tmp_path, form)
    yield server
    server.stop()


def allow(
    folder: Path, port: int, host: str = "127.0.0.1", text: str = "", limit: str = "5s"
) -> McpServer:
    """Write the file of a server, and read it."""
    (folder / "shop.toml").write_text(
        f'url = "http://{host}:{port}/mcp"\ntime_limit = "{limit}"\n'
        f'headers = {{ X-Key = "${{env:MCP_KEY}}" }}\n{text}'
    )
    sources = tool_sources(("127.0.0.1",), {"MCP_KEY": SECRET})
    (found,) = read_mcp_servers(str(folder), sources)
    assert isinstance(found, McpServer), found
    return found


async def agree(folder: Path, allowed: McpServer) -> dict[str, Tool]:
    """Agree to all tools of a server, and return them by the names that models use."""
    offered = {each.name: each for each in await allowed.list_tools()}
    write_agreed(folder, {"shop": offered})
    agreed = read_agreed(folder)["shop"]
    assert agreed == offered
    return {tool.spec.name: tool for tool in make_tools(allowed, agreed.values())}


async def test_a_tool_of_a_server_is_called(
    sessions: Sessions, server: Server, tmp_path: Path
) -> None:
    rules = '[tools.find]\neffect = "read"\n'
    tools = await agree(tmp_path, allow(tmp_path, server.port, text=rules))
    assert tools.keys() >= {"shop_find", "shop_order", "shop_letters"}
    assert (tools["shop_find"].spec.approver_role, tools["shop_order"].spec.approver_role) == (
        None,
        "admin",
    )
    parameters = tools["shop_find"].spec.definition.parameters
    assert parameters["properties"] == {"name": {"type": "string"}}
    found = Shop(sessions, tools["shop_find"])
    row = await found.attempt(await found.ask(name="lamp"))
    assert row.tool_call_status == "done", row.result_data
    assert row.result_data is not None
    assert row.result_data["structured"] == {"name": "lamp", "place": "shelf 7"}

    orders = Shop(sessions, tools["shop_order"])
    call_id = await orders.ask(sku="A")
    assert (await orders.attempt(call_id)).tool_call_status == "done"
    await orders.attempt(call_id)
    assert server.calls == ["order A"]


async def test_a_changed_tool_is_held(sessions: Sessions, server: Server, tmp_path: Path) -> None:
    allowed = allow(tmp_path, server.port)
    tools = await agree(tmp_path, allowed)
    change = Shop(sessions, tools["shop_change"])
    assert (await change.attempt(await change.ask(a=1))).tool_call_status in {"done", "failed"}
    agreed = read_agreed(tmp_path)["shop"]
    differences = compare(agreed, await allowed.list_tools())
    assert differences == {"find": "changed", "novelty": "new"}
    find = Shop(sessions, tools["shop_find"])
    row = await find.attempt(await find.ask(name="lamp"))
    assert row.tool_call_status == "failed"
    assert row.result_data is not None
    assert row.result_data["code"] == "tool_held"
    assert server.calls == []
    orders = Shop(sessions, tools["shop_order"])
    assert (await orders.attempt(await orders.ask(sku="A"))).tool_call_status == "done"

    renewed = await agree(tmp_path, allowed)
    assert "shop_novelty" in renewed
    find = Shop(sessions, renewed["shop_find"])
    assert (await find.attempt(await find.ask(name="lamp"))).tool_call_status == "done"


async def test_a_server_that_hangs_leaves_an_unknown_outcome(
    sessions: Sessions, server: Server, tmp_path: Path
) -> None:
    tools = await agree(tmp_path, allow(tmp_path, server.port))
    slow = Shop(sessions, tools["shop_order_slowly"])
    async with asyncio.timeout(60):
        first = await slow.attempt(await slow.ask(sku="A"))
    assert first.tool_call_status == "outcome_unknown"
    again = await slow.attempt(await slow.ask(first.agent_run_id, sku="A"))
    assert again.result_data is not None
    assert again.result_data["code"] == "outcome_unknown"
    assert server.calls == ["slow A"]


@pytest.mark.parametrize("form", ["stream", "json"])
async def test_a_flood_is_not_read(
    sessions: Sessions, flooding: Server, tmp_path: Path, form: str
) -> None:
    """The answer has 50 MB; what it takes of memory is what the peak of this process shows."""
    server = flooding
    rules = '[tools.flood]\neffect = "read"\n'
    tools = await agree(tmp_path, allow(tmp_path, server.port, text=rules, limit="40s"))
    flood = Shop(sessions, tools["shop_flood"])
    call_id = await flood.ask(a=1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with asyncio.timeout(100):
        with pytest.raises(UnavailableError):
            await flood.attempt(call_id)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30_000  # kilobytes
        given_up = await flood.attempt(call_id, age=timedelta(minutes=1))
    assert given_up.result_data is not None
    assert given_up.result_data["code"] == "unavailable"


async def test_what_a_stranger_wrote_is_marked_and_fenced(
    sessions: Sessions, server: Server, tmp_path: Path
) -> None:
    tools = await agree(tmp_path, allow(tmp_path, server.port))
    letters = Shop(sessions, tools["shop_letters"])
    call_id = await letters.ask(a=1)
    await letters.attempt(call_id)
    told = await letters.told(call_id)
    assert told.startswith("(marked: ")
    assert INJECTION in told
    assert "<tool-result-" in told


async def test_an_error_of_a_write_may_have_come_after_its_effect(
    sessions: Sessions, server: Server, tmp_path: Path
) -> None:
    rules = '[tools.order]\nis_error_without_effect = true\n[tools.find]\neffect = "read"\n'
    tools = await agree(tmp_path, allow(tmp_path, server.port, text=rules))
    failing = Shop(sessions, tools["shop_fail"])
    row = await failing.attempt(await failing.ask(a=1))
    assert row.tool_call_status == "outcome_unknown"
    assert row.result_data is not None
    assert row.result_data["texts"] == ["Error executing tool fail"]
    for name in ("shop_order", "shop_find"):
        wrong = Shop(sessions, tools[name])
        row = await wrong.attempt(await wrong.ask(colour="red"))
        assert row.tool_call_status == "failed"
    assert server.calls == []


async def test_a_server_that_is_away_is_told_and_nothing_hangs(
    sessions: Sessions, server: Server, tmp_path: Path
) -> None:
    allowed = allow(tmp_path, server.port)
    tools = await agree(tmp_path, allowed)
    server.stop()
    orders = Shop(sessions, tools["shop_order"])
    call_id = await orders.ask(sku="A")
    async with asyncio.timeout(60):
        with pytest.raises(UnavailableError):
            await orders.attempt(call_id)
        assert (await orders.row(call_id)).tool_call_status == "requested"
        given_up = await orders.attempt(call_id, age=timedelta(hours=1))
        with pytest.raises(UnavailableError):
            await allowed.list_tools()
    assert given_up.tool_call_status == "failed"


async def test_a_private_address_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError) as refused:
        await allow(tmp_path, 9, host="localhost").list_tools()
    assert refused.value.error_code == "tool_address_refused"


# --- files


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "shop.toml: url: Field required"),
        ('url = "ftp://x/"', "shop.toml: url: must begin with http:// or https://"),
        ('url = "${env:NOWHERE}"', "shop.toml: url: the variable NOWHERE is missing or empty"),
        ('url = "http://x/"\ncolour = 1', "shop.toml: colour: Extra inputs are not permitted"),
        (
            'url = "http://x/"\n[tools.find]\neffect = "erase"',
            "shop.toml: tools.find.effect: Input should be 'read' or 'write'",
        ),
    ],
)
def test_what_is_wrong_with_a_file(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "shop.toml").write_text(text)
    (found,) = read_mcp_servers(str(tmp_path), tool_sources((), {}))
    assert str(found).startswith(problem)


def test_a_lock_file_that_was_changed_by_hand_is_refused(tmp_path: Path) -> None:
    schema: dict[str, Any] = {"type": "object"}
    write_agreed(tmp_path, {"shop": {"find": AgreedTool("find", "Find.", schema)}})
    assert read_agreed(tmp_path)["shop"]["find"].description == "Find."
    text = (tmp_path / LOCK).read_text()
    (tmp_path / LOCK).write_text(text.replace("Find.", "Find, and order."))
    with pytest.raises(ValueError, match="was changed by hand"):
        read_agreed(tmp_path)
    for broken in ("{", "[]", '{"shop": []}', '{"shop": {"find": {}}}'):
        (tmp_path / LOCK).write_text(broken)
        with pytest.raises(ValueError, match="cannot be read"):
            read_agreed(tmp_path)


def test_what_models_cannot_be_offered() -> None:
    def fault(name: str = "a", description: str = "", schema: Any = None) -> str | None:
        return find_fault("shop", AgreedTool(name, description, schema or {"type": "object"}))

    assert fault() is None
    assert "no object" in str(fault(schema={"type": "array"}))
    assert "description" in str(fault(description="x" * 5_000))
    huge = {"type": "object", "properties": {"a": {"description": "x" * 60_000}}}
    assert "schema" in str(fault(schema=huge))
    assert "more than 64 letters" in str(fault("x" * 70))
    assert tool_name("shop", "find/by.name") == "shop_find_by_name"


async def test_no_server_is_needed_to_start(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MCP_KEY", SECRET)
    allow(tmp_path, free_port())
    tool = AgreedTool("find", "Find.", {"type": "object"})
    write_agreed(tmp_path, {"shop": {"find": tool}, "gone": {"find": tool}})
    folder = ToolSettings(mcp_folder=str(tmp_path))
    catalog = make_tool_catalog(settings.model_copy(update={"tools": folder}))
    assert "shop_find" in catalog.names
    assert "gone_find" not in catalog.names
    assert [each.name for each in catalog.definitions(["shop_find"])] == ["shop_find"]
    (watch,) = catalog.watches
    watching = asyncio.create_task(watch())
    done, _ = await asyncio.wait({watching}, timeout=2)
    assert done == set()
    watching.cancel()


async def test_a_worker_notices_what_has_changed_and_offers_it_no_more(
    sessions: Sessions, server: Server, tmp_path: Path
) -> None:
    allowed = allow(tmp_path, server.port)
    tools = await agree(tmp_path, allowed)
    catalog = ToolCatalog(tools.values())
    assert len(catalog.definitions(tools)) == len(tools)
    change = Shop(sessions, tools["shop_change"])
    await change.attempt(await change.ask(sku="A"))
    watching = asyncio.create_task(watch_server(allowed, read_agreed(tmp_path)["shop"]))
    async with asyncio.timeout(60):
        while not allowed.held:  # noqa: ASYNC110 - a set has no event
            await asyncio.sleep(0.05)
    watching.cancel()
    assert allowed.held == {"find"}
    offered = {definition.name for definition in catalog.definitions(tools)}
    assert offered == tools.keys() - {"shop_find"}


def test_a_person_agrees_on_the_command_line(server: Server, tmp_path: Path) -> None:
    allowed = allow(tmp_path, server.port)

    def run(*words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        known = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        environ = {
            "MCP_KEY": SECRET,
            "TOOLS__MCP_FOLDER": str(tmp_path),
            "EGRESS__ALLOWED_PRIVATE_HOSTS": '["127.0.0.1"]',
        }
        return subprocess.run(
            [sys.executable, "cli.py", "tools", *words],
            cwd=PROJECT,
            env={**known, **environ},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    held = run("check")
    assert held.returncode == 1
    assert (
        "shop: the tool find is new, and held: run `python cli.py tools agree shop`" in held.stderr
    )
    refused = run("agree", "shop", stdin="n\n")
    assert refused.returncode == 1
    assert '"description": "Find an article."' in refused.stdout
    assert read_agreed(tmp_path) == {}
    agreed = run("agree", "shop", stdin="y\n")
    assert agreed.returncode == 0, agreed.stderr
    checked = run("check")
    assert checked.returncode == 0, checked.stderr
    assert "shop_order: each call is approved by: admin" in checked.stdout
    assert run("agree", "gone").returncode == 2
    server.stop()
    away = run("agree", "shop", "--yes")
    assert away.returncode == 1
    assert away.stderr.startswith("error: the MCP server cannot be used")
    assert SECRET not in held.stdout + held.stderr + agreed.stdout + away.stderr
    assert allowed.held == set()
