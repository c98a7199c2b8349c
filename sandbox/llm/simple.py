"""The routes that are no model calls: embeddings and the list of models."""

import asyncio
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.llm import anthropic_wire, embeddings, openai_wire
from sandbox.llm.conversation import BadRequestError
from sandbox.llm.script import Item
from sandbox.llm.store import Arrival, Store

_MODELS = "/v1/models"
_KNOWN = ("gpt-4.1", "gpt-4.1-mini", "claude-sonnet-4-5", "text-embedding-3-small")


class SimpleRoutes:
    """Answered in one piece; faults that are scripted for their path come first."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route(embeddings.PATH, self._embeddings, methods=["POST"]),
            Route(_MODELS, self._models),
            Route(f"{_MODELS}/{{model:path}}", self._model),
        ]

    async def _embeddings(self, request: Request) -> Response:
        try:
            body = orjson.loads(await request.body())
            answer = embeddings.answer(body)
        except (orjson.JSONDecodeError, BadRequestError) as problem:
            return JSONResponse(openai_wire.error(400, str(problem)), 400)
        taken = self._store.take(embeddings.PATH, orjson.dumps(body).decode())
        seq = self._store.log(
            Arrival(embeddings.PATH, body["model"], body, False, taken is not None)
        )
        refusal = await _refusal(taken)
        is_billed = refusal is None
        self._store.end(
            seq,
            status=200 if refusal is None else refusal.status_code,
            prompt_tokens=answer["usage"]["prompt_tokens"] if is_billed else 0,
            is_complete=True,
        )
        return refusal or JSONResponse(answer)

    async def _models(self, request: Request) -> Response:
        if (refusal := await self._ordered()) is not None:
            return refusal
        models = [_shown(model, request) for model in _KNOWN]
        if "anthropic-version" not in request.headers:
            return JSONResponse({"object": "list", "data": models})
        ends = {"first_id": _KNOWN[0], "last_id": _KNOWN[-1]}
        return JSONResponse({"data": models, "has_more": False, **ends})

    async def _model(self, request: Request) -> Response:
        refusal = await self._ordered()
        return refusal or JSONResponse(_shown(request.path_params["model"], request))

    async def _ordered(self) -> Response | None:
        return await _refusal(self._store.take(_MODELS, "{}"))


async def _refusal(taken: dict[str, Any] | None) -> Response | None:
    if taken is None:
        return None
    item = Item.model_validate(taken)
    await asyncio.sleep(item.delay_seconds)
    if item.status is None:
        return None
    body = openai_wire.error(item.status, item.message or f"ordered: {item.status}", item.code)
    return JSONResponse(body, item.status, item.retry_headers())


def _shown(model: str, request: Request) -> dict[str, Any]:
    if "anthropic-version" in request.headers:
        return anthropic_wire.model(model)
    return openai_wire.model(model)
