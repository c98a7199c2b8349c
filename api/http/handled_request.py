"""Facts about a request that was handled: caller, route template, status and the resource's id.

For middlewares that are added in `api/http/middleware.py`, and for the log line of each request.
"""

from dataclasses import dataclass
from uuid import UUID

from starlette.types import Scope

from api.deps import Caller

MUTATING_METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})
NO_ROUTE = "unknown"
# Name of a parameter in a path that is a credential, which nothing may log.
SECRET_PARAMETER = "token"  # noqa: S105 - a name


@dataclass(frozen=True)
class HandledRequest:
    """A request that was answered.

    Args:
        method: Method of the request; WEBSOCKET for a socket.
        route: Path of the route, with names of parameters in place of their values.
        status: Status of the answer.
        caller: Authenticated caller; None if there is none, or if nothing needed one.
        resource_id: Last parameter in the path, or else the id of what the request has created, or
            has changed by a credential in its path.
    """

    method: str
    route: str
    status: int
    caller: Caller | None
    resource_id: str | None

    @property
    def is_mutating(self) -> bool:
        """Whether the request may have changed something."""
        return self.method in MUTATING_METHODS


def handled_request(scope: Scope, status: int) -> HandledRequest:
    """Gather the facts about a request from its scope, once it was answered."""
    state = scope.get("state", {})
    given = scope.get("path_params", {})
    parameters = [str(value) for name, value in given.items() if name != SECRET_PARAMETER]
    return HandledRequest(
        method=scope.get("method", "WEBSOCKET"),
        route=route_template(scope),
        status=status,
        caller=state.get("caller"),
        resource_id=parameters[-1] if parameters else state.get("created_id"),
    )


def note_created(scope: Scope, resource_id: UUID, *, has_key: bool = True) -> None:
    """Note the id of the resource that a request creates, and whether it has an idempotency key."""
    scope.setdefault("state", {}).update(created_id=str(resource_id), has_key=has_key)


def is_repeatable(scope: Scope) -> bool:
    """Return whether a repeat of a request continues its work, and does not do it once more."""
    return bool(scope.get("state", {}).get("has_key", True))


def route_template(scope: Scope) -> str:
    """Return the path with names of parameters in place of their values, without the query."""
    # Reason: the template of an included route lacks the prefix, which the path begins with.
    template: str | None = getattr(scope.get("route"), "path_format", None)
    if template is None:
        return NO_ROUTE
    prefix = scope["path"].split("/")[: -template.count("/")]
    return "/".join(prefix) + template
