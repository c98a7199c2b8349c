"""One unit of work: what a request or a due job reads, writes and announces, at one moment."""

import secrets
import time
from collections.abc import Mapping
from typing import Any

import orjson

from sandbox.stripe import API_VERSION, errors
from sandbox.stripe.params import check_key_count
from sandbox.stripe.store import Store

Object = dict[str, Any]

EMBEDDED = 10
"""How many entries of a list are in the object that it belongs to."""

NAMES = {  # how Stripe calls each kind in "No such ...", and the event family of its changes
    "balance_transaction": ("balance transaction", "balance_transaction"),
    "billing.meter": ("meter", "billing.meter"),
    "billing.meter_event": ("meter event", "billing.meter_event"),
    "billing_portal.configuration": ("configuration", "billing_portal.configuration"),
    "charge": ("charge", "charge"),
    "checkout.session": ("checkout.session", "checkout.session"),
    "coupon": ("coupon", "coupon"),
    "credit_note": ("credit note", "credit_note"),
    "customer": ("customer", "customer"),
    "customer_balance_transaction": (
        "customer balance transaction",
        "customer_balance_transaction",
    ),
    "discount": ("discount", "customer.discount"),
    "dispute": ("dispute", "charge.dispute"),
    "event": ("event", "event"),
    "invoice": ("invoice", "invoice"),
    "invoice_payment": ("invoice_payment", "invoice_payment"),
    "invoiceitem": ("invoiceitem", "invoiceitem"),
    "payment_intent": ("payment_intent", "payment_intent"),
    "payment_method": ("PaymentMethod", "payment_method"),
    "payment_record": ("payment_record", "payment_record"),
    "price": ("price", "price"),
    "product": ("product", "product"),
    "promotion_code": ("promotion code", "promotion_code"),
    "refund": ("refund", "refund"),
    "setup_attempt": ("setup attempt", "setup_attempt"),
    "setup_intent": ("setupintent", "setup_intent"),
    "subscription": ("subscription", "customer.subscription"),
    "subscription_item": ("subscription_item", "subscription_item"),
    "subscription_schedule": ("subscription schedule", "subscription_schedule"),
    "webhook_endpoint": ("webhook endpoint", "webhook_endpoint"),
    "test_helpers.test_clock": ("test clock", "test_helpers.test_clock"),
}


def new_id(prefix: str) -> str:
    """Return a fresh id such as `cus_5f0c...`."""
    return f"{prefix}_{secrets.token_hex(12)}"


_ONLY_IF_SET = {
    "invoice": ("status_details",),
    "invoiceitem": ("frozen_fields", "net_amount", "proration_details"),
    "subscription": ("status_details",),
}
"""Fields that Stripe leaves out, where others would be null."""


def shown(body: Object) -> Object:
    """Return an object as the API shows it: without the sandbox's own `_` fields."""
    optional = _ONLY_IF_SET.get(str(body.get("object")), ())
    return {
        name: _embedded(value)
        for name, value in body.items()
        if not name.startswith("_") and (value is not None or name not in optional)
    }


def _embedded(value: Any) -> Any:
    """Return a list as objects carry it in themselves: its first ten entries."""
    if not isinstance(value, dict) or value.get("object") != "list":
        return value
    rows = value["data"]
    is_cut = len(rows) > EMBEDDED
    return {**value, "data": rows[:EMBEDDED], "has_more": is_cut or value["has_more"]}


def deleted(body: Object) -> Object:
    """Return what the API answers when an object is gone."""
    return {"id": body["id"], "object": body["object"], "deleted": True}


def merged(old: Mapping[str, str], changes: Mapping[str, str] | None) -> dict[str, str]:
    """Return metadata after an update: empty values remove, None removes all."""
    if changes is None:
        return {}
    after = {name: value for name, value in {**old, **changes}.items() if value != ""}
    check_key_count(after)
    return after


