"""Whose event is it? Pure reading of what Stripe sends, at the API version the SDK is pinned to."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any
from uuid import UUID

from domain.messages import Frozen


class Handler(StrEnum):
    """What an event type brings about: a signal to the subscription's mailbox, or nothing."""

    HINT = "hint"
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
    "charge.failed": Handler.IGNORED,
    "charge.succeeded": Handler.IGNORED,
    "charge.updated": Handler.IGNORED,
    "customer.created": Handler.IGNORED,
    "customer.deleted": Handler.IGNORED,
    "customer.updated": Handler.IGNORED,
    "invoice.overdue": Handler.IGNORED,
    "invoice.sent": Handler.IGNORED,
    "invoice.upcoming": Handler.IGNORED,
    "invoice.will_be_due": Handler.IGNORED,
    "invoice_payment.paid": Handler.IGNORED,
    "payment_intent.canceled": Handler.IGNORED,
    "payment_intent.created": Handler.IGNORED,
    "payment_intent.payment_failed": Handler.IGNORED,
    "payment_intent.requires_action": Handler.IGNORED,
    "payment_intent.succeeded": Handler.IGNORED,
    "payment_method.attached": Handler.IGNORED,
    "payment_method.detached": Handler.IGNORED,
    "payment_method.updated": Handler.IGNORED,
    "price.created": Handler.IGNORED,
    "price.updated": Handler.IGNORED,
    "product.created": Handler.IGNORED,
    "product.updated": Handler.IGNORED,
    "setup_intent.created": Handler.IGNORED,
    "setup_intent.succeeded": Handler.IGNORED,
}


class Reference(Frozen):
    """How an event names a subscription.

    Args:
        stripe_subscription_id: Stripe's id of it.
        subscription_id: Ours, from its metadata; anybody with a Dashboard can edit that.
    """

    stripe_subscription_id: str | None = None
    subscription_id: UUID | None = None


class Owner(Frozen):
    """A subscription that an event may belong to, as our table knows it."""

    subscription_id: UUID
    user_id: UUID
    stripe_subscription_id: str | None


def handler_of(event_type: str) -> Handler:
    """Return what a type brings about.

    Stripe adds types faster than this table grows. An unknown one that names a subscription makes
    us look there: a look too many costs one read, a missed change costs a customer.
    """
    return HANDLED_TYPES.get(event_type, Handler.HINT)


def type_label(event_type: str) -> str:
    """Return a type as a label of a metric: the known ones, and `other` for all the rest."""
    return event_type if event_type in HANDLED_TYPES else "other"


def subscription_reference(event: Mapping[str, Any]) -> Reference | None:
    """Find the subscription that an event is about.

    Args:
        event: The event's body.

    Returns:
        How it names the subscription; None if it is about something else.
    """
    found = _mapping(_mapping(event.get("data")).get("object"))
    match found.get("object"):
        case "subscription":
            return _reference(found.get("id"), found.get("metadata"))
        case "invoice":
            parent = _mapping(found.get("parent"))
            details = _mapping(parent.get("subscription_details"))
            return _reference(details.get("subscription"), details.get("metadata"))
        case _:
            return None


def owner_of(reference: Reference, candidates: Iterable[Owner]) -> Owner | None:
    """Choose the subscription that an event belongs to.

    Our id in the metadata counts before Stripe's: events do arrive before Stripe's answer told us
    its id. It does not count when the row is known to be another subscription at Stripe, because
    then somebody edited or copied the metadata.

    Args:
        reference: How the event names it.
        candidates: Rows that one of the two ids names.

    Returns:
        The owner; None if it is none of ours.
    """
    rows = tuple(candidates)
    theirs = reference.stripe_subscription_id
    for row in rows:
        is_named = row.subscription_id == reference.subscription_id
        if is_named and (row.stripe_subscription_id or theirs) == theirs:
            return row
    if theirs is None:
        return None
    return next((row for row in rows if row.stripe_subscription_id == theirs), None)


def _reference(stripe_subscription_id: object, metadata: object) -> Reference | None:
    if isinstance(stripe_subscription_id, Mapping):  # expanded
        stripe_subscription_id = stripe_subscription_id.get("id")
    theirs = stripe_subscription_id if isinstance(stripe_subscription_id, str) else None
    ours = _uuid(_mapping(metadata).get("subscription_id"))
    if theirs is None and ours is None:
        return None
    return Reference(stripe_subscription_id=theirs, subscription_id=ours)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _uuid(value: object) -> UUID | None:
    try:
        return UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None
