"""Groups webhook events by the subscription, payment or customer that they are about."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from api.webhooks.event_bodies import read_event
from database.webhooks.models import WebhookEvent
from database.webhooks.webhook_events import unpacked
from domain.webhooks.event_types import Handler, handler_of
from domain.webhooks.events import (
    EventOwner,
    EventReference,
    owner_of,
    reference_of,
    unknown_subscription,
)


def reference_in(event: WebhookEvent) -> EventReference | None:
    """Read which subscription, payment or customer an event is about; None if about none.

    Raises:
        ValueError: The body is not a JSON object, or the id in it is malformed.
        RuntimeError: The body cannot be decompressed.
    """
    body = read_event(unpacked(event.body))
    if handler_of(event.event_type) is Handler.IGNORED:
        return None
    return reference_of(body)


def group_by_owner(
    events: Sequence[WebhookEvent],
    references: dict[UUID, EventReference | None],
    owners: Sequence[EventOwner],
) -> tuple[dict[EventOwner, list[WebhookEvent]], list[WebhookEvent]]:
    """Group readable events by owner, and list those that have no owner.

    A subscription at Stripe without a row counts as the owner of its events: it may be adopted.
    """
    by_owner: dict[EventOwner, list[WebhookEvent]] = defaultdict(list)
    ownerless: list[WebhookEvent] = []
    for event in sorted(events, key=lambda each: each.received_at):
        if event.webhook_event_id not in references:
            continue
        reference = references[event.webhook_event_id]
        owner = owner_of(reference, owners) if reference else None
        owner = owner or unknown_subscription(reference)
        (by_owner[owner] if owner else ownerless).append(event)
    return by_owner, ownerless


def unknown_subscriptions(by_owner: Mapping[EventOwner, list[WebhookEvent]]) -> set[str]:
    """Return the subscriptions at Stripe that have no row."""
    found = (each.stripe_id for each in by_owner if each.handler is Handler.ADOPTION)
    return {each for each in found if each is not None}


def take_foreign(
    by_owner: dict[EventOwner, list[WebhookEvent]], foreign: Collection[str]
) -> list[WebhookEvent]:
    """Take the events of subscriptions that are known to be nobody's out of the groups."""
    owners = [
        owner
        for owner in by_owner
        if owner.handler is Handler.ADOPTION and owner.stripe_id in foreign
    ]
    return [event for owner in owners for event in by_owner.pop(owner)]