class Reader:
    """Reads at one moment.

    Attributes:
        now: The moment on the clock of whom the work is about; from the first customer,
            subscription or invoice that lives on a test clock it is that clock's.
        default_now: The moment on the default clock, by which payments and keys go at all times.
        test_clock: The test clock that `now` is of; what is made lives on it.
    """

    def __init__(
        self,
        store: Store,
        now: int,
        *,
        base_url: str,
        default_now: int | None = None,
        test_clock: str | None = None,
        request_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> None:
        self.store = store
        self.now = now
        self.default_now = now if default_now is None else default_now
        self.test_clock = test_clock
        self._is_frozen = False
        self.base_url = base_url
        self.request_id = request_id
        self.idempotency_key = idempotency_key

    def at(self, moment: int) -> "Session":
        """Return a unit of work at another moment, to see what would happen then."""
        return Session(
            self.store,
            moment,
            base_url=self.base_url,
            default_now=self.default_now,
            test_clock=self.test_clock,
        )

    def get(self, kind: str, object_id: str, *, param: str = "id") -> Object:
        """Return one object.

        Raises:
            ApiError: If there is none of this kind and id.
        """
        found = self.store.get(object_id)
        if found is None or found["object"] != kind or found.get("deleted"):
            raise errors.missing(NAMES[kind][0], object_id, param=param)
        if found.get("test_clock"):
            self.enter(found["test_clock"])
        return found

    def enter(self, clock_id: str) -> None:
        """Go by a test clock from here on."""
        if clock_id == self.test_clock:
            return
        clock = self.get("test_helpers.test_clock", clock_id, param="test_clock")
        self.test_clock, self.now = clock_id, clock["frozen_time"]
        # Reason: a payment's job goes on meanwhile; it comes from the default clock.
        self._is_frozen = clock["status"] == "advancing" and self.request_id is not None

    def find(self, kind: str, **filters: Any) -> list[Object]:
        """Return all objects whose fields (dots as `__`) equal `filters`, newest first."""
        wanted = {name.replace("__", "."): value for name, value in filters.items()}
        found, page = [], {"limit": 100}
        while True:
            rows, has_more = self.store.objects(kind, wanted, page=page)
            found += rows
            if not has_more:
                return found
            page["starting_after"] = rows[-1]["id"]


class Session(Reader):
    """Reads and writes at one moment, inside one transaction."""

    def __init__(self, store: Store, now: int, **given: Any) -> None:
        super().__init__(store, now, **given)
        self.events: list[Object] = []
        self.thin_events: list[Object] = []
        self.has_scheduled = False

    def create(self, body: Object, *, event: str | None = None) -> Object:
        """Save a new object, on the test clock if there is one, and announce it."""
        self._check_thawed()
        if self.test_clock and "test_clock" in body:
            body["test_clock"] = self.test_clock
        self.store.put(body)
        if event:
            self.emit(event, body)
        return body

    def change(
        self, body: Object, changes: Mapping[str, Any], *, is_announced: bool = True
    ) -> Object:
        """Save changed fields in place; announce `<family>.updated` if anything visible changed."""
        self._check_thawed()
        before = {
            name: body.get(name) for name, value in changes.items() if body.get(name) != value
        }
        body.update(changes)
        self.store.put(body)
        visible = {name: value for name, value in before.items() if not name.startswith("_")}
        if visible and is_announced:
            kind = NAMES[body["object"]][1]
            self.emit(f"{kind}.updated", body, previous=former(visible, body))
        return body

    def _check_thawed(self) -> None:
        if self._is_frozen:
            raise errors.clock_advancing()

    def emit(self, event_type: str, body: Object, *, previous: Object | None = None) -> None:
        """Announce what happened, with the object as it is now."""
        self.events.append(_event(self, event_type, body, previous))

    def withdraw(self, *object_ids: str) -> None:
        """Remove objects as if they had never been, with their events and jobs."""
        self.events = [e for e in self.events if e["data"]["object"].get("id") not in object_ids]
        for object_id in object_ids:
            self.store.delete(object_id)
            self.store.db.run("DELETE FROM jobs WHERE object_id = ?", object_id)

    def schedule(self, kind: str, object_id: str, due_at: int, *, is_payment: bool = False) -> None:
        """Have a job done at `due_at`; one of a kind per object, the last word counts.

        Payments go by the default clock, whatever clock their customer lives on.
        """
        self.store.db.run("DELETE FROM jobs WHERE kind = ? AND object_id = ?", kind, object_id)
        clock = None if is_payment else self.test_clock
        job = {"kind": kind, "object_id": object_id, "due_at": due_at, "clock": clock}
        self.store.db.insert("jobs", job)
        self.has_scheduled = True

    def unschedule(self, kind: str, object_id: str) -> None:
        """Have a job not done after all."""
        self.store.db.run("DELETE FROM jobs WHERE kind = ? AND object_id = ?", kind, object_id)

    def record(self, **movement: Any) -> None:
        """Write one movement of money into the ledger."""
        self.store.db.insert(
            "ledger",
            movement
            | {
                "idempotency_key": self.idempotency_key,
                "wall_time": time.time(),
                "sandbox_time": float(self.now),
            },
        )


def listing(url: str, data: list[Object], *, has_more: bool = False) -> Object:
    """Return Stripe's list object."""
    return {"object": "list", "data": data, "has_more": has_more, "url": url}


def page_of(
    session: Session,
    kind: str,
    url: str,
    params: Mapping[str, Any],
    filters: Mapping[str, Any],
) -> Object:
    """Return one page of Stripe's lists."""
    for cursor in ("starting_after", "ending_before"):
        if params.get(cursor):
            session.get(kind, params[cursor], param=cursor)
    rows, has_more = session.store.objects(kind, filters, params.get("created"), page=params)
    return listing(url, [shown(row) for row in rows], has_more=has_more)


def part_of(listed: Object, name: str, params: Mapping[str, Any]) -> Object:
    """Return one page of a list that an object carries in itself.

    Raises:
        ApiError: If a cursor is not in the list.
    """
    rows, ids = listed["data"], [row["id"] for row in listed["data"]]
    after, before = params.get("starting_after"), params.get("ending_before")
    for param, cursor in (("starting_after", after), ("ending_before", before)):
        if cursor and cursor not in ids:
            raise errors.missing(name, cursor, param=param)
    limit = params.get("limit", 10)
    if before:
        ahead = rows[: ids.index(before)]
        return listing(listed["url"], ahead[-limit:], has_more=len(ahead) > limit)
    rest = rows[ids.index(after) + 1 :] if after else rows
    return listing(listed["url"], rest[:limit], has_more=len(rest) > limit)


def former(before: Mapping[str, Any], after: Mapping[str, Any]) -> Object:
    """Return what has changed, as it was; what was not there is null, also inside a hash."""
    found: Object = {}
    for name, old in before.items():
        new = after.get(name)
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict) and old.get("object") != "list":
            found[name] = former({**dict.fromkeys(new), **old}, new)
        else:
            found[name] = _embedded(old)
    return found


def _event(session: Session, event_type: str, body: Object, previous: Object | None) -> Object:
    data: Object = {"object": shown(body)}
    if previous is not None:
        data["previous_attributes"] = {n: _embedded(value) for n, value in previous.items()}
    return {
        "id": new_id("evt"),
        "object": "event",
        "api_version": API_VERSION,
        # Reason: as at Stripe events bear the real time, also those of a test clock.
        "created": session.default_now,
        # Reason: a snapshot, since the same dictionaries are changed further on.
        "data": orjson.loads(orjson.dumps(data)),
        "livemode": False,
        "pending_webhooks": 0,
        "request": {"id": session.request_id, "idempotency_key": session.idempotency_key},
        "type": event_type,
    }
