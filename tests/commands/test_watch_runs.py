"""The watch at runs of agents: what it tells, how it goes on, and with which code it leaves."""

import asyncio
import io
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from uuid import uuid4

import httpx
import pytest
from rich.console import Console
from temporalio.client import Client
from websockets.asyncio.server import ServerConnection, serve

from api.app import build_app
from commands.admin import create_admin
from commands.resources import AGENT_RUN
from commands.watch.events import Watch, follow
from config import Settings
from database.session import Sessions
from domain.agents.run_events import NewRunEvent, RunEventKind
from tests.api.support import eventually, served
from tests.conftest import PROJECT, free_port
from tests.support.streams import add_run, append, finish

DIGEST = "d" * 64


@pytest.fixture(scope="module")
async def http(
    settings: Settings,
    dev_server: Client,
    sessions: Sessions,
) -> AsyncIterator[httpx.AsyncClient]:
    async with served(build_app(settings, dev_server, sessions)) as client:
        yield client


@pytest.fixture(scope="module")
async def key(settings: Settings) -> str:
    return (await create_admin(settings, f"{uuid4().hex}@example.com", None)).api_key


def paper() -> Console:
    """Return a console whose `file` keeps what was printed."""
    return Console(file=io.StringIO(), width=40, highlight=False)


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def note(kind: str, **data: object) -> NewRunEvent:
    return NewRunEvent(kind=RunEventKind(kind), data=data)


def token(text: str, attempt: int = 1) -> NewRunEvent:
    return note("token", text=text, attempt=attempt, step=1)


def story(call_id: str) -> list[NewRunEvent]:
    """Return what the stream of a run tells, up to what the user says after a refused call."""
    call = {"call_id": call_id, "tool": "refund_payment", "arguments": {"reason": "[dim]é"}}
    return [
        note("status", run_status="running"),
        note("step", step="retrieve", waiting_for="chroma"),
        note("step", step="retrieve", passages=[{"number": 1}, {"number": 2}]),
        note("step", step=1, attempt=1, model="gpt-4.1"),
        token("Half a"),
        note("step", step=1, attempt=2, model="gpt-4.1"),
        token("Hel", 2),
        token("lo [b]:smile:\x1b[2J", 2),
        note("message", role="assistant", text="Hello", step=1, attempt=2),
        note("tool_call", **call),
        note(
            "approval_requested",
            **call,
            args_sha256=DIGEST,
            effect={"amount_cents": 700},
            expires_at="2026-11-23T09:00:00Z",
        ),
        note("approval_decided", call_id=call_id, decision="rejected", reason="too much"),
        note("tool_result", call_id=call_id, tool="refund_payment", result={"status": "rejected"}),
        note("message", role="user", text="thanks"),
    ]


async def test_a_run_is_told_to_its_end(
    http: httpx.AsyncClient, sessions: Sessions, key: str
) -> None:
    agent_run_id, call_id = await add_run(sessions), str(uuid4())
    await append(sessions, agent_run_id, *story(call_id))
    console = paper()

    async def is_thanked() -> bool:
        return "thanks" in printed(console)

    watch = Watch(str(http.base_url), key, AGENT_RUN, str(agent_run_id), after=0)
    async with asyncio.timeout(100):
        watching = asyncio.create_task(follow(watch, console))
        await eventually(is_thanked)
        await finish(sessions, agent_run_id)
        assert await watching == 0
    told = printed(console)
    lines = told.splitlines()
    assert "retrieve: waiting for chroma" in lines[1]
    assert "retrieve: 2 passages" in lines[2]
    assert lines[4] == "Half a"
    assert "step 1, attempt 2, model gpt-4.1" in lines[5]
    assert lines[6] == "Hello [b]:smile:\N{REPLACEMENT CHARACTER}[2J"
    assert lines[7].endswith("assistant: as above")
    assert lines[8].endswith(f'refund_payment {{"reason": "[dim]é"}}, call_id {call_id}')
    assert 'effect {"amount_cents": 700}' in lines[9]
    assert f"args_sha256 {DIGEST}, expires at 2026-11-23T09:00:00Z" in lines[9]
    assert f"/api/v1/agent-runs/{agent_run_id}/approve" in lines[10]
    body = json.loads(lines[12].split("-d '")[1].rstrip("'"))
    assert body == {"call_id": call_id, "args_sha256": DIGEST, "decision": "approve"}
    assert f"rejected: too much, call_id {call_id}" in lines[13]
    assert 'refund_payment {"status": "rejected"}' in lines[14]
    assert lines[15].endswith("user: thanks")
    assert lines[16].endswith("completed")
    assert lines[17] == "the agent run has ended"


