"""The ASGI application: the providers' routes and the controls."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.llm import anthropic_wire, openai_wire
from sandbox.llm.batch_answers import BatchWork
from sandbox.llm.batches import BatchRoutes, FileRoutes
from sandbox.llm.endpoint import STRICT, Endpoint
from sandbox.llm.exchange import Wire
from sandbox.llm.script import Script
from sandbox.llm.simple import SimpleRoutes
from sandbox.llm.store import Store

WIRES = (
    Wire(openai_wire.PATH, openai_wire.read, openai_wire.Writer, openai_wire.error),
    Wire(anthropic_wire.PATH, anthropic_wire.read, anthropic_wire.Writer, anthropic_wire.error),
)


class Controls:
    """Handlers of `/_sandbox/*`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._batches = BatchWork(store, store.batches)

    def routes(self) -> list[Route]:
        """Return the control routes."""
        return [
            Route("/", self._health),
            Route("/_sandbox/health", self._health),
            Route("/_sandbox/requests", self._requests),
            Route("/_sandbox/batches", self._listed_batches),
            Route("/_sandbox/script", self._script, methods=["POST"]),
            Route("/_sandbox/strict", self._strict, methods=["POST"]),
            Route("/_sandbox/reset", self._reset, methods=["POST"]),
        ]

    async def _health(self, _request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def _requests(self, _request: Request) -> Response:
        # Reason: the log is the referee of what was used, also by batches that nobody reads.
        self._batches.get_on()
        return JSONResponse({"items": self._store.requests()})

    async def _listed_batches(self, _request: Request) -> Response:
        self._batches.get_on()
        return JSONResponse({"items": self._store.batches.all()})

    async def _script(self, request: Request) -> Response:
        try:
            script = Script.model_validate_json(await request.body())
        except ValidationError as problem:
            return JSONResponse(openai_wire.error(400, str(problem)), 400)
        self._store.queue([item.model_dump() for item in script.items])
        return JSONResponse({"waiting_count": self._store.waiting_count()})

    async def _strict(self, request: Request) -> Response:
        body = await request.json()
        self._store.switch(STRICT, is_on=bool(body.get("is_on", True)))
        return JSONResponse({"is_on": self._store.is_on(STRICT)})

    async def _reset(self, _request: Request) -> Response:
        self._store.erase()
        return JSONResponse({"status": "ok"})


async def _unknown(request: Request) -> Response:
    message = f"Invalid URL ({request.method} {request.url.path})"
    return JSONResponse(openai_wire.error(404, message, "unknown_url"), 404)


def build(data: Path, token_seconds: float, batch_seconds: float) -> Starlette:
    """Return the application over the store in `data`."""
    data.mkdir(parents=True, exist_ok=True)
    store = Store(data / "llm.sqlite3")

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        store.close()

    methods = ["GET", "POST", "DELETE", "PUT", "PATCH"]
    routes = [
        *Controls(store).routes(),
        *FileRoutes(store, store.batches).routes(),
        *BatchRoutes(store, store.batches, batch_seconds).routes(),
        *(
            Route(wire.path, Endpoint(wire, store, token_seconds).answer, methods=["POST"])
            for wire in WIRES
        ),
        *SimpleRoutes(store).routes(),
        Route("/{path:path}", _unknown, methods=methods),
    ]
    return Starlette(routes=routes, lifespan=lifespan)
