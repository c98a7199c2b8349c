"""What all controls under `/_sandbox/` have in common."""

from collections.abc import Callable, Iterable
from typing import Any

import orjson
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.stripe.errors import ApiError

Control = tuple[str, str, Callable[[Request], Any]]
"""Method, path below `/_sandbox/`, and handler."""


def answered(body: Any, status: int = 200) -> Response:
    """Return JSON."""
    return Response(orjson.dumps(body), status, media_type="application/json")


def control_routes(table: Iterable[Control]) -> list[Route]:
    """Return the routes of controls; what they cannot do is answered as an error."""
    return [
        Route(f"/_sandbox/{path}", _checked(handler), methods=[method])
        for method, path, handler in table
    ]


def _checked(handler: Callable[[Request], Any]) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        try:
            answer: Response = await handler(request)
        except ValidationError as error:
            return answered(
                {"error": {"message": str(error), "type": "invalid_request_error"}}, 400
            )
        except ApiError as error:
            return answered({"error": error.error}, error.status)
        return answer

    return endpoint