async def test_a_failed_run_is_a_failure_of_the_watch(
    http: httpx.AsyncClient, sessions: Sessions, key: str
) -> None:
    agent_run_id = await add_run(sessions)
    error = note("error", code="model_unavailable", message="nobody answers")
    await append(sessions, agent_run_id, error)
    last = await finish(sessions, agent_run_id, "failed")
    console = paper()
    watch = Watch(str(http.base_url), key, AGENT_RUN, str(agent_run_id), after=0)
    async with asyncio.timeout(100):
        assert await follow(watch, console) == 1
    assert "model_unavailable: nobody answers" in printed(console)
    late = Watch(str(http.base_url), key, AGENT_RUN, str(agent_run_id), after=last)
    async with asyncio.timeout(100):
        assert await follow(late, console) == 1


async def test_the_command_line_follows_a_run_and_leaves_with_its_code(
    http: httpx.AsyncClient, sessions: Sessions, key: str
) -> None:
    agent_run_id = await add_run(sessions)
    await append(sessions, agent_run_id, token("Hello"))
    await finish(sessions, agent_run_id)

    def watch(target: str) -> subprocess.CompletedProcess[str]:
        at = ("--api", str(http.base_url), "--api-key", key)
        command = [sys.executable, "cli.py", "watch", target, *at]
        return subprocess.run(
            command, cwd=PROJECT, capture_output=True, text=True, timeout=100, check=False
        )

    told = await asyncio.to_thread(watch, str(agent_run_id))
    assert (told.returncode, told.stdout.splitlines()[0]) == (0, "Hello")
    unknown = await asyncio.to_thread(watch, f"agent-run-{uuid4()}")
    assert unknown.returncode == 2
    assert unknown.stderr.startswith("error: there is no such agent run: agent-run-")


async def test_a_lost_connection_goes_on_from_the_last_event() -> None:
    port, asked = free_port(), list[str]()

    async def tell(connection: ServerConnection) -> None:
        assert connection.request is not None
        asked.append(connection.request.path)
        at = "2026-11-23T09:00:00Z"
        texts = ["Hel", "lo"]
        event = {"seq": len(asked), "kind": "token", "created_at": at}
        data = {"text": texts[len(asked) - 1], "attempt": 1, "step": 1}
        await connection.send(json.dumps({**event, "data": data}))
        if len(asked) == 1:
            connection.transport.abort()
            return
        done = {"seq": 9, "kind": "done", "data": {"run_status": "completed"}, "created_at": at}
        await connection.send(json.dumps(done))
        await connection.close(1000)

    console = paper()
    async with serve(tell, "127.0.0.1", port), asyncio.timeout(100):
        watch = Watch(f"http://127.0.0.1:{port}", "pk_x", AGENT_RUN, "x", after=0)
        assert await follow(watch, console) == 0
    runs = "/ws/agent-runs/x?after="
    assert asked == [f"{runs}0", f"{runs}1"]
    lost = f"http://127.0.0.1:{port} has cut the connection; trying again from event 1"
    assert printed(console).replace("\n", " ").startswith(f"Hel {lost} lo ")
