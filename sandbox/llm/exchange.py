"""One model call: delayed, streamed, cut or finished as ordered, and logged all the while."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from sandbox.llm import rules, tokens
from sandbox.llm.conversation import Asked, Step, Usage
from sandbox.llm.script import Item
from sandbox.llm.store import Store
from sandbox.serving import TRANSPORT

"""Scope entry by which a fault cuts the connection."""


class Writer(Protocol):
    """Writes an answer in one provider's words."""

    request_id_header: str

    def opening(self, usage: Usage) -> list[bytes]:
        """Return what a stream begins with."""
        ...

    def step(self, step: Step) -> list[bytes]:
        """Return one token."""
        ...

    def closing(self, finish_reason: str | None, usage: Usage) -> list[bytes]:
        """Return what a stream ends with; without a finish reason it just ends."""
        ...

    def whole(self, steps: list[Step], finish_reason: str | None, usage: Usage) -> dict[str, Any]:
        """Return the answer in one piece."""
        ...


@dataclass(frozen=True)
class Wire:
    """How one provider is spoken to."""

    path: str
    read: Callable[[dict[str, Any]], Asked]
    writer: Callable[[int, Asked], Writer]
    error: Callable[[int, str, str | None], dict[str, Any]]


@dataclass
class Progress:
    """How far a call has come."""

    seq: int
    prompt_tokens: int
    completion_tokens: int = 0
    piece_count: int = 0
    piece_bytes: int = 0
    token_wall_times: list[float] = field(default_factory=list)

    @property
    def usage(self) -> Usage:
        """What it has cost so far."""
        return Usage(self.prompt_tokens, self.completion_tokens)

    @property
    def counts(self) -> dict[str, int]:
        """What the log shows of it: what is billed, and what was streamed."""
        names = ("completion_tokens", "piece_count", "piece_bytes")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Setting:
    """What an exchange needs to know.

    Args:
        wire: How the provider is spoken to.
        store: Where the call is logged.
        asked: The request.
        item: What is scripted for it.
        progress: How far it has come.
        token_seconds: How long a token takes.
    """

    wire: Wire
    store: Store
    asked: Asked
    item: Item
    progress: Progress
    token_seconds: float


class Exchange:
    """The answer to one model call."""

    def __init__(self, setting: Setting) -> None:
        self._wire = setting.wire
        self._store = setting.store
        self._asked = setting.asked
        self._item = setting.item
        self._progress = setting.progress
        self._writer = setting.wire.writer(setting.progress.seq, setting.asked)
        scripted = setting.item.token_seconds
        self._token_seconds = setting.token_seconds if scripted is None else scripted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer until all is said, or the client has gone."""
        answering = asyncio.create_task(self._answer(scope, send))
        leaving = asyncio.create_task(_gone(receive))
        try:
            await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                self._end(is_client_gone=True)
            else:
                answering.result()
        finally:
            for task in (answering, leaving):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    async def _answer(self, scope: Scope, send: Send) -> None:
        item = self._item
        await asyncio.sleep(item.delay_seconds)
        if item.disconnect_after == 0:
            self._end()
            scope[TRANSPORT].close()
        elif item.status is not None:
            await self._fail(scope, send, item.status)
        else:
            spent = self._progress.prompt_tokens
            self._store.note(self._progress.seq, status=200, prompt_tokens=spent)
            await self._say(scope, send)

    async def _fail(self, scope: Scope, send: Send, status: int) -> None:
        item = self._item
        body = self._wire.error(status, item.message or f"ordered: {status}", item.code)
        self._end(status=status, is_complete=True)
        reply = JSONResponse(body, status, self._headers() | item.retry_headers())
        await reply(scope, never, send)

    async def _say(self, scope: Scope, send: Send) -> None:
        answer = self._item.answer() or rules.answer(self._asked)
        steps = tokens.steps(answer.text, answer.calls)
        kept = steps[: self._asked.max_tokens]
        reason = self._item.finish_reason or ("tool_calls" if answer.calls else "stop")
        reason = "length" if len(kept) < len(steps) else reason
        shown_reason = None if self._item.no_finish_reason else reason
        if self._asked.is_stream:
            await start(send, {"content-type": "text/event-stream", **self._headers()})
            await send_parts(send, self._writer.opening(self._progress.usage))
        for step in kept:
            if not await self._token(step, send):
                self._end()
                scope[TRANSPORT].close()
                return
        self._end(finish_reason=shown_reason, is_complete=True)
        if self._asked.is_stream:
            ending = self._writer.closing(shown_reason, self._progress.usage)
            await send_parts(send, ending, is_last=True)
        else:
            body = self._writer.whole(kept, shown_reason, self._progress.usage)
            await JSONResponse(body, headers=self._headers())(scope, never, send)

    async def _token(self, step: Step, send: Send) -> bool:
        """Write one token; False once the connection is to be cut."""
        progress, item = self._progress, self._item
        await asyncio.sleep(self._token_seconds)
        progress.completion_tokens += 1
        if self._asked.is_stream:
            shown = step.head.name if step.head else step.piece
            progress.piece_count += 1
            progress.piece_bytes += len(shown.encode())
        self._store.note(progress.seq, **progress.counts)
        if item.timed:
            progress.token_wall_times.append(time.time())
        if self._asked.is_stream:
            await send_parts(send, self._writer.step(step))
        return progress.completion_tokens != item.disconnect_after

    def _headers(self) -> dict[str, str]:
        return {self._writer.request_id_header: f"req_{self._progress.seq:08d}"}

    def _end(self, **facts: Any) -> None:
        # Reason: written before the last bytes go out, so that whoever has them finds it here.
        if self._item.timed:
            facts["token_wall_times"] = orjson.dumps(self._progress.token_wall_times).decode()
        self._store.end(self._progress.seq, **facts)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def never() -> Any:
    """Receive nothing: the body was read already."""
    await asyncio.Event().wait()


async def start(send: Send, headers: dict[str, str]) -> None:
    """Begin a response of any length."""
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": 200, "headers": encoded})


async def send_parts(send: Send, parts: list[bytes], *, is_last: bool = False) -> None:
    """Write to the connection."""
    body = b"".join(parts)
    await send({"type": "http.response.body", "body": body, "more_body": not is_last})
