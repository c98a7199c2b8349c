"""Webhook endpoints: who else is told of events, beside the address of the command line."""

import secrets
from typing import Any
from urllib.parse import urlsplit

from sandbox.stripe import errors
from sandbox.stripe.event_types import EVENT_TYPES
from sandbox.stripe.params import PAGE, Boolean, Choice, Group, Many, Metadata, Param, Text
from sandbox.stripe.routing import Route
from sandbox.stripe.session import Object, Session, deleted, merged, new_id, page_of, shown
from sandbox.stripe.versions import KNOWN

_MAX_ENDPOINTS = 16
_BOTH: dict[str, Param] = {
    "description": Text(),
    "enabled_events": Many(Text()),
    "metadata": Metadata(),
    "url": Text(),
}
_CREATE = Group(
    {**_BOTH, "api_version": Choice(KNOWN), "connect": Boolean()},
    required=("enabled_events", "url"),
)
_UPDATE = Group({**_BOTH, "disabled": Boolean()})


def create(session: Session, params: dict[str, Any]) -> Object:
    """POST /v1/webhook_endpoints: the only answer that shows the secret."""
    _check(params)
    if len(session.find("webhook_endpoint")) >= _MAX_ENDPOINTS:
        raise errors.invalid_request(
            f"You have reached the maximum of {_MAX_ENDPOINTS} test webhook endpoints."
        )
    secret = f"whsec_{secrets.token_urlsafe(24)}"
    body: Object = {
        "id": new_id("we"),
        "object": "webhook_endpoint",
        "api_version": params.get("api_version"),
        "application": None,
        "created": session.now,
        "description": params.get("description"),
        "enabled_events": params["enabled_events"],
        "livemode": False,
        "metadata": merged({}, params.get("metadata")),
        "status": "enabled",
        "url": params["url"],
        "_secret": secret,
    }
    return shown(session.create(body)) | {"secret": secret}


def _check(params: dict[str, Any]) -> None:
    if "url" in params:
        parts = urlsplit(params["url"] or "")
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise errors.bad_parameter("Invalid URL", code="url_invalid", param="url")
    if "enabled_events" not in params:
        return
    if not params["enabled_events"]:
        raise errors.bad_parameter("Invalid array", param="enabled_events")
    for number, name in enumerate(params["enabled_events"]):
        if name != "*" and name not in EVENT_TYPES:
            path = f"enabled_events[{number}]"
            listed = ", ".join(["*", *sorted(EVENT_TYPES)])
            raise errors.bad_parameter(f"Invalid {path}: must be one of {listed}", param=path)


def retrieve(session: Session, _params: dict[str, Any], endpoint_id: str) -> Object:
    """GET /v1/webhook_endpoints/{id}."""
    return shown(session.get("webhook_endpoint", endpoint_id))


def update(session: Session, params: dict[str, Any], endpoint_id: str) -> Object:
    """POST /v1/webhook_endpoints/{id}."""
    endpoint = session.get("webhook_endpoint", endpoint_id)
    _check(params)
    names = ("description", "enabled_events", "url")
    changes: dict[str, Any] = {name: params[name] for name in names if name in params}
    if "disabled" in params:
        changes["status"] = "disabled" if params["disabled"] else "enabled"
    if "metadata" in params:
        changes["metadata"] = merged(endpoint["metadata"], params["metadata"])
    if params.get("disabled"):
        _forget(session, endpoint_id)
    return shown(session.change(endpoint, changes, is_announced=False))


def delete(session: Session, _params: dict[str, Any], endpoint_id: str) -> Object:
    """DELETE /v1/webhook_endpoints/{id}."""
    endpoint = session.get("webhook_endpoint", endpoint_id)
    _forget(session, endpoint_id)
    session.store.delete(endpoint_id)
    return deleted(endpoint)


def _forget(session: Session, endpoint_id: str) -> None:
    """Give up what an endpoint has not taken yet."""
    session.store.db.run("DELETE FROM deliveries WHERE endpoint = ?", endpoint_id)


def list_all(session: Session, params: dict[str, Any]) -> Object:
    """GET /v1/webhook_endpoints."""
    return page_of(session, "webhook_endpoint", "/v1/webhook_endpoints", params, {})


ROUTES = (
    Route("POST", "/v1/webhook_endpoints", create, _CREATE),
    Route("GET", "/v1/webhook_endpoints", list_all, Group(PAGE)),
    Route("GET", "/v1/webhook_endpoints/{id}", retrieve),
    Route("POST", "/v1/webhook_endpoints/{id}", update, _UPDATE),
    Route("DELETE", "/v1/webhook_endpoints/{id}", delete),
)
