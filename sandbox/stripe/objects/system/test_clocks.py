"""Test clocks: customers with a time of their own, which only moves when it is told to."""

from typing import Any

from sandbox.stripe import errors
from sandbox.stripe.calendars import period_end
from sandbox.stripe.clock import ARRIVE
from sandbox.stripe.objects.customers import customer_deletion
from sandbox.stripe.objects.subscriptions.subscription_status import ENDED
from sandbox.stripe.params import PAGE, Group, Integer, Text
from sandbox.stripe.routing import Route
from sandbox.stripe.session import Object, Session, deleted, new_id, page_of, shown
from sandbox.stripe.store import delete_clock

KIND = "test_helpers.test_clock"
_LIFETIME = 30 * 86_400
_URL = "/v1/test_helpers/test_clocks"


def create(session: Session, params: dict[str, Any]) -> Object:
    """POST /v1/test_helpers/test_clocks."""
    body: Object = {
        "id": new_id("clock"),
        "object": KIND,
        "created": session.now,
        "deletes_after": session.now + _LIFETIME,
        "frozen_time": params["frozen_time"],
        "livemode": False,
        "name": params.get("name"),
        "status": "ready",
        "status_details": {},
    }
    session.create(body, event=f"{KIND}.created")
    session.schedule("delete_test_clock", body["id"], body["deletes_after"])
    return shown(body)


def create_for(session: Session, email: str) -> Object:
    """Make a clock, at the present time, that customers of this address are put on."""
    made = create(session, {"frozen_time": session.default_now})
    clock = session.get(KIND, made["id"])
    session.change(clock, {"_customer_email": email}, is_announced=False)
    return made


def retrieve(session: Session, _params: dict[str, Any], clock_id: str) -> Object:
    """GET /v1/test_helpers/test_clocks/{id}."""
    return shown(session.get(KIND, clock_id))


def list_all(session: Session, params: dict[str, Any]) -> Object:
    """GET /v1/test_helpers/test_clocks."""
    return page_of(session, KIND, _URL, params, {})


def advance(session: Session, params: dict[str, Any], clock_id: str) -> Object:
    """POST /v1/test_helpers/test_clocks/{id}/advance: what is due by then follows afterwards."""
    clock = session.get(KIND, clock_id)
    target = params["frozen_time"]
    if clock["status"] == "advancing":
        raise errors.clock_advancing()
    if target <= clock["frozen_time"]:
        raise errors.invalid_request(
            "A test clock only moves forward: frozen_time must be after its present one.",
            param="frozen_time",
        )
    furthest = _furthest(session, clock)
    if target > furthest:
        raise errors.invalid_request(
            "A test clock advances by at most two intervals of its shortest subscription, or two "
            f"years without any: frozen_time can be {furthest} at the most.",
            param="frozen_time",
        )
    details = {"advancing": {"target_frozen_time": target}}
    changes = {"status": "advancing", "status_details": details}
    session.change(clock, changes, is_announced=False)
    session.emit(f"{KIND}.advancing", clock)
    session.enter(clock_id)
    session.schedule(ARRIVE, clock_id, target)
    return shown(clock)


def _furthest(session: Session, clock: Object) -> int:
    now = clock["frozen_time"]
    ends = [
        period_end(now, recurring["interval"], 2 * recurring["interval_count"])
        for subscription in session.find("subscription", test_clock=clock["id"])
        if subscription["status"] not in ENDED
        for item in subscription["items"]["data"]
        for recurring in [item["price"]["recurring"]]
    ]
    return min(ends, default=period_end(now, "year", 2))


def run_arrive(session: Session, clock_id: str) -> None:
    """Job: all that was due on the way is done."""
    clock = session.get(KIND, clock_id)
    changes = {"frozen_time": session.now, "status": "ready", "status_details": {}}
    session.change(clock, changes, is_announced=False)
    session.emit(f"{KIND}.ready", clock)


def delete(session: Session, _params: dict[str, Any], clock_id: str) -> Object:
    """DELETE /v1/test_helpers/test_clocks/{id}: its customers go with it."""
    clock = session.get(KIND, clock_id)
    if clock["status"] == "advancing":
        raise errors.clock_advancing()
    for customer in session.find("customer", test_clock=clock_id):
        session.enter(clock_id)
        customer_deletion.remove(session, customer)
    delete_clock(session.store.db, clock_id)
    session.emit(f"{KIND}.deleted", clock)
    return deleted(clock)


def run_delete(session: Session, clock_id: str) -> None:
    """Job: a clock's thirty days are over."""
    delete(session, {}, clock_id)


ROUTES = (
    Route(
        "POST", _URL, create, Group({"frozen_time": Integer(), "name": Text()}, ("frozen_time",))
    ),
    Route("GET", _URL, list_all, Group(PAGE)),
    Route("GET", f"{_URL}/{{id}}", retrieve),
    Route(
        "POST",
        f"{_URL}/{{id}}/advance",
        advance,
        Group({"frozen_time": Integer()}, ("frozen_time",)),
    ),
    Route("DELETE", f"{_URL}/{{id}}", delete),
)
