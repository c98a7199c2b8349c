"""The route of one provider's model calls."""

from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from sandbox.llm import anthropic_wire, behaviours, strict, tokens
from sandbox.llm.behaviours import Case
from sandbox.llm.conversation import BadRequestError, Refusal
from sandbox.llm.exchange import Exchange, Progress, Setting, Wire
from sandbox.llm.odd_exchange import OddExchange
from sandbox.llm.script import Item
from sandbox.llm.speech import Plan
from sandbox.llm.store import Arrival, Store

STRICT = "strict"
"""Switch by which every request is held against a strict server's rules."""


class Endpoint:
    """The route of one provider's model calls."""

    def __init__(self, wire: Wire, store: Store, token_seconds: float) -> None:
        self._wire = wire
        self._store = store
        self._token_seconds = token_seconds

    async def answer(self, request: Request) -> ASGIApp:
        """Read a request, take what is scripted for it, and begin to answer."""
        raw = await request.body()
        try:
            body = orjson.loads(raw)
        except orjson.JSONDecodeError as problem:
            return self._refused(f"the body is no JSON: {problem}")
        try:
            asked = self._wire.read(body)
        except BadRequestError as problem:
            return self._refused(str(problem))
        except (AttributeError, KeyError, TypeError) as problem:
            return self._refused(f"the request has not the right shape: {problem!r}")
        taken = self._store.take(self._wire.path, orjson.dumps(body).decode())
        seq = self._store.log(
            Arrival(self._wire.path, asked.model, body, asked.is_stream, taken is not None)
        )
        item = Item.model_validate(taken) if taken is not None else Item()
        progress = Progress(seq, tokens.prompt_tokens(asked))
        setting = Setting(self._wire, self._store, asked, item, progress, self._token_seconds)
        verdict = self._verdict(setting, body)
        return Exchange(setting) if verdict is None else OddExchange(setting, verdict)

    def _verdict(self, setting: Setting, body: dict[str, Any]) -> Plan | Refusal | None:
        """Return how a request is answered oddly; None if it is not."""
        if self._store.is_on(STRICT) and (words := strict.problem(body)):
            return Refusal(400, words)
        name = setting.item.behaviour
        if name is None:
            return None
        self._store.note(setting.progress.seq, behaviour=name)
        is_anthropic = self._wire.path == anthropic_wire.PATH
        asked, prompt_tokens = setting.asked, setting.progress.prompt_tokens
        case = Case(asked, body, is_anthropic, prompt_tokens, setting.item.window)
        return behaviours.find(name)(case)

    def _refused(self, message: str) -> Response:
        return JSONResponse(self._wire.error(400, message, None), 400)
