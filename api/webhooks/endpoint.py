"""Serves the route of Stripe's webhooks as plain ASGI, in front of FastAPI's routing.

Routing through all routes, dependencies and serialization cost three times as much as to verify
and to store an event. FastAPI's own route of this path (`api/routes/webhooks.py`) documents it, and
answers the same on whatever this one passes on.
"""

from dataclasses import dataclass

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from api.errors import answer_to
from api.http.body_limits import receive_body
from api.http.raw_headers import header_of
from api.webhooks.receipt import receive_event

_RECEIVED = b'{"received":true}'
_HEADERS = (
    (b"content-length", str(len(_RECEIVED)).encode()),
    (b"content-type", b"application/json"),
)


@dataclass(frozen=True)
class _Route:
    """What `handled_request` reads of a route."""

    path_format: str


class WebhookEndpoint:
    """Answers POST on one path, and passes all other requests on.

    Args:
        app: Next ASGI application.
        path: Path of the route.
    """

    def __init__(self, app: ASGIApp, path: str) -> None:
        self._app = app
        self._path = path
        self._route = _Route(path)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        is_ours = scope["type"] == "http" and scope["path"] == self._path
        if not is_ours or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        scope["route"] = self._route
        await _serve(scope, receive, send)


async def _serve(scope: Scope, receive: Receive, send: Send) -> None:
    try:
        body = await receive_body(receive)
        await receive_event(scope["app"].state, body, header_of(scope, b"stripe-signature"))
    except Exception as error:  # noqa: BLE001 - raised again if nobody expects it
        answer = await answer_to(Request(scope, receive), error)
        await answer(scope, receive, send)
        return
    await send({"type": "http.response.start", "status": 200, "headers": [*_HEADERS]})
    await send({"type": "http.response.body", "body": _RECEIVED})
