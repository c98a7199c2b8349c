"""Reads webhook events of Stripe: which object each is about. Pure."""

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any
from uuid import UUID

from domain.base import Frozen
from domain.ids import ANONYMOUS, adoption_id
from domain.webhooks.event_types import METER_ERRORS, Handler


class WebhookEventStatus(StrEnum):
    """The status of a webhook event in the inbox."""

    RECEIVED = "received"
    DELIVERED = "delivered"
    IGNORED = "ignored"
    FAILED = "failed"


# An id of a subscription, as Stripe makes them; others are not asked for.
_SUBSCRIPTION = re.compile(r"sub_[A-Za-z0-9_]{1,100}")

# Name in the metadata under which our id is stored.
_OUR_NAMES = {
    Handler.HINT: "subscription_id",
    Handler.PAYMENT_HINT: "payment_id",
    Handler.CUSTOMER: "user_id",
    Handler.METER: "plan_id",
}


class EventReference(Frozen):
    """Ids by which an event names a subscription, a payment or a customer.

    Args:
        handler: Handler of the event, which tells the kind of object.
        stripe_id: Stripe's id of the subscription, payment intent, customer or meter.
        our_id: Our id from the metadata, which users of the Dashboard can edit.
    """

    handler: Handler = Handler.HINT
    stripe_id: str | None = None
    our_id: UUID | None = None

    @property
    def awaited_id(self) -> str | None:
        """Payment intent that the event waits for until a payment of ours has it."""
        return self.stripe_id if self.handler is Handler.PAYMENT_HINT else None


class EventOwner(Frozen):
    """A row that an event may belong to: a subscription, a payment, a user or a plan."""

    handler: Handler = Handler.HINT
    our_id: UUID
    user_id: UUID | None
    stripe_id: str | None


def reference_of(event: Mapping[str, Any]) -> EventReference | None:
    """Return the ids of the subscription, payment, customer or meter that an event is about.

    Args:
        event: Body of the event.

    Returns:
        The ids; None if the event is about something else.

    Raises:
        ValueError: The id in the event is not a valid id and cannot be stored.
    """
    found = _mapping(_mapping(event.get("data")).get("object"))
    if event.get("type") == METER_ERRORS:
        found = {**_mapping(event.get("related_object")), "object": "meter"}
    metadata = found.get("metadata")
    match found.get("object"):
        case "subscription" | "checkout.session" | "meter" as kind:
            name = "subscription" if kind == "checkout.session" else "id"
            handler = Handler.METER if kind == "meter" else Handler.HINT
            return _reference(handler, found.get(name), metadata)
        case "invoice":
            return _reference_of_invoice(found)
        case "payment_intent":
            # Reason: an invoice's intent names no payment of ours; events of the invoice suffice.
            named = _reference(Handler.PAYMENT_HINT, found.get("id"), metadata)
            return named if named and named.our_id else None
        case "refund" | "charge" | "dispute":
            return _reference(Handler.PAYMENT_HINT, found.get("payment_intent"), metadata)
        case "customer" | "payment_method":
            return _reference(Handler.CUSTOMER, _customer_of(event, found), None)
        case _:
            return None


def new_default_card(event: Mapping[str, Any]) -> str | None:
    """Return the payment method that became a customer's default by an event.

    Args:
        event: Body of the event.

    Returns:
        Stripe's id of the payment method; None if the event does not change the default.
    """
    data = _mapping(event.get("data"))
    before = _mapping(_mapping(data.get("previous_attributes")).get("invoice_settings"))
    if "default_payment_method" not in before:
        return None
    settings = _mapping(_mapping(data.get("object")).get("invoice_settings"))
    card = settings.get("default_payment_method")
    return card if isinstance(card, str) else None


def owner_of(reference: EventReference, candidates: Iterable[EventOwner]) -> EventOwner | None:
    """Return the subscription, payment or user that an event belongs to.

    Our id in the metadata takes precedence over Stripe's, because events can arrive before we know
    Stripe's id. Our id is ignored if its row has another id at Stripe: then the metadata was
    edited or copied.

    Args:
        reference: Ids that the event names.
        candidates: Rows that have one of these ids.

    Returns:
        The owner; None if no row is the owner.
    """
    rows = tuple(row for row in candidates if row.handler is reference.handler)
    theirs = reference.stripe_id
    for row in rows:
        if row.our_id == reference.our_id and (row.stripe_id or theirs) == theirs:
            return row
    if theirs is None:
        return None
    return next((row for row in rows if row.stripe_id == theirs), None)


def unknown_subscription(reference: EventReference | None) -> EventOwner | None:
    """Return the subscription at Stripe that an event without an owner is about, if any.

    Args:
        reference: Ids that the event names, none of which has a row.

    Returns:
        What the dispatcher starts an adoption for; None if the event is about something else.
    """
    if reference is None or reference.handler is not Handler.HINT:
        return None
    theirs = reference.stripe_id or ""
    if _SUBSCRIPTION.fullmatch(theirs) is None:
        return None
    return EventOwner(
        handler=Handler.ADOPTION,
        our_id=adoption_id(theirs),
        user_id=ANONYMOUS,
        stripe_id=theirs,
    )


def _reference_of_invoice(found: Mapping[str, Any]) -> EventReference | None:
    """Return the ids of an invoice's subscription, in the shapes of all API versions.

    Endpoints created in the Dashboard use the API version of the account. Before 2025-03-31.basil
    the subscription is a top-level field; the oldest versions have the metadata on lines only.
    """
    parent = _mapping(found.get("parent"))
    details = _mapping(parent.get("subscription_details") or found.get("subscription_details"))
    theirs = details.get("subscription") or found.get("subscription")
    metadata = details.get("metadata")
    if theirs is not None and metadata is None:
        lines = _mapping(found.get("lines")).get("data")
        billed = [_mapping(line) for line in lines] if isinstance(lines, list) else []
        metadata = next((line.get("metadata") for line in billed if _is_period(line)), None)
    return _reference(Handler.HINT, theirs, metadata)


def _is_period(line: Mapping[str, Any]) -> bool:
    """Tell whether an invoice line in an older shape has the metadata of the subscription."""
    return line.get("type") == "subscription"


def _customer_of(event: Mapping[str, Any], found: Mapping[str, Any]) -> object:
    """Return the customer of an event about a customer or a card."""
    if found.get("object") == "customer":
        return found.get("id")
    # Reason: a detached card has no customer; the event has the previous one.
    before = _mapping(_mapping(event.get("data")).get("previous_attributes"))
    return found.get("customer") or before.get("customer")


def _reference(handler: Handler, stripe_id: object, metadata: object) -> EventReference | None:
    if isinstance(stripe_id, Mapping):  # expanded
        stripe_id = stripe_id.get("id")
    theirs = stripe_id if isinstance(stripe_id, str) else None
    if theirs is not None and not theirs.isprintable():
        raise ValueError("the event names an object by an invalid id")
    ours = _uuid(_mapping(metadata).get(_OUR_NAMES[handler]))
    if theirs is None and ours is None:
        return None
    return EventReference(handler=handler, stripe_id=theirs, our_id=ours)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _uuid(value: object) -> UUID | None:
    try:
        return UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None
