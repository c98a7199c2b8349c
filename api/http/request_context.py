"""Wraps every request: request id, request log, time limit, and an answer to any exception."""

import asyncio
import re
from time import monotonic
from uuid import uuid4

import structlog
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars, clear_contextvars, get_contextvars

from api.errors import from_application
from domain.card_numbers import has_card_number
from domain.errors import ApplicationError, InternalError, OutcomePendingError

log = structlog.get_logger(__name__)

REQUEST_ID = "X-Request-ID"
# Reason: a database that hangs neither answers nor closes its connections. The longest call of
# Temporal has a limit of 20 s of its own.
ANSWER_SECONDS = 25.0
_ACCEPTED = re.compile(r"[A-Za-z0-9._-]{1,100}")


class RequestContextMiddleware:
    """Gives each request an id in logs and response, and answers exceptions with a problem."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        sent_id = HTTPConnection(scope).headers.get(REQUEST_ID, "")
        is_accepted = _ACCEPTED.fullmatch(sent_id) and not has_card_number(sent_id)
        request_id = sent_id if is_accepted else uuid4().hex
        clear_contextvars()
        bind_contextvars(request_id=request_id)
        began, status = monotonic(), 0

        async def send_and_note(message: Message) -> None:
            nonlocal status
            status = _status(message) or status
            await send(message)

        serve = self._serve_http if scope["type"] == "http" else self._app
        try:
            await serve(scope, receive, send_and_note)
        finally:
            log.info(
                "request",
                method=scope.get("method", "WEBSOCKET"),
                route=_template(scope),
                status=status,
                duration_ms=round((monotonic() - began) * 1_000, 1),
            )

    async def _serve_http(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_started = False

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers[REQUEST_ID] = get_contextvars()["request_id"]
                headers["X-Content-Type-Options"] = "nosniff"
                if scope["path"].startswith("/api/"):
                    # Reason: responses are private, and some hold tokens, keys or tickets.
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        async def send_in_time(message: Message) -> None:
            nonlocal is_started
            if not is_started:
                is_started = True
                # Reason: `reschedule` raises once the time is over, and a response that comes all
                # the same must be sent.
                if not limit.expired():
                    limit.reschedule(None)  # a stream may last longer
            await send_with_headers(message)

        try:
            async with asyncio.timeout(ANSWER_SECONDS) as limit:
                await self._app(scope, receive, send_in_time)
        except Exception as error:  # any unexpected error is logged and answered
            log.exception("internal_error", method=scope["method"], route=_template(scope))
            if is_started:
                raise
            answer = from_application(_translate(error))
            await answer(scope, receive, send_with_headers)


def _status(message: Message) -> int | None:
    """Return the status in a message; for a WebSocket 101 at first, then its close code."""
    match message["type"]:
        case "http.response.start" | "websocket.http.response.start":
            return int(message["status"])
        case "websocket.accept":
            return 101
        case "websocket.close":
            return int(message.get("code", 1000))
        case _:
            return None


def _template(scope: Scope) -> str:
    """Return the path with names of parameters in place of their values, without the query."""
    if "path_params" not in scope:
        return "unknown"
    names = {str(value): f"{{{name}}}" for name, value in scope["path_params"].items()}
    return "/".join(names.get(part, part) for part in scope["path"].split("/"))


def _translate(error: Exception) -> ApplicationError:
    if isinstance(error, TimeoutError):
        return OutcomePendingError("the request takes too long; it may still take effect")
    return InternalError("something went wrong on our side")
