"""Events: what happened, to read again."""

from typing import Any

import orjson

from sandbox.stripe import errors
from sandbox.stripe.params import PAGE, Boolean, Group, Many, Range, Text
from sandbox.stripe.routing import Route
from sandbox.stripe.session import Object, Session, listing

_LIST = Group(
    {
        **PAGE,
        "created": Range(),
        "delivery_success": Boolean(),
        "type": Text(),
        "types": Many(Text()),
    }
)
_KEPT_FOR = 30 * 86_400
_PENDING = "SELECT count(DISTINCT endpoint) AS n FROM deliveries WHERE event_id = ?"


def retrieve(session: Session, _params: dict[str, Any], event_id: str) -> Object:
    """GET /v1/events/{id}."""
    row = session.store.db.row("SELECT body FROM events WHERE id = ?", event_id)
    event: Object | None = orjson.loads(row["body"]) if row else None
    if event is None or event["object"] != "event" or event["created"] < _oldest(session):
        raise errors.missing("event", event_id)
    return _as_of_now(session, event)


def _oldest(session: Session) -> int:
    """Return since when events can be read."""
    return session.default_now - _KEPT_FOR


def list_all(session: Session, params: dict[str, Any]) -> Object:
    """GET /v1/events."""
    for cursor in ("starting_after", "ending_before"):
        if params.get(cursor):
            retrieve(session, {}, params[cursor])
    if params.get("type") and params.get("types"):
        raise errors.bad_parameter(
            "You may only specify one of these parameters: type, types.",
            code="parameters_exclusive",
            param="types",
        )
    bounds: dict[str, int] = params.get("created", {})
    types = [params["type"]] if params.get("type") else params.get("types", [])
    rows, has_more = session.store.events(
        types,
        bounds | {"gte": max(bounds.get("gte", 0), _oldest(session))},
        params,
        is_delivered=params.get("delivery_success"),
    )
    data = [_as_of_now(session, row) for row in rows]
    return listing("/v1/events", data, has_more=has_more)


def _as_of_now(session: Session, event: Object) -> Object:
    row = session.store.db.row(_PENDING, event["id"])
    return event | {"pending_webhooks": row["n"] if row else 0}


ROUTES = (
    Route("GET", "/v1/events", list_all, _LIST),
    Route("GET", "/v1/events/{id}", retrieve),
)
