"""How much of a request is read, and for how long, before anything of it is parsed."""

import asyncio
from collections.abc import Mapping
from http import HTTPStatus

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import from_application
from domain.errors import ApplicationError, BadRequestError

KIB = 1_024
MIB = 1_024 * KIB
BODY_BYTES = MIB
DOCUMENT_BYTES = 2 * MIB
WEBHOOK_BYTES = 512 * KIB

# How long a body may take to come.
BODY_SECONDS = 15.0
# How long, and how much of, a body that nobody reads is taken after the answer. Closing at once
# would reset the connection, and the client would lose the answer.
LINGER_SECONDS = 5.0
LINGER_BYTES = 64 * MIB


class PayloadTooLargeError(ApplicationError):
    """The body is larger than this route reads; `details` carries `limit_bytes`."""

    code = "payload_too_large"
    http_status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class BodyTimeoutError(ApplicationError):
    """The body did not come in time."""

    code = "request_timeout"
    http_status = HTTPStatus.REQUEST_TIMEOUT


async def read_body(request: Request) -> bytes:
    """Return the whole body.

    Args:
        request: Which.

    Returns:
        The raw bytes.

    Raises:
        BodyTimeoutError: It did not come in time.
        PayloadTooLargeError: It is larger than the limit of its path.
        BadRequestError: The client left; nobody reads this answer.
    """
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await request.body()
    except TimeoutError as error:
        raise BodyTimeoutError(f"no whole body came within {BODY_SECONDS:g} s") from error
    except ClientDisconnect as error:
        raise BadRequestError("the client left before its body had come") from error


class BodyLimitMiddleware:
    """Answers 413 to a body above its path's limit: from Content-Length, else while reading.

    Args:
        app: The next application.
        limits: Bytes at the most, by the beginning of the path.
        default: Bytes at the most for all other paths.
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
        body = _Body(Headers(scope=scope), self._limit_of(scope["path"]), receive, send)
        if body.announced > body.limit:
            answer = from_application(body.too_large())
            await answer(scope, body.receive, body.send)
            return
        await self._app(scope, body.receive, body.send)

    def _limit_of(self, path: str) -> int:
        for start, limit in self._limits.items():
            if path.startswith(start):
                return limit
        return self._default


class _Body:
    """One request's body: counted while it is read, and what is left of it taken at the end."""

    def __init__(self, headers: Headers, limit: int, receive: Receive, send: Send) -> None:
        length = headers.get("Content-Length", "")
        self.limit = limit
        self.announced = int(length) if length.isascii() and length.isdecimal() else 0
        self._is_whole = not self.announced and "Transfer-Encoding" not in headers
        self._count = 0
        self._receive = receive
        self._send = send

    def too_large(self) -> PayloadTooLargeError:
        """Return the refusal."""
        message = f"a body has {self.limit} bytes at the most here"
        return PayloadTooLargeError(message, details={"limit_bytes": self.limit})

    async def receive(self) -> Message:
        """Receive a message, and count its bytes."""
        message = await self._take()
        if self._count > self.limit:
            raise self.too_large()
        return message

    async def send(self, message: Message) -> None:
        """Send a message; before the last one, take what is left of the body."""
        if self._is_whole:
            await self._send(message)
        elif message["type"] == "http.response.start":
            MutableHeaders(scope=message)["Connection"] = "close"
            await self._send(message)
        elif message["type"] == "http.response.body" and not message.get("more_body", False):
            await self._send({**message, "more_body": True})
            await self._linger()
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        else:
            await self._send(message)

    async def _take(self) -> Message:
        message = await self._receive()
        self._count += len(message.get("body", b""))
        is_last = message["type"] != "http.request" or not message.get("more_body", False)
        self._is_whole = self._is_whole or is_last
        return message

    async def _linger(self) -> None:
        try:
            async with asyncio.timeout(LINGER_SECONDS):
                while not self._is_whole and self._count < LINGER_BYTES:
                    await self._take()
        except TimeoutError:
            return
