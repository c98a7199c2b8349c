"""The calls on subscriptions: reading them, and where the others are."""

from typing import Any

from sandbox.stripe import errors
from sandbox.stripe.objects.subscriptions import (
    subscription_ends,
    subscription_params,
    subscription_pauses,
    subscription_start,
    subscription_updates,
)
from sandbox.stripe.objects.subscriptions.subscription_status import ENDED
from sandbox.stripe.params import PAGE, Group
from sandbox.stripe.routing import Route
from sandbox.stripe.session import Object, Session, page_of, shown


def retrieve(session: Session, _params: dict[str, Any], subscription_id: str) -> Object:
    """GET /v1/subscriptions/{id}."""
    return shown(session.get("subscription", subscription_id))


def list_all(session: Session, params: dict[str, Any]) -> Object:
    """GET /v1/subscriptions."""
    names = ("collection_method", "customer")
    filters: dict[str, Any] = {name: params[name] for name in names if params.get(name)}
    if "customer" not in filters:
        filters["test_clock"] = params.get("test_clock")
    status = params.get("status")
    if status == "ended":
        filters["status"] = list(ENDED)
    elif status is None:
        filters["status"] = [name for name in subscription_params.STATUSES if name != "canceled"]
    elif status != "all":
        filters["status"] = status
    if params.get("price"):
        filters["items.data[0].price.id"] = params["price"]
    return page_of(session, "subscription", "/v1/subscriptions", params, filters)


def list_of_customer(session: Session, params: dict[str, Any], customer_id: str) -> Object:
    """GET /v1/customers/{id}/subscriptions."""
    session.get("customer", customer_id)
    running = [name for name in subscription_params.STATUSES if name != "canceled"]
    filters: dict[str, Any] = {"customer": customer_id, "status": running}
    url = f"/v1/customers/{customer_id}/subscriptions"
    return page_of(session, "subscription", url, params, filters)


def delete_discount(session: Session, _params: dict[str, Any], subscription_id: str) -> Object:
    """DELETE /v1/subscriptions/{id}/discount: all of them go, and the last one is answered."""
    subscription = session.get("subscription", subscription_id)
    if not subscription["discounts"]:
        raise errors.invalid_request("No active discount for subscription", param="id")
    last = session.get("discount", subscription["discounts"][-1])
    subscription_updates.change(session, subscription, {"discounts": None})
    return shown({**last, "deleted": True})


ROUTES = (
    Route("DELETE", "/v1/subscriptions/{id}/discount", delete_discount),
    Route("POST", "/v1/subscriptions", subscription_start.create, subscription_params.CREATE),
    Route("GET", "/v1/subscriptions", list_all, subscription_params.LIST),
    Route("GET", "/v1/subscriptions/{id}", retrieve),
    Route("GET", "/v1/customers/{id}/subscriptions", list_of_customer, Group(PAGE)),
    Route(
        "POST", "/v1/subscriptions/{id}", subscription_updates.update, subscription_params.UPDATE
    ),
    Route("DELETE", "/v1/subscriptions/{id}", subscription_ends.cancel, subscription_params.CANCEL),
    Route(
        "POST", "/v1/subscriptions/{id}/pause", subscription_pauses.pause, subscription_params.PAUSE
    ),
    Route(
        "POST",
        "/v1/subscriptions/{id}/resume",
        subscription_pauses.resume,
        subscription_params.RESUME,
    ),
)
