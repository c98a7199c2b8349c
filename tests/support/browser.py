"""Headless Chromium, if there is one, spoken to by its DevTools protocol."""

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect

NAMES = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "chrome-headless-shell",
)
PLAYWRIGHT = Path("~/.cache/ms-playwright").expanduser()
ABSENT = f"there is no Chromium: none of {', '.join(NAMES)} on PATH, and CHROME_BIN is not set"
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--no-zygote",
    "--disable-gpu",
    "--remote-debugging-port=0",
    "--no-proxy-server",
)
STARTUP_SECONDS = 60


def find_chromium() -> str | None:
    """Return the path of Chromium: that of `CHROME_BIN`, on PATH, or Playwright's."""
    named = os.environ.get("CHROME_BIN") or next(filter(None, map(shutil.which, NAMES)), None)
    if named:
        return named
    kept = [*PLAYWRIGHT.glob("*/*/chrome"), *PLAYWRIGHT.glob("*/*/*headless*shell")]
    return str(kept[0]) if kept else None


class Page:
    """A page of the browser."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._ids = count(1)

    async def run(self, script: str) -> Any:
        """Run a script in the page, and return its value."""
        call = {"expression": script, "returnByValue": True, "awaitPromise": True}
        number = next(self._ids)
        await self._socket.send(
            json.dumps({"id": number, "method": "Runtime.evaluate", "params": call})
        )
        async for text in self._socket:
            message = json.loads(text)
            if message.get("id") == number:
                result = message["result"]
                assert "exceptionDetails" not in result, result
                return result["result"].get("value")
        raise AssertionError("the browser has closed the page")


@asynccontextmanager
async def open_page(chromium: str, folder: Path, url: str) -> AsyncIterator[Page]:
    """Open a page in a browser of its own, with its profile in a folder."""
    process = await asyncio.create_subprocess_exec(
        chromium,
        *OPTIONS,
        f"--user-data-dir={folder}",
        "about:blank",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(STARTUP_SECONDS):
            port = await _debugging_port(process)
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as http:
                target = (await http.put(f"/json/new?{url}")).json()
        async with connect(target["webSocketDebuggerUrl"], proxy=None, max_size=None) as socket:
            yield Page(socket)
    finally:
        process.kill()
        await process.wait()


async def _debugging_port(process: asyncio.subprocess.Process) -> int:
    assert process.stderr is not None
    async for line in process.stderr:
        if b"DevTools listening on ws://" in line:
            return int(line.decode().split("127.0.0.1:")[1].split("/")[0])
    raise AssertionError("Chromium has ended before it listened")
