"""Thin events: they name an object, and their data is read by their id."""

from datetime import UTC, datetime
from typing import Any

import orjson

from sandbox.stripe import errors
from sandbox.stripe.routing import Route
from sandbox.stripe.session import Object, Session, new_id

METER_ERRORS = "v1.billing.meter.error_report_triggered"
_CODES = {"meter_event_value_not_found": "meter_event_invalid_value"}


def report_meter_error(session: Session, meter: Object, identifier: str, problem: str) -> str:
    """Announce that a meter could not count an event, and return the id of the thin event."""
    code = _CODES.get(problem, problem)
    sample = {
        "error_message": f"The event {identifier} cannot be counted: {code}.",
        "request": {"identifier": session.idempotency_key or identifier},
    }
    kind = {"code": code, "error_count": 1, "sample_errors": [sample]}
    return _notify(
        session,
        METER_ERRORS,
        meter,
        {
            "developer_message_summary": "There is 1 invalid event",
            "reason": {"error_count": 1, "error_types": [kind]},
            "validation_end": _text_of(session.default_now),
            "validation_start": _text_of(session.default_now),
        },
    )


def _notify(session: Session, event_type: str, related: Object, data: Object) -> str:
    event_id = new_id("evt_test")
    session.thin_events.append(
        {
            "id": event_id,
            "object": "v2.core.event",
            "changes": None,
            "context": None,
            "created": _text_of(session.default_now),
            "data": data,
            "livemode": False,
            "reason": None,
            "related_object": {
                "id": related["id"],
                "type": related["object"],
                "url": f"/v1/billing/meters/{related['id']}",
            },
            "snapshot_event": None,
            "type": event_type,
        }
    )
    return event_id


def _text_of(moment: int) -> str:
    text = datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def retrieve(session: Session, _params: dict[str, Any], event_id: str) -> Object:
    """GET /v2/core/events/{id}."""
    row = session.store.db.row("SELECT body FROM events WHERE id = ?", event_id)
    event: Object | None = orjson.loads(row["body"]) if row else None
    if event is None or event["object"] != "v2.core.event":
        raise errors.missing("event", event_id)
    return event


ROUTES = (Route("GET", "/v2/core/events/{id}", retrieve),)
