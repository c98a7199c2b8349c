"""Answers HEAD on every path that has GET, and lists the methods of a path for `Allow`."""

from starlette.requests import Request
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_METHODS = ("DELETE", "GET", "PATCH", "POST", "PUT")


class HeadMiddleware:
    """Answers HEAD like GET, without the body (RFC 9110 §9.3.2)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        is_sent = False

        async def send_head(message: Message) -> None:
            nonlocal is_sent
            if message["type"] == "http.response.start":
                await send(message)
            elif not is_sent:
                # Reason: this ends the response, so a stream behind it stops too.
                is_sent = True
                await send({"type": "http.response.body", "body": b"", "more_body": False})

        await self._app({**scope, "method": "GET"}, receive, send_head)


def allowed_methods(request: Request) -> set[str]:
    """Return the methods that the path of a request supports."""
    scope = {name: request.scope.get(name, "") for name in ("type", "path", "root_path")}
    allowed = {
        method
        for method in _METHODS
        for route in request.app.router.routes
        if route.matches({**scope, "method": method})[0] is Match.FULL
    }
    return allowed | {"HEAD"} if "GET" in allowed else allowed
