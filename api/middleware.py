"""What happens around every request: an id that goes through all logs, and a last net."""

import asyncio
import re
from uuid import uuid4

import structlog
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars, clear_contextvars

from api.errors import InternalError, from_application
from domain.card_numbers import has_card_number
from domain.errors import ApplicationError, OutcomePendingError

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
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = HTTPConnection(scope).headers.get(REQUEST_ID, "")
        is_good = _ACCEPTED.fullmatch(given) and not has_card_number(given)
        request_id = given if is_good else uuid4().hex
        clear_contextvars()
        bind_contextvars(request_id=request_id)
        is_started = False

        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[REQUEST_ID] = request_id
            await send(message)

        async def send_in_time(message: Message) -> None:
            nonlocal is_started
            if not is_started:
                is_started = True
                limit.reschedule(None)  # streams may last
            await send_named(message)

        try:
            async with asyncio.timeout(ANSWER_SECONDS) as limit:
                await self._app(scope, receive, send_in_time)
        except Exception as error:  # the last net: what nobody foresaw is logged and answered
            log.exception("internal_error", method=scope["method"], path=scope["path"])
            if is_started:
                raise
            answer = from_application(_answer(error))
            await answer(scope, receive, send_named)


def _answer(error: Exception) -> ApplicationError:
    if isinstance(error, TimeoutError):
        return OutcomePendingError("this takes longer than it should")
    return InternalError("something went wrong on our side")
