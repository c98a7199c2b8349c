"""Billing meters: what is counted, and how it adds up."""

from typing import Any

from sandbox.stripe import errors
from sandbox.stripe.params import PAGE, Choice, Group, Text
from sandbox.stripe.routing import Route
from sandbox.stripe.session import Object, Session, new_id, page_of, shown

KIND = "billing.meter"
_URL = "/v1/billing/meters"
_KEY = Group({"event_payload_key": Text(100)}, ("event_payload_key",))
_CREATE = Group(
    {
        "customer_mapping": Group(
            {"event_payload_key": Text(100), "type": Choice(("by_id",))},
            required=("event_payload_key", "type"),
        ),
        "default_aggregation": Group({"formula": Choice(("count", "last", "sum"))}, ("formula",)),
        "display_name": Text(250),
        "event_name": Text(100),
        "event_time_window": Choice(("day", "hour")),
        "value_settings": _KEY,
    },
    required=("default_aggregation", "display_name", "event_name"),
)


def active(session: Session, event_name: str) -> Object | None:
    """Return the meter that counts events of a name."""
    found = session.find(KIND, event_name=event_name, status="active")
    return found[0] if found else None


def create(session: Session, params: dict[str, Any]) -> Object:
    """POST /v1/billing/meters."""
    _check_free(session, params["event_name"])
    mapping = params.get("customer_mapping", {"event_payload_key": "stripe_customer_id"})
    body: Object = {
        "id": new_id("mtr"),
        "object": KIND,
        "created": session.now,
        "customer_mapping": {"type": "by_id", **mapping},
        "default_aggregation": params["default_aggregation"],
        "display_name": params["display_name"],
        "event_name": params["event_name"],
        "event_time_window": params.get("event_time_window"),
        "livemode": False,
        "status": "active",
        "status_transitions": {"deactivated_at": None},
        "updated": session.now,
        "value_settings": params.get("value_settings", {"event_payload_key": "value"}),
    }
    return shown(session.create(body, event=f"{KIND}.created"))


def _check_free(session: Session, event_name: str) -> None:
    if active(session, event_name):
        raise errors.invalid_request(
            f"An active meter with the event name {event_name} already exists.",
            param="event_name",
        )


def retrieve(session: Session, _params: dict[str, Any], meter_id: str) -> Object:
    """GET /v1/billing/meters/{id}."""
    return shown(session.get(KIND, meter_id))


def update(session: Session, params: dict[str, Any], meter_id: str) -> Object:
    """POST /v1/billing/meters/{id}."""
    meter = session.get(KIND, meter_id)
    changes = {"display_name": params["display_name"]} if params.get("display_name") else {}
    return shown(session.change(meter, {**changes, "updated": session.now}))


def deactivate(session: Session, _params: dict[str, Any], meter_id: str) -> Object:
    """POST /v1/billing/meters/{id}/deactivate."""
    return _switch(session, meter_id, "inactive", "deactivated")


def reactivate(session: Session, _params: dict[str, Any], meter_id: str) -> Object:
    """POST /v1/billing/meters/{id}/reactivate."""
    meter = session.get(KIND, meter_id)
    if meter["status"] == "inactive":
        _check_free(session, meter["event_name"])
    return _switch(session, meter_id, "active", "reactivated")


def _switch(session: Session, meter_id: str, status: str, told: str) -> Object:
    meter = session.get(KIND, meter_id)
    if meter["status"] == status:
        raise errors.invalid_request(f"The meter is {status} already.")
    moment = session.now if status == "inactive" else None
    changes = {"status": status, "status_transitions": {"deactivated_at": moment}}
    session.change(meter, {**changes, "updated": session.now}, is_announced=False)
    session.emit(f"{KIND}.{told}", meter)
    return shown(meter)


def list_all(session: Session, params: dict[str, Any]) -> Object:
    """GET /v1/billing/meters."""
    filters = {"status": params["status"]} if params.get("status") else {}
    return page_of(session, KIND, _URL, params, filters)


ROUTES = (
    Route("POST", _URL, create, _CREATE),
    Route("GET", _URL, list_all, Group({**PAGE, "status": Choice(("active", "inactive"))})),
    Route("GET", f"{_URL}/{{id}}", retrieve),
    Route("POST", f"{_URL}/{{id}}", update, Group({"display_name": Text(250)})),
    Route("POST", f"{_URL}/{{id}}/deactivate", deactivate),
    Route("POST", f"{_URL}/{{id}}/reactivate", reactivate),
)
