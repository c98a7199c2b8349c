"""The answer to a model call as a behaviour plans it, logged like any other."""

import asyncio
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import Scope, Send

from sandbox.llm import exchange
from sandbox.llm.conversation import Refusal
from sandbox.llm.exchange import Exchange, Setting
from sandbox.llm.speech import Plan
from sandbox.serving import TRANSPORT


class OddExchange(Exchange):
    """The answer to one model call, odd in some way.

    Args:
        setting: As of every exchange.
        verdict: What is answered.
    """

    def __init__(self, setting: Setting, verdict: Plan | Refusal) -> None:
        super().__init__(setting)
        self._verdict = verdict

    async def _answer(self, scope: Scope, send: Send) -> None:
        await asyncio.sleep(self._item.delay_seconds)
        if isinstance(self._verdict, Refusal):
            await self._refuse(self._verdict, scope, send)
        else:
            await self._play(self._verdict, scope, send)

    async def _refuse(self, refusal: Refusal, scope: Scope, send: Send) -> None:
        body: dict[str, Any]
        if refusal.is_flat:
            kind = "BadRequestError"
            body = {"object": "error", "message": refusal.message, "type": kind}
            body["code"] = refusal.status
        else:
            body = self._wire.error(refusal.status, refusal.message, None)
            if "param" in body["error"]:
                body["error"] |= {"param": refusal.param, "code": refusal.code}
        self._end(status=refusal.status, refusal=refusal.message, is_complete=True)
        await JSONResponse(body, refusal.status, self._headers())(scope, exchange.never, send)

    async def _play(self, plan: Plan, scope: Scope, send: Send) -> None:
        progress = self._progress
        if plan.prompt_tokens is not None:
            progress.prompt_tokens = plan.prompt_tokens
        self._store.note(progress.seq, status=200, prompt_tokens=progress.prompt_tokens)
        await exchange.start(send, {"content-type": plan.content_type, **self._headers()})
        for part in plan.parts:
            await asyncio.sleep(self._token_seconds * part.pause)
            progress.completion_tokens += part.tokens
            progress.piece_count += bool(part.shown)
            progress.piece_bytes += len(part.shown.encode())
            self._store.note(progress.seq, **progress.counts)
            if part.raw:
                await exchange.send_parts(send, [part.raw])
        self._end(finish_reason=plan.finish_reason, is_complete=not plan.is_cut)
        if plan.is_cut:
            scope[TRANSPORT].close()
        else:
            await exchange.send_parts(send, [], is_last=True)
