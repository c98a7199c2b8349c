"""Meter events: reported, taken back, and summed up."""

import re
from decimal import Decimal
from typing import Any

from sandbox.stripe import errors
from sandbox.stripe.objects.meters import late_usage, meter_usage, meters
from sandbox.stripe.objects.system import thin_events
from sandbox.stripe.params import PAGE, Choice, Group, Integer, Metadata, Text
from sandbox.stripe.routing import Route
from sandbox.stripe.session import Object, Session, listing, new_id, shown

DAY = 86_400
_OLDEST, _AHEAD = 35 * DAY, 300
_WINDOWS = {"day": DAY, "hour": 3_600}
_VALUE = re.compile(r"-?\d{1,15}(\.\d{1,12})?")
_CREATE = Group(
    {
        "event_name": Text(100),
        "identifier": Text(100),
        "payload": Metadata(is_limited=False),
        "timestamp": Integer(),
    },
    required=("event_name", "payload"),
)
_ADJUST = Group(
    {
        "cancel": Group({"identifier": Text(100)}, ("identifier",)),
        "event_name": Text(100),
        "type": Choice(("cancel",)),
    },
    required=("cancel", "event_name", "type"),
)
_SUMMARIES = Group(
    {
        **PAGE,
        "customer": Text(),
        "end_time": Integer(),
        "start_time": Integer(),
        "value_grouping_window": Choice(("day", "hour")),
    },
    required=("customer", "end_time", "start_time"),
)


def create(session: Session, params: dict[str, Any]) -> Object:
    """POST /v1/billing/meter_events: what cannot be counted is taken, and told of afterwards."""
    meter = meters.active(session, params["event_name"])
    if meter is None:
        raise errors.invalid_request(
            f'No active meter found for event name "{params["event_name"]}".', param="event_name"
        )
    payload = params["payload"] or {}
    customer_id, value, problem = _reading(session, meter, payload)
    timestamp = params.get("timestamp", session.now)
    # Reason: whose clock an event goes by is known by its customer alone.
    if customer_id:
        _check_time(session, timestamp)
    identifier = params.get("identifier") or new_id("event")
    _check_new(session, identifier)
    body: Object = {
        "id": new_id("mtrevt"),
        "object": meter_usage.EVENT,
        "created": session.now,
        "event_name": params["event_name"],
        "identifier": identifier,
        "livemode": False,
        "payload": payload,
        "timestamp": timestamp,
        "_customer": customer_id,
        "_error": problem,
        "_is_canceled": False,
        "_taken_at": session.default_now,
        "_value": value,
    }
    if problem:
        body["_event_id"] = thin_events.report_meter_error(session, meter, identifier, problem)
    session.create(body)
    if customer_id:
        late_usage.renew_drafts(session, customer_id)
    return _without_id(body)


def _without_id(event: Object) -> Object:
    """Return an event as the API shows it: known by its identifier alone."""
    return {name: value for name, value in shown(event).items() if name != "id"}


def _reading(
    session: Session, meter: Object, payload: dict[str, str]
) -> tuple[str | None, str, str | None]:
    """Return whose usage an event tells of and how much, or why it cannot be counted."""
    key = meter["customer_mapping"]["event_payload_key"]
    if not payload.get(key):
        return None, "0", "meter_event_no_customer_defined"
    customer = session.store.get(payload[key])
    if customer is None or customer["object"] != "customer" or customer.get("deleted"):
        return None, "0", "meter_event_customer_not_found"
    session.get("customer", customer["id"])
    if meter["default_aggregation"]["formula"] == "count":
        return customer["id"], "1", None
    value = payload.get(meter["value_settings"]["event_payload_key"])
    if value is None or not _VALUE.fullmatch(value):
        missing = "meter_event_value_not_found"
        return None, "0", missing if value is None else "meter_event_invalid_value"
    return customer["id"], value, None


