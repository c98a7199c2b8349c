"""What happens around every request: an id that goes through all logs, and a last net."""

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
# Reason: a database that hangs answers no query and breaks no connection. A call of Temporal that
# may take long has 20 s of its own.
ANSWER_SECONDS = 25.0
_ACCEPTED = re.compile(r"[A-Za-z0-9._-]{1,100}")


class RequestContextMiddleware:
    """Names each request, in the logs and in the answer, and never lets a bare 500 out."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        given = HTTPConnection(scope).headers.get(REQUEST_ID, "")
        is_good = _ACCEPTED.fullmatch(given) and not has_card_number(given)
        request_id = given if is_good else uuid4().hex
        clear_contextvars()
        bind_contextvars(request_id=request_id)
        began, status = monotonic(), 0

        async def send_noted(message: Message) -> None:
            nonlocal status
            status = _status(message) or status
            await send(message)

        serve = self._serve_http if scope["type"] == "http" else self._app
        try:
            await serve(scope, receive, send_noted)
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

        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers[REQUEST_ID] = get_contextvars()["request_id"]
                headers["X-Content-Type-Options"] = "nosniff"
                if scope["path"].startswith("/api/"):
                    # Reason: it is somebody's own, and some of it is tokens, keys and tickets.
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        async def send_in_time(message: Message) -> None:
            nonlocal is_started
            if not is_started:
                is_started = True
                # Reason: once the time is over the limit refuses to be moved, and an answer that
                # comes all the same is to be given.
                if not limit.expired():
                    limit.reschedule(None)  # streams may last
            await send_named(message)

        try:
            async with asyncio.timeout(ANSWER_SECONDS) as limit:
                await self._app(scope, receive, send_in_time)
        except Exception as error:  # the last net: what nobody foresaw is logged and answered
            log.exception("internal_error", method=scope["method"], route=_template(scope))
            if is_started:
                raise
            answer = from_application(_answer(error))
            await answer(scope, receive, send_named)


def _status(message: Message) -> int | None:
    """Return the status that a message gives; of a WebSocket 101, and later its closing code."""
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
    """Return the path with the names of its parameters, not their values; never the query."""
    if "path_params" not in scope:
        return "unknown"
    names = {str(value): f"{{{name}}}" for name, value in scope["path_params"].items()}
    return "/".join(names.get(part, part) for part in scope["path"].split("/"))


def _answer(error: Exception) -> ApplicationError:
    if isinstance(error, TimeoutError):
        return OutcomePendingError("this takes longer than it should")
    return InternalError("something went wrong on our side")
