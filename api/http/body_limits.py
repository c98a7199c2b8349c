"""Limits the size of request bodies, and the time in which a body must arrive."""

import asyncio
from collections.abc import Mapping
from http import HTTPStatus

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import from_application
from api.http.raw_headers import header_of
from domain.errors import ApplicationError, BadRequestError

KIB = 1_024
MIB = 1_024 * KIB
BODY_BYTES = MIB
DOCUMENT_BYTES = 2 * MIB
WEBHOOK_BYTES = 512 * KIB
# Reason: a form has other fields and the borders between them, too.
FORM_BYTES = 64 * KIB
UPLOAD_BYTES = 10_000_000 + FORM_BYTES

# Time in which a whole body must arrive.
BODY_SECONDS = 15.0
# Time and bytes for draining an unread body before the response ends. Closing at once would reset
# the connection, and the client would lose the response.
LINGER_SECONDS = 5.0
LINGER_BYTES = 64 * MIB


class PayloadTooLargeError(ApplicationError):
    """The body is larger than this route reads; `details` carries `limit_bytes`."""

    code = "payload_too_large"
    http_status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class BodyTimeoutError(ApplicationError):
    """The body did not arrive in time."""

    code = "request_timeout"
    http_status = HTTPStatus.REQUEST_TIMEOUT


async def read_body(request: Request) -> bytes:
    """Return the whole body of a request; raises the errors of `receive_body`."""
    return await receive_body(request.receive)


async def receive_body(receive: Receive) -> bytes:
    """Return the whole body of a request.

    Raises:
        BodyTimeoutError: The body did not arrive in time.
        PayloadTooLargeError: The body is larger than the limit of its path.
        BadRequestError: The client disconnected, and will not receive this error.
    """
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await _joined(receive)
    except TimeoutError as error:
        raise BodyTimeoutError(f"the body did not arrive within {BODY_SECONDS:g} s") from error


async def _joined(receive: Receive) -> bytes:
    chunks = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BadRequestError("the client disconnected before the body had arrived")
        chunks.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(chunks)


class BodyLimitMiddleware:
    """Answers 413 to a body above its path's limit: by Content-Length, or while reading.

    Args:
        app: Next ASGI application.
        limits: Maximum bytes of a body by the prefix of the path.
        default: Maximum bytes of a body on all other paths.
    """

    def __init__(
        self, app: ASGIApp, limits: Mapping[str, int] | None = None, default: int = BODY_BYTES
    ) -> None:
        self._app = app
        self._limits = limits or {}
        self._default = default

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = _Body(scope, self._limit_of(scope["path"]), receive, send)
        if body.announced > body.limit:
            answer = from_application(body.document_too_large_error(), scope)
            await answer(scope, body.receive, body.send)
            return
        await self._app(scope, body.receive, body.send)

    def _limit_of(self, path: str) -> int:
        for start, limit in self._limits.items():
            if path.startswith(start):
                return limit
        return self._default


class _Body:
    """Body of one request: counts its bytes while it is read, and drains the rest at the end."""

    def __init__(self, scope: Scope, limit: int, receive: Receive, send: Send) -> None:
        length = header_of(scope, b"content-length")
        self.limit = limit
        self.announced = int(length) if length.isascii() and length.isdecimal() else 0
        self._is_whole = not self.announced and not header_of(scope, b"transfer-encoding")
        self._count = 0
        self._receive = receive
        self._send = send

    def document_too_large_error(self) -> PayloadTooLargeError:
        """Return the error that refuses the body."""
        message = f"the body is larger than {self.limit} bytes, the limit of this path"
        return PayloadTooLargeError(message, details={"limit_bytes": self.limit})

    async def receive(self) -> Message:
        """Receive a message, and check the bytes received so far against the limit."""
        message = await self._receive_counted()
        if self._count > self.limit:
            raise self.document_too_large_error()
        return message

    async def send(self, message: Message) -> None:
        """Send a message; before the last one, drain the rest of the body."""
        if self._is_whole:
            await self._send(message)
        elif message["type"] == "http.response.start":
            MutableHeaders(scope=message)["Connection"] = "close"
            await self._send(message)
        elif message["type"] == "http.response.body" and not message.get("more_body", False):
            await self._send({**message, "more_body": True})
            await self._drain()
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        else:
            await self._send(message)

    async def _receive_counted(self) -> Message:
        message = await self._receive()
        self._count += len(message.get("body", b""))
        is_last = message["type"] != "http.request" or not message.get("more_body", False)
        self._is_whole = self._is_whole or is_last
        return message

    async def _drain(self) -> None:
        try:
            async with asyncio.timeout(LINGER_SECONDS):
                while not self._is_whole and self._count < LINGER_BYTES:
                    await self._receive_counted()
        except TimeoutError:
            return
