"""One unit of work: what a request or a due job reads, writes and announces, at one moment."""

import secrets
import time
from collections.abc import Mapping
from typing import Any

import orjson

from sandbox.stripe import API_VERSION, errors
from sandbox.stripe.store import Store

Object = dict[str, Any]

NAMES = {  # how Stripe calls each kind in "No such ...", and the event family of its changes
    "balance_transaction": ("balance transaction", "balance_transaction"),
    "charge": ("charge", "charge"),
    "customer": ("customer", "customer"),
    "dispute": ("dispute", "charge.dispute"),
    "event": ("event", "event"),
    "invoice": ("invoice", "invoice"),
    "invoice_payment": ("invoice_payment", "invoice_payment"),
    "payment_intent": ("payment_intent", "payment_intent"),
    "payment_method": ("PaymentMethod", "payment_method"),
    "price": ("price", "price"),
    "product": ("product", "product"),
    "refund": ("refund", "refund"),
    "setup_attempt": ("setup attempt", "setup_attempt"),
    "setup_intent": ("setupintent", "setup_intent"),
    "subscription": ("subscription", "customer.subscription"),
}


def new_id(prefix: str) -> str:
    """Return a fresh id such as `cus_5f0c...`."""
    return f"{prefix}_{secrets.token_hex(12)}"


def shown(body: Object) -> Object:
    """Return an object as the API shows it: without the sandbox's own `_` fields."""
    return {name: value for name, value in body.items() if not name.startswith("_")}


def merged(old: Mapping[str, str], changes: Mapping[str, str] | None) -> dict[str, str]:
    """Return metadata after an update: empty values remove, None removes all."""
    if changes is None:
        return {}
    return {name: value for name, value in {**old, **changes}.items() if value != ""}


class Session:
    """Reads and writes at one moment of the sandbox's clock, inside one transaction."""

    def __init__(
        self,
        store: Store,
        now: int,
        *,
        base_url: str,
        request_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> None:
        self.store = store
        self.now = now
        self.base_url = base_url
        self.request_id = request_id
        self.idempotency_key = idempotency_key
        self.events: list[Object] = []
        self.has_scheduled = False

    def get(self, kind: str, object_id: str, *, param: str = "id") -> Object:
        """Return one object.

        Raises:
            ApiError: If there is none of this kind and id.
        """
        found = self.store.get(object_id)
        if found is None or found["object"] != kind:
            raise errors.missing(NAMES[kind][0], object_id, param=param)
        return found

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

    def create(self, body: Object, *, event: str | None = None) -> Object:
        """Save a new object and announce it."""
        self.store.put(body)
        if event:
            self.emit(event, body)
        return body

    def change(
        self, body: Object, changes: Mapping[str, Any], *, is_announced: bool = True
    ) -> Object:
        """Save changed fields in place; announce `<family>.updated` if anything visible changed."""
        before = {
            name: body.get(name) for name, value in changes.items() if body.get(name) != value
        }
        body.update(changes)
        self.store.put(body)
        visible = {name: value for name, value in before.items() if not name.startswith("_")}
        if visible and is_announced:
            self.emit(f"{NAMES[body['object']][1]}.updated", body, previous=visible)
        return body

    def emit(self, event_type: str, body: Object, *, previous: Object | None = None) -> None:
        """Announce what happened, with the object as it is now."""
        self.events.append(_event(self, event_type, body, previous))

    def withdraw(self, *object_ids: str) -> None:
        """Remove objects as if they had never been, with their events and jobs."""
        self.events = [e for e in self.events if e["data"]["object"].get("id") not in object_ids]
        for object_id in object_ids:
            self.store.delete(object_id)
            self.store.db.run("DELETE FROM jobs WHERE object_id = ?", object_id)

    def schedule(self, kind: str, object_id: str, due_at: int) -> None:
        """Have a job done at `due_at`; one of a kind per object, the last word counts."""
        self.store.db.run("DELETE FROM jobs WHERE kind = ? AND object_id = ?", kind, object_id)
        self.store.db.insert("jobs", {"kind": kind, "object_id": object_id, "due_at": due_at})
        self.has_scheduled = True

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


def _event(session: Session, event_type: str, body: Object, previous: Object | None) -> Object:
    data: Object = {"object": shown(body)}
    if previous is not None:
        data["previous_attributes"] = previous
    return {
        "id": new_id("evt"),
        "object": "event",
        "api_version": API_VERSION,
        "created": session.now,
        # Reason: a snapshot, since the same dictionaries are changed further on.
        "data": orjson.loads(orjson.dumps(data)),
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": session.request_id, "idempotency_key": session.idempotency_key},
        "type": event_type,
    }
