"""Whose event is it? Pure reading of what Stripe sends, at the API version the SDK is pinned to."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any
from uuid import UUID

from domain.base import Frozen
from domain.workflow_names import PAYMENT_HINT


class Handler(StrEnum):
    """What an event type brings about.

    A signal to a subscription or to a payment, a read of a customer, or nothing.
    """

    HINT = "hint"
    PAYMENT_HINT = PAYMENT_HINT
    CUSTOMER = "customer"
    IGNORED = "ignored"


class WebhookEventStatus(StrEnum):
    """What became of an event."""

    RECEIVED = "received"
    DELIVERED = "delivered"
    IGNORED = "ignored"
    FAILED = "failed"


# A hint only says "look at Stripe", so the types differ in nothing but whether looking is worth it.
HANDLED_TYPES: Mapping[str, Handler] = {
    "customer.subscription.created": Handler.HINT,
    "customer.subscription.deleted": Handler.HINT,
    "customer.subscription.paused": Handler.HINT,
    "customer.subscription.pending_update_applied": Handler.HINT,
    "customer.subscription.pending_update_expired": Handler.HINT,
    "customer.subscription.resumed": Handler.HINT,
    "customer.subscription.trial_will_end": Handler.HINT,
    "customer.subscription.updated": Handler.HINT,
    "invoice.created": Handler.HINT,
    "invoice.deleted": Handler.HINT,
    "invoice.finalization_failed": Handler.HINT,
    "invoice.finalized": Handler.HINT,
    "invoice.marked_uncollectible": Handler.HINT,
    "invoice.overpaid": Handler.HINT,
    "invoice.paid": Handler.HINT,
    "invoice.payment_action_required": Handler.HINT,
    "invoice.payment_failed": Handler.HINT,
    "invoice.payment_succeeded": Handler.HINT,
    "invoice.updated": Handler.HINT,
    "invoice.voided": Handler.HINT,
    "charge.refund.updated": Handler.PAYMENT_HINT,
    "charge.refunded": Handler.PAYMENT_HINT,
    "payment_intent.canceled": Handler.PAYMENT_HINT,
    "payment_intent.payment_failed": Handler.PAYMENT_HINT,
    "payment_intent.processing": Handler.PAYMENT_HINT,
    "payment_intent.requires_action": Handler.PAYMENT_HINT,
    "payment_intent.succeeded": Handler.PAYMENT_HINT,
    "refund.created": Handler.PAYMENT_HINT,
    "refund.failed": Handler.PAYMENT_HINT,
    "refund.updated": Handler.PAYMENT_HINT,
    "charge.failed": Handler.IGNORED,
    "charge.succeeded": Handler.IGNORED,
    "charge.updated": Handler.IGNORED,
    "customer.deleted": Handler.CUSTOMER,
    "customer.updated": Handler.CUSTOMER,
    "payment_method.attached": Handler.CUSTOMER,
    "payment_method.automatically_updated": Handler.CUSTOMER,
    "payment_method.detached": Handler.CUSTOMER,
    "payment_method.updated": Handler.CUSTOMER,
    "customer.created": Handler.IGNORED,
    "invoice.overdue": Handler.IGNORED,
    "invoice.sent": Handler.IGNORED,
    "invoice.upcoming": Handler.IGNORED,
    "invoice.will_be_due": Handler.IGNORED,
    "invoice_payment.paid": Handler.IGNORED,
    "payment_intent.created": Handler.IGNORED,
    "price.created": Handler.IGNORED,
    "price.updated": Handler.IGNORED,
    "product.created": Handler.IGNORED,
    "product.updated": Handler.IGNORED,
    "setup_intent.created": Handler.IGNORED,
    "setup_intent.succeeded": Handler.IGNORED,
}


# By which name in the metadata we find our id.
_OUR_NAMES = {
    Handler.HINT: "subscription_id",
    Handler.PAYMENT_HINT: "payment_id",
    Handler.CUSTOMER: "user_id",
}


class Reference(Frozen):
    """How an event names a subscription, a payment, or a customer.

    Args:
        handler: Which of these.
        stripe_id: Stripe's id of it: a subscription's, a payment intent's, or a customer's.
        our_id: Ours, from its metadata; anybody with a Dashboard can edit that.
    """

    handler: Handler = Handler.HINT
    stripe_id: str | None = None
    our_id: UUID | None = None

    @property
    def awaited_id(self) -> str | None:
        """The payment intent that an event waits for, while no payment of ours has it."""
        return self.stripe_id if self.handler is Handler.PAYMENT_HINT else None


class Owner(Frozen):
    """A subscription, a payment, or a user, that an event may belong to, as our tables know it."""

    handler: Handler = Handler.HINT
    our_id: UUID
    user_id: UUID
    stripe_id: str | None


def handler_of(event_type: str) -> Handler:
    """Return what a type brings about.

    Stripe adds types faster than this table grows. An unknown one that names a subscription makes
    us look there: a look too many costs one read, a missed change costs a customer.
    """
    return HANDLED_TYPES.get(event_type, Handler.HINT)


def type_label(event_type: str) -> str:
    """Return a type as a label of a metric: the known ones, and `other` for all the rest."""
    return event_type if event_type in HANDLED_TYPES else "other"


def reference_of(event: Mapping[str, Any]) -> Reference | None:
    """Find the subscription, or the payment, that an event is about.

    Args:
        event: The event's body.

    Returns:
        How it names it; None if it is about something else.

    Raises:
        ValueError: It names it by what is no id, and cannot be stored.
    """
    found = _mapping(_mapping(event.get("data")).get("object"))
    metadata = found.get("metadata")
    match found.get("object"):
        case "subscription":
            return _reference(Handler.HINT, found.get("id"), metadata)
        case "invoice":
            return _reference_of_invoice(found)
        case "payment_intent":
            # Reason: an invoice's intent names no payment of ours; its invoice's events tell all.
            named = _reference(Handler.PAYMENT_HINT, found.get("id"), metadata)
            return named if named and named.our_id else None
        case "refund" | "charge":
            return _reference(Handler.PAYMENT_HINT, found.get("payment_intent"), metadata)
        case "customer" | "payment_method":
            return _reference(Handler.CUSTOMER, _customer_of(event, found), None)
        case _:
            return None


def new_default_card(event: Mapping[str, Any]) -> str | None:
    """Return the payment method that an event tells to have become a customer's default.

    Args:
        event: The event's body.

    Returns:
        Stripe's id of it; None if the event tells of something else.
    """
    data = _mapping(event.get("data"))
    before = _mapping(_mapping(data.get("previous_attributes")).get("invoice_settings"))
    if "default_payment_method" not in before:
        return None
    settings = _mapping(_mapping(data.get("object")).get("invoice_settings"))
    card = settings.get("default_payment_method")
    return card if isinstance(card, str) else None


def owner_of(reference: Reference, candidates: Iterable[Owner]) -> Owner | None:
    """Choose the subscription, or the payment, that an event belongs to.

    Our id in the metadata counts before Stripe's: events do arrive before Stripe's answer told us
    its id. It does not count when the row is known to be another one at Stripe, because
    then somebody edited or copied the metadata.

    Args:
        reference: How the event names it.
        candidates: Rows that one of the two ids names.

    Returns:
        The owner; None if it is none of ours.
    """
    rows = tuple(row for row in candidates if row.handler is reference.handler)
    theirs = reference.stripe_id
    for row in rows:
        if row.our_id == reference.our_id and (row.stripe_id or theirs) == theirs:
            return row
    if theirs is None:
        return None
    return next((row for row in rows if row.stripe_id == theirs), None)


def _reference_of_invoice(found: Mapping[str, Any]) -> Reference | None:
    """Find an invoice's subscription, in the shapes of all API versions.

    Endpoints made in the Dashboard send the account's version. Before 2025-03-31.basil an invoice
    names its subscription at the top; the oldest have the metadata on their lines only.
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
    """Tell whether a line of an older shape has its subscription's metadata, not an item's."""
    return line.get("type") == "subscription"


def _customer_of(event: Mapping[str, Any], found: Mapping[str, Any]) -> object:
    """Return the customer that an event about a customer, or about a card, concerns."""
    if found.get("object") == "customer":
        return found.get("id")
    # Reason: a card that was detached is nobody's any more; the event tells whose it was.
    before = _mapping(_mapping(event.get("data")).get("previous_attributes"))
    return found.get("customer") or before.get("customer")


def _reference(handler: Handler, stripe_id: object, metadata: object) -> Reference | None:
    if isinstance(stripe_id, Mapping):  # expanded
        stripe_id = stripe_id.get("id")
    theirs = stripe_id if isinstance(stripe_id, str) else None
    if theirs is not None and not theirs.isprintable():
        raise ValueError("the event names an object by what is no id")
    ours = _uuid(_mapping(metadata).get(_OUR_NAMES[handler]))
    if theirs is None and ours is None:
        return None
    return Reference(handler=handler, stripe_id=theirs, our_id=ours)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _uuid(value: object) -> UUID | None:
    try:
        return UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None
