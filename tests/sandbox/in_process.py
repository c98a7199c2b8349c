"""The sandbox inside the test's own process, for thousands of requests: the same application."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from starlette.applications import Starlette

from sandbox.stripe.app import Options, build

_TURNS = 6
_HEADERS = [
    (b"authorization", b"Bearer sk_test_sandbox"),
    (b"content-type", b"application/x-www-form-urlencoded"),
]


class InProcess:
    """Speaks to the application without a socket."""

    def __init__(self, app: Starlette) -> None:
        self._app = app

    async def call(self, method: str, path: str, **params: Any) -> Any:
        """Return the answer's JSON, which must be no error."""
        encoded = urlencode(list(_flat(params))).encode()
        is_read = method in {"GET", "DELETE"}
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method,
            "scheme": "http", "path": path, "raw_path": path.encode(), "root_path": "",
            "query_string": encoded if is_read else b"", "headers": _HEADERS,
        }  # fmt: skip
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": b"" if is_read else encoded}

        async def send(message: Any) -> None:
            sent.append(message)

        await self._app(scope, receive, send)
        answer = json.loads(b"".join(m.get("body", b"") for m in sent))
        assert sent[0]["status"] == 200, (method, path, params, answer)
        return answer

    async def advance(self, clock: str, moment: int) -> None:
        """Bring a test clock to a moment, and wait until it is there."""
        path = f"/v1/test_helpers/test_clocks/{clock}"
        await self.call("POST", f"{path}/advance", frozen_time=moment)
        # Reason: the clock moves in this very loop, a job a turn, and announces nothing to us.
        while (await self.call("GET", path))["status"] != "ready":
            for _ in range(_TURNS):
                await asyncio.sleep(0)


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict | list):
        entries = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in entries:
            yield from _flat(inner, f"{name}[{key}]" if name else str(key))
    else:
        yield name, str(value).lower() if isinstance(value, bool) else str(value)


@asynccontextmanager
async def in_process(data: Path) -> AsyncIterator[InProcess]:
    """Run the application with its background work."""
    app = build(Options(data=data, base_url="http://sandbox"))
    async with app.router.lifespan_context(app):
        yield InProcess(app)
