"""The API as a process writes one line for each request, and no secret in any line."""

import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from websockets.asyncio.client import connect

from config import Settings
from database.session import Sessions
from tests.api.support import add_user, bearer, eventually
from tests.conftest import PROJECT, free_port
from tests.support.approval_links import BROWSER, PATH, add_asked, add_link
from tests.support.streams import add_run, finish

API = "/api/v1"


@asynccontextmanager
async def api_process(settings: Settings, log: Path, level: str) -> AsyncIterator[str]:
    """Run `python -m api` with its log in a file, and return its address."""
    port = free_port()
    environ = {
        **os.environ,
        "DATABASE_URL": settings.database_url,
        "AUTH__JWT_SECRET": settings.auth.jwt_secret.get_secret_value(),
        "STRIPE__API_BASE": settings.stripe.api_base or "",
        "TEMPORAL__ADDRESS": f"127.0.0.1:{free_port()}",
        "LOG_LEVEL": level,
    }
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "api",
            "--port",
            str(port),
            cwd=PROJECT,
            env=environ,
            stdout=file,
            stderr=file,
        )
    address = f"http://127.0.0.1:{port}"

    async def is_alive() -> bool:
        try:
            async with httpx.AsyncClient() as http:
                return (await http.get(f"{address}/health/live")).is_success
        except httpx.HTTPError:
            return False

    try:
        await eventually(is_alive)
        yield address
    finally:
        process.terminate()
        await process.wait()


async def send_some(address: str, head: dict[str, str], agent_run_id: UUID) -> list[str]:
    """Send one request of each kind, and return the tickets that were used."""
    stream = f"agent-runs/{agent_run_id}"
    async with httpx.AsyncClient(base_url=address, timeout=100) as http:
        tickets = [
            (await http.post(f"{API}/auth/ticket", headers=head)).json()["ticket"] for _ in range(2)
        ]
        mine = head | {"X-Request-ID": "asked-by-me"}
        assert (await http.get(f"{API}/users/me", headers=mine)).status_code == 200
        assert (await http.get(f"{API}/users/me?token=planted")).status_code == 422
        assert (await http.get(f"{API}/{stream}/events?ticket={tickets[0]}")).status_code == 200
        assert (await http.get("/planted/secret")).status_code == 404
    socket = f"{address.replace('http', 'ws', 1)}/ws/{stream}?ticket={tickets[1]}"
    async with connect(socket, proxy=None) as connection:
        assert [json.loads(text)["kind"] async for text in connection] == ["done"]
    return tickets


async def open_links(address: str, token: str) -> None:
    """Open and use a link of a mail, as it is and in ways in which it fails."""
    link = f"{PATH}/{token}"
    async with httpx.AsyncClient(base_url=address, timeout=100, headers=BROWSER) as http:
        assert (await http.get(link)).status_code == 200
        assert (await http.head(link)).status_code == 200
        assert (await http.get(f"{PATH}/{token}x")).status_code == 404
        assert (await http.get(f"{link}?q={token}")).status_code == 422
        assert (await http.get(f"{link}/")).status_code == 404
        assert (await http.put(link)).status_code == 405
        assert (await http.post(link, data={"decision": token})).status_code == 422
        # Temporal cannot be reached, so nothing is decided.
        assert (await http.post(link, data={"decision": "approve"})).status_code == 503
        assert (await http.post(link, data={"reason": "x" * 2**21})).status_code == 413


async def test_no_token_of_a_link_in_any_line(
    settings: Settings, sessions: Sessions, tmp_path: Path
) -> None:
    admin_id = await add_user(sessions, "admin")
    asked = await add_asked(sessions, await add_user(sessions))
    token = await add_link(sessions, asked, admin_id)
    log = tmp_path / "log"
    async with api_process(settings, log, "DEBUG") as address:
        await open_links(address, token)
    text = log.read_text()
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    found = Counter(
        (line["method"], line["route"], line["status"], line.get("user_id"))
        for line in lines
        if line["event"] == "request" and line["route"].startswith(PATH)
    )
    template = f"{PATH}/{{token}}"
    assert found == {
        ("GET", template, 200, None): 1,
        ("GET", template, 404, None): 1,
        ("GET", template, 422, None): 1,
        ("PUT", template, 405, None): 1,
        ("POST", template, 422, None): 1,
        ("POST", template, 503, str(admin_id)): 1,
    }
    # Not even a part of one, and nothing that had to be hidden: no line has a path at all.
    assert token.removeprefix("perdure_link_")[:12] not in text
    assert "perdure_link_" not in text
    assert "approval-links/[hidden]" not in text


@pytest.mark.parametrize("level", ["INFO", "DEBUG"])
async def test_one_line_a_request_and_no_ticket_in_any(
    settings: Settings, sessions: Sessions, tmp_path: Path, level: str
) -> None:
    user_id = await add_user(sessions)
    agent_run_id = await add_run(sessions, user_id)
    await finish(sessions, agent_run_id)
    log = tmp_path / "log"
    async with api_process(settings, log, level) as address:
        tickets = await send_some(address, bearer(settings, user_id), agent_run_id)
    text = log.read_text()
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    assert not [line for line in lines if line["logger"] == "uvicorn.access"]
    requests = [line for line in lines if line["event"] == "request"]
    for line in requests:
        assert line["duration_ms"] >= 0
        assert line["request_id"]
    found = Counter(
        (line["method"], line["route"], line["status"], line.get("user_id")) for line in requests
    )
    del found["GET", "/health/live", 200, None]
    mine = str(user_id)
    assert found == {
        ("POST", f"{API}/auth/ticket", 200, mine): 2,
        ("GET", f"{API}/users/me", 200, mine): 1,
        ("GET", f"{API}/users/me", 422, None): 1,
        ("GET", f"{API}/agent-runs/{{agent_run_id}}/events", 200, mine): 1,
        ("GET", "unknown", 404, None): 1,
        ("WEBSOCKET", "/ws/agent-runs/{agent_run_id}", 1000, mine): 1,
    }
    assert [line["route"] for line in requests if line["request_id"] == "asked-by-me"] == [
        f"{API}/users/me"
    ]
    # Not even a part of one: its signature is the last of three parts.
    secrets = ["planted", str(agent_run_id), *[ticket.split(".")[2] for ticket in tickets]]
    shown = [line for line in lines if line["logger"].startswith("api") or level == "INFO"]
    assert not [secret for secret in secrets for line in shown if secret in str(line)]
    assert not [ticket for ticket in tickets if ticket.split(".")[2] in text]