def unread(session: Session) -> list[Object]:
    """Return the events that could not be counted, oldest first, and why."""
    found = [event for event in session.find(meter_usage.EVENT)[::-1] if event["_error"]]
    names = ("event_name", "identifier", "payload")
    return [
        {
            **{name: event[name] for name in names},
            "code": event["_error"],
            "event_id": event["_event_id"],
        }
        for event in found
    ]


def _check_time(session: Session, timestamp: int) -> None:
    if timestamp < session.now - _OLDEST:
        raise errors.invalid_request(
            "The timestamp must be within the past 35 days.",
            param="timestamp",
        )
    if timestamp > session.now + _AHEAD:
        raise errors.invalid_request(
            "The timestamp must be at most 5 minutes in the future.",
            param="timestamp",
        )


def _check_new(session: Session, identifier: str) -> None:
    for event in session.find(meter_usage.EVENT, identifier=identifier):
        if event["_taken_at"] > session.default_now - DAY:
            raise errors.invalid_request(
                f"An event already exists with identifier {identifier}.", param="identifier"
            )


def adjust(session: Session, params: dict[str, Any]) -> Object:
    """POST /v1/billing/meter_event_adjustments: take an event of the last 24 hours back."""
    identifier, name = params["cancel"]["identifier"], params["event_name"]
    found = session.find(meter_usage.EVENT, identifier=identifier, event_name=name)
    if not found:
        raise errors.missing("meter event", identifier, param="cancel[identifier]")
    event = found[0]
    if event["_customer"]:
        session.get("customer", event["_customer"])
    if event["_is_canceled"] or event["_taken_at"] <= session.default_now - DAY:
        raise errors.invalid_request(
            "Only an event of the last 24 hours can be canceled, and only once.",
            param="cancel[identifier]",
        )
    session.change(event, {"_is_canceled": True}, is_announced=False)
    if event["_customer"]:
        late_usage.renew_drafts(session, event["_customer"])
    return {
        "object": "billing.meter_event_adjustment",
        "cancel": {"identifier": identifier},
        "event_name": name,
        "livemode": False,
        "status": "complete",
        "type": "cancel",
    }


def summaries(session: Session, params: dict[str, Any], meter_id: str) -> Object:
    """GET /v1/billing/meters/{id}/event_summaries: newest first."""
    meter = session.get(meters.KIND, meter_id)
    customer = session.get("customer", params["customer"], param="customer")
    start, end = params["start_time"], params["end_time"]
    window = params.get("value_grouping_window")
    step = _WINDOWS[window] if window else end - start
    _check_bounds(start, end, _WINDOWS[window] if window else 60)
    spans = [(moment, moment + step) for moment in range(start, end, step)][::-1]
    url = f"/v1/billing/meters/{meter_id}/event_summaries"
    limit = params.get("limit", 10)
    data = []
    for span in spans:
        events = meter_usage.events_of(session, meter, customer["id"], span)
        if events or not window:
            data.append(_summary(meter_id, span, meter_usage.total(meter, events)))
    return listing(url, data[:limit], has_more=len(data) > limit)


def _check_bounds(start: int, end: int, step: int) -> None:
    for name, moment in (("start_time", start), ("end_time", end)):
        if moment % step:
            raise errors.invalid_request(
                f"{name} must be aligned with its window, or with the minute.", param=name
            )
    if end <= start:
        raise errors.invalid_request("end_time must be after start_time.", param="end_time")


def _summary(meter_id: str, span: tuple[int, int], value: Decimal) -> Object:
    return {
        "id": new_id("mtrusg"),
        "object": "billing.meter_event_summary",
        "aggregated_value": float(value),
        "end_time": span[1],
        "livemode": False,
        "meter": meter_id,
        "start_time": span[0],
    }


ROUTES = (
    Route("POST", "/v1/billing/meter_events", create, _CREATE),
    Route("POST", "/v1/billing/meter_event_adjustments", adjust, _ADJUST),
    Route("GET", "/v1/billing/meters/{id}/event_summaries", summaries, _SUMMARIES),
)
