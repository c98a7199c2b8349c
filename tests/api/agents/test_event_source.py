"""`EventSource` of browsers survives cuts: by its own protocol, and in a headless Chromium."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from threading import Thread
from uuid import uuid4

import httpx
import pytest
from temporalio.client import Client

from api.app import build_app
from config import ApiSettings, Settings
from database.session import Sessions
from tests.api.conftest import Person, until
from tests.api.support import add_user, bearer, served
from tests.conftest import PROJECT
from tests.support.browser import ABSENT, find_chromium, open_page
from tests.support.event_source import EventSource, RefusedError, relayed
from tests.support.streams import add_run, append, finish, step
from tests.unit.agents.support import Model

API = "/api/v1"
EVENT_COUNT = 300


def port_of(http: httpx.AsyncClient) -> int:
    assert http.base_url.port
    return http.base_url.port


async def test_an_event_source_has_no_gap_and_no_double_after_cuts(
    settings: Settings,
    dev_server: Client,
    sessions: Sessions,
) -> None:
    user_id = await add_user(sessions)
    agent_run_id = await add_run(sessions, user_id)
    random = Random(7)  # noqa: S311 - the same cuts in every run

    async def write() -> None:
        for number in range(EVENT_COUNT):
            await append(sessions, agent_run_id, step(number))
            await asyncio.sleep(0.003)
        await finish(sessions, agent_run_id)

    async with AsyncExitStack() as first_process, AsyncExitStack() as others:
        app = build_app(settings, dev_server, sessions)
        http = await first_process.enter_async_context(served(app))
        another = await others.enter_async_context(
            served(build_app(settings, dev_server, sessions))
        )
        made = await http.post(f"{API}/auth/ticket", headers=bearer(settings, user_id))
        relay = await others.enter_async_context(
            relayed(port_of(http), lambda _: random.randint(300, 6_000))
        )
        path = f"{API}/agent-runs/{agent_run_id}/events?ticket={made.json()['ticket']}"
        source = EventSource(f"{relay.address}{path}")
        writing = asyncio.create_task(write())
        found = []
        async with asyncio.timeout(100):
            async for event in source.events():
                found.append(event)
                if len(found) == EVENT_COUNT // 2:
                    relay.port = port_of(another)
                    await first_process.aclose()
                if event.kind == "done":
                    break
        await writing
        # Its ticket ended with the stream: a browser that comes again is refused, and gives up.
        with pytest.raises(RefusedError, match="401"):
            await anext(EventSource(str(another.base_url.join(path))).events())
    numbers = [json.loads(event.data)["seq"] for event in found]
    assert numbers == list(range(1, EVENT_COUNT + 2))
    assert [int(event.last_event_id) for event in found] == numbers
    assert relay.cut_count > 5
    assert source.connection_count > relay.cut_count


@asynccontextmanager
async def example_pages() -> AsyncIterator[str]:
    """Serve `examples/` as `python -m http.server` does, and return the address."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(PROJECT / "examples"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        await asyncio.to_thread(server.shutdown)
        thread.join()
        server.server_close()


@pytest.mark.skipif(find_chromium() is None, reason=ABSENT)
async def test_the_example_page_streams_a_run_in_chromium(
    settings: Settings,
    workers: Client,
    sessions: Sessions,
    customer: Person,
    model: Model,
    tmp_path: Path,
) -> None:
    question = f"What is {uuid4().hex}?"
    answer = " ".join(f"word{number}" for number in range(300))
    await model.script({"text": answer}, match=question)
    made = await customer.post("api-keys", name="of the page")
    cuts = iter([1_500, 3_000])

    def allowance(head: bytes) -> int | None:
        return next(cuts, None) if b"/events?" in head.split(b"\r\n")[0] else None

    chromium = find_chromium()
    assert chromium
    async with AsyncExitStack() as opened:
        pages = await opened.enter_async_context(example_pages())
        api = ApiSettings(cors_origins=(pages,))
        app = build_app(settings.model_copy(update={"api": api}), workers, sessions)
        http = await opened.enter_async_context(served(app))
        relay = await opened.enter_async_context(relayed(port_of(http), allowance))
        page = await opened.enter_async_context(
            open_page(chromium, tmp_path, f"{pages}/stream.html")
        )

        async def is_loaded() -> bool:
            return bool(await page.run("!!document.querySelector('#state')"))

        await until(is_loaded)
        given = {"api": relay.address, "key": made.json()["api_key"], "question": question}
        await page.run(
            f"for (const [id, value] of Object.entries({json.dumps(given)}))"
            " document.getElementById(id).value = value;"
            " document.querySelector('button').click()"
        )

        async def state() -> str | None:
            shown = await page.run("document.getElementById('state').textContent")
            return shown if shown == "completed" or ":" in shown else None

        assert await until(state) == "completed"
        shown = await page.run("document.getElementById('answer').textContent")
    (run,) = (await customer.get("agent-runs"))["items"]
    assert shown == run["output"]
    assert answer in shown
    assert relay.cut_count == 2
