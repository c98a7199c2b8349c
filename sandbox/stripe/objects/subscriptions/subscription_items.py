"""The calls on subscription items: each is an update of the subscription by way of one item."""

from typing import Any

from sandbox.stripe import errors
from sandbox.stripe.objects.subscriptions import subscription_params, subscription_updates
from sandbox.stripe.routing import Route
from sandbox.stripe.session import Object, Session, deleted, part_of

_TERMS = ("off_session", "payment_behavior", "proration_behavior", "proration_date")


def _find(session: Session, item_id: str) -> tuple[Object, Object]:
    """Return an item's subscription and the item."""
    place = session.get("subscription_item", item_id)
    subscription = session.get("subscription", place["subscription"])
    for item in subscription["items"]["data"]:
        if item["id"] == item_id:
            return subscription, item
    raise errors.missing("subscription_item", item_id)


def _change(
    session: Session, subscription: Object, params: dict[str, Any], entry: dict[str, Any]
) -> Object:
    terms = {name: params[name] for name in _TERMS if name in params}
    return subscription_updates.change(session, subscription, {**terms, "items": [entry]})


def _entry(params: dict[str, Any]) -> dict[str, Any]:
    return {name: params[name] for name in subscription_params.NEW_ITEM if name in params}


def create(session: Session, params: dict[str, Any]) -> Object:
    """POST /v1/subscription_items."""
    subscription = session.get("subscription", params["subscription"], param="subscription")
    changed = _change(session, subscription, params, _entry(params))
    waiting = (changed["pending_update"] or {}).get("subscription_items")
    item: Object = (waiting or changed["items"]["data"])[-1]
    return item


def retrieve(session: Session, _params: dict[str, Any], item_id: str) -> Object:
    """GET /v1/subscription_items/{id}."""
    return _find(session, item_id)[1]


def update(session: Session, params: dict[str, Any], item_id: str) -> Object:
    """POST /v1/subscription_items/{id}."""
    subscription, _ = _find(session, item_id)
    _change(session, subscription, params, {"id": item_id, **_entry(params)})
    return _find(session, item_id)[1]


def delete(session: Session, params: dict[str, Any], item_id: str) -> Object:
    """DELETE /v1/subscription_items/{id}."""
    subscription, _ = _find(session, item_id)
    _change(session, subscription, params, {"id": item_id, "deleted": True})
    return deleted({"id": item_id, "object": "subscription_item"})


def list_all(session: Session, params: dict[str, Any]) -> Object:
    """GET /v1/subscription_items."""
    subscription = session.get("subscription", params["subscription"], param="subscription")
    return part_of(subscription["items"], "subscription_item", params)


ROUTES = (
    Route("POST", "/v1/subscription_items", create, subscription_params.ITEM_CREATE),
    Route("GET", "/v1/subscription_items", list_all, subscription_params.ITEM_LIST),
    Route("GET", "/v1/subscription_items/{id}", retrieve),
    Route("POST", "/v1/subscription_items/{id}", update, subscription_params.ITEM_UPDATE),
    Route("DELETE", "/v1/subscription_items/{id}", delete, subscription_params.ITEM_DELETE),
)
