"""Routes of the API: method and path pattern to a handler and the parameters that it takes."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from sandbox.stripe.params import Group, Many, Text

Handler = Callable[..., dict[str, Any]]


@dataclass(frozen=True)
class Route:
    """One call: `handler(session, params, *ids)` answers the object; the ids are the path's."""

    method: str
    pattern: str
    handler: Handler
    params: Group = field(default_factory=lambda: Group({}))


class Router:
    """Finds the route of a request."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes: dict[tuple[str, int], list[tuple[list[str], Route]]] = {}
        for route in routes:
            parts = route.pattern.split("/")
            entry = (parts, replace(route, params=_with_expand(route.params)))
            self._routes.setdefault((route.method, len(parts)), []).append(entry)

    def find(self, method: str, path: str) -> tuple[Route, list[str]] | None:
        """Return the route of `path` and the ids in it; literal parts win over ids."""
        given = path.rstrip("/").split("/")
        best: tuple[Route, list[str]] | None = None
        for parts, route in self._routes.get((method, len(given)), []):
            pairs = list(zip(parts, given, strict=True))
            if all(want in ("{id}", got) for want, got in pairs):
                ids = [got for want, got in pairs if want == "{id}"]
                if best is None or len(ids) < len(best[1]):
                    best = (route, ids)
        return best


def _with_expand(group: Group) -> Group:
    return Group({**group.fields, "expand": Many(Text())}, group.required)
