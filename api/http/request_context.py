"""Wraps every request: request id, request log, time limit, and an answer to any exception."""

import asyncio
import re
from secrets import token_hex
from time import monotonic

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars, clear_contextvars

from api.errors import from_application
from api.http.handled_request import handled_request, route_template
from api.http.locations import ids_in
from api.http.raw_headers import header_of
from domain.card_numbers import has_card_number
from domain.errors import ApplicationError, InternalError, OutcomePendingError

log = structlog.get_logger(__name__)

REQUEST_ID = "X-Request-ID"
# Reason: a database that hangs neither answers nor closes its connections. The longest call of
# Temporal has a limit of 20 s of its own.
ANSWER_SECONDS = 25.0
_REQUEST_ID = REQUEST_ID.lower().encode()
_NO_SNIFFING = (b"x-content-type-options", b"nosniff")
_CACHE_CONTROL = b"cache-control"
_ACCEPTED = re.compile(r"[A-Za-z0-9._-]{1,100}")


class RequestContextMiddleware:
    """Gives each request an id in logs and response, and writes one log line for it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        sent_id = header_of(scope, _REQUEST_ID)
        is_accepted = _ACCEPTED.fullmatch(sent_id) and not has_card_number(sent_id)
        request_id = sent_id if is_accepted else token_hex(16)
        clear_contextvars()
        bind_contextvars(request_id=request_id)
        began, status = monotonic(), 0

        async def send_and_note(message: Message) -> None:
            nonlocal status
            status = _status(message) or status
            if message["type"] == "http.response.start":
                _add_headers(scope, message, request_id)
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        finally:
            handled = handled_request(scope, status)
            log.info(
                "request",
                method=handled.method,
                route=handled.route,
                status=status,
                duration_ms=round((monotonic() - began) * 1_000, 1),
            )


class AnswerMiddleware:
    """Answers a request that takes too long, or that raises an unexpected error."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_started = False

        async def send_in_time(message: Message) -> None:
            nonlocal is_started
            if not is_started:
                is_started = True
                # Reason: `reschedule` raises once the time is over, and a response that comes all
                # the same must be sent.
                if not limit.expired():
                    limit.reschedule(None)  # a stream may last longer
            await send(message)

        try:
            async with asyncio.timeout(ANSWER_SECONDS) as limit:
                await self._app(scope, receive, send_in_time)
        except Exception as error:  # any unexpected error is logged and answered
            log.exception("internal_error", method=scope["method"], route=route_template(scope))
            if is_started:
                raise
            answer = from_application(_translate(error, scope), scope)
            await answer(scope, receive, send)


def _add_headers(scope: Scope, message: Message, request_id: str) -> None:
    # Reason: our routes never set the first two; a search for them costs more than all of this.
    headers = [*message["headers"], (_REQUEST_ID, request_id.encode()), _NO_SNIFFING]
    if scope["path"].startswith("/api/") and not any(
        name == _CACHE_CONTROL for name, _ in message["headers"]
    ):
        # Reason: responses are private, and some hold tokens, keys or tickets.
        headers.append((_CACHE_CONTROL, b"no-store"))
    message["headers"] = headers


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


def _translate(error: Exception, scope: Scope) -> ApplicationError:
    if isinstance(error, TimeoutError):
        message = "the request takes too long; it may still take effect"
        return OutcomePendingError(message, details=ids_in(scope))
    return InternalError("something went wrong on our side")
