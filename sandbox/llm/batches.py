"""OpenAI's files and batches: requests that are answered together, later, and read from a file.

What is answered is decided by the script as it is when a batch is created. A batch gets on only
while somebody looks, which nobody can tell from outside.
"""

import time
from dataclasses import dataclass

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from sandbox.llm import openai_wire
from sandbox.llm.batch_answers import BatchWork, Json, lines_of
from sandbox.llm.batch_store import BatchStore
from sandbox.llm.script import Item
from sandbox.llm.store import Store
from sandbox.serving import TRANSPORT

FILES, BATCHES = "/v1/files", "/v1/batches"
FAULTS_OF_READS = "/v1/batches/read"
ANSWER_LOST, SLOW = "batch_answer_lost", "batch_slow"
UNDER_WAY = ("validating", "in_progress", "finalizing")
# How much longer a slow batch takes.
SLOWNESS = 10
_DAY = 24 * 3_600
_MOST_LISTED = 100


@dataclass
class Lost:
    """The answer to a request whose connection is cut without a byte."""

    async def __call__(self, scope: Scope, _receive: Receive, _send: Send) -> None:
        """Cut the connection."""
        scope[TRANSPORT].close()


class FileRoutes:
    """Files: uploaded ones with requests, and those that batches write."""

    def __init__(self, store: Store, batches: BatchStore) -> None:
        self._store = store
        self._batches = batches

    def routes(self) -> list[Route]:
        """Return the routes."""
        one = f"{FILES}/{{file_id}}"
        return [
            Route(FILES, self._upload, methods=["POST"]),
            Route(f"{one}/content", self._content),
            Route(one, self._file),
            Route(one, self._delete, methods=["DELETE"]),
        ]

    async def _upload(self, request: Request) -> ASGIApp:
        form = await request.form()
        upload, purpose = form.get("file"), form.get("purpose")
        if upload is None or isinstance(upload, str) or not isinstance(purpose, str):
            return _refused("file and purpose are required")
        content = (await upload.read()).decode()
        if (fault := _fault(self._store, FILES, content)) is not None:
            return fault
        seconds = form.get("expires_after[seconds]")
        lifetime = int(seconds) if isinstance(seconds, str) else None
        name = upload.filename or "file"
        return JSONResponse(self._batches.add_file(purpose, name, content, lifetime))

    async def _file(self, request: Request) -> Response:
        found = self._batches.file(request.path_params["file_id"])
        return _missing("File") if found is None else JSONResponse(found[0])

    async def _content(self, request: Request) -> Response:
        found = self._batches.file(request.path_params["file_id"])
        if found is None:
            return _missing("File")
        return Response(found[1], media_type="application/octet-stream")

    async def _delete(self, request: Request) -> Response:
        file_id = request.path_params["file_id"]
        if not self._batches.delete_file(file_id):
            return _missing("File")
        return JSONResponse({"id": file_id, "object": "file", "deleted": True})


class BatchRoutes:
    """Batches of chat completions.

    Args:
        store: The log, and the script.
        batches: Batches and their files.
        seconds: How long a batch takes.
    """

    def __init__(self, store: Store, batches: BatchStore, seconds: float) -> None:
        self._store = store
        self._batches = batches
        self._work = BatchWork(store, batches)
        self._seconds = seconds

    def routes(self) -> list[Route]:
        """Return the routes."""
        one = f"{BATCHES}/{{batch_id}}"
        return [
            Route(BATCHES, self._create, methods=["POST"]),
            Route(BATCHES, self._list),
            Route(one, self._read),
            Route(f"{one}/cancel", self._cancel, methods=["POST"]),
        ]

    async def _create(self, request: Request) -> ASGIApp:
        body = orjson.loads(await request.body())
        found = self._batches.file(body.get("input_file_id") or "")
        if found is None or found[0]["purpose"] != "batch":
            return _refused("input_file_id: there is no such file with the purpose batch")
        if body.get("endpoint") != openai_wire.PATH or body.get("completion_window") != "24h":
            return _refused("endpoint and completion_window: only chat completions, and 24h")
        content = found[1]
        if (fault := _fault(self._store, BATCHES, content)) is not None:
            return fault
        items = [self._taken(line) for line in lines_of(content)]
        batch = self._batches.add(_new(body, len(items)), items, self._pause(items))
        if any(item.get("behaviour") == ANSWER_LOST for item in items):
            return Lost()
        return JSONResponse(batch)

    async def _list(self, request: Request) -> Response:
        self._work.get_on()
        limit = min(int(request.query_params.get("limit", 20)), _MOST_LISTED)
        found, has_more = self._batches.page(request.query_params.get("after"), limit)
        ends = {"first_id": found[0]["id"], "last_id": found[-1]["id"]} if found else {}
        return JSONResponse({"object": "list", "data": found, "has_more": has_more, **ends})

    async def _read(self, request: Request) -> ASGIApp:
        self._work.get_on()
        found = self._batches.batch(request.path_params["batch_id"])
        if found is None:
            return _missing("Batch")
        content = self._batches.input_of(found)
        return _fault(self._store, FAULTS_OF_READS, content) or JSONResponse(found)

    async def _cancel(self, request: Request) -> Response:
        self._work.get_on()
        found = self._batches.batch(request.path_params["batch_id"])
        if found is None:
            return _missing("Batch")
        if found["status"] not in UNDER_WAY:
            words = f"Cannot cancel a batch with status '{found['status']}'."
            return JSONResponse(openai_wire.error(409, words), 409)
        found |= {"status": "cancelling", "cancelling_at": int(time.time())}
        self._batches.save(found)
        return JSONResponse(found)

    def _taken(self, line: Json) -> Json:
        body = orjson.dumps(line["body"]).decode()
        return self._store.take(openai_wire.PATH, body) or {}

    def _pause(self, items: list[Json]) -> float:
        is_slow = any(item.get("behaviour") == SLOW for item in items)
        delays = (float(item.get("delay_seconds", 0)) for item in items)
        return self._seconds * (SLOWNESS if is_slow else 1) + max(delays, default=0)


def _new(body: Json, count: int) -> Json:
    now = int(time.time())
    moments = ("in_progress", "finalizing", "completed", "failed", "expired", "cancelling")
    return {
        "object": "batch",
        "endpoint": body["endpoint"],
        "errors": None,
        "input_file_id": body["input_file_id"],
        "completion_window": body["completion_window"],
        "status": "validating",
        "output_file_id": None,
        "error_file_id": None,
        "created_at": now,
        "expires_at": now + _DAY,
        **{f"{name}_at": None for name in (*moments, "cancelled")},
        "request_counts": {"total": count, "completed": 0, "failed": 0},
        "metadata": body.get("metadata"),
    }


def _fault(store: Store, path: str, content: str) -> ASGIApp | None:
    """Return what is ordered for a route in place of its answer."""
    taken = store.take(path, content)
    if taken is None:
        return None
    item = Item.model_validate(taken)
    if item.disconnect_after == 0:
        return Lost()
    if item.status is None:
        return None
    body = openai_wire.error(item.status, item.message or f"ordered: {item.status}", item.code)
    return JSONResponse(body, item.status, item.retry_headers())


def _refused(message: str) -> Response:
    return JSONResponse(openai_wire.error(400, message), 400)


def _missing(what: str) -> Response:
    return JSONResponse(openai_wire.error(404, f"No such {what} object"), 404)
