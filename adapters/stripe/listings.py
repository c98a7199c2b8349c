"""Lists events and subscriptions of a whole account at Stripe, a page at a time."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

import stripe

from adapters.stripe.client import translate_stripe_errors
from adapters.stripe.reading import (
    as_json,
    field,
    list_entries,
    metadata_id,
    required,
    required_time,
)
from adapters.stripe.snapshots import subscription_snapshot
from domain.errors import UnreadableAnswerError
from domain.subscriptions.snapshots import SubscriptionSnapshot

if TYPE_CHECKING:
    from stripe.params import EventListParams, SubscriptionListParams

PAGE_SIZE = 100


class ListedEvent(NamedTuple):
    """An event of Stripe, with its body as a webhook has it."""

    stripe_event_id: str
    event_type: str
    created_at: datetime
    body: bytes


class EventPage(NamedTuple):
    """A page of events, newest first; `next_page` is None on the last page."""

    events: Sequence[ListedEvent]
    next_page: str | None


class ListedSubscription(NamedTuple):
    """A subscription at Stripe.

    Args:
        stripe_subscription_id: Stripe's id.
        our_id: Our id in the metadata, which users of the Dashboard can edit.
        snapshot: The subscription without its invoices; None if it cannot be read.
    """

    stripe_subscription_id: str
    our_id: UUID | None
    snapshot: SubscriptionSnapshot | None


class SubscriptionPage(NamedTuple):
    """A page of subscriptions, newest first; `next_page` is None on the last page."""

    subscriptions: Sequence[ListedSubscription]
    next_page: str | None


class StripeListings:
    """Lists what an account at Stripe has."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._client = client

    async def events(self, since: datetime | None, page: str | None) -> EventPage:
        """List events, newest first.

        Args:
            since: When Stripe made the oldest event to list; None lists all that Stripe keeps.
            page: `next_page` of the previous page; None for the first page.

        Raises:
            ApplicationError: See `translate_stripe_errors`.
        """
        # Reason: without an upper bound, a clock that is behind Stripe's misses nothing.
        params: EventListParams = {"limit": PAGE_SIZE}
        if since is not None:
            params["created"] = {"gte": int(since.timestamp())}
        if page is not None:
            params["starting_after"] = page
        with translate_stripe_errors():
            found = await self._client.v1.events.list_async(params)
        events = [
            ListedEvent(
                stripe_event_id=required(event, "id"),
                event_type=required(event, "type"),
                created_at=required_time(event, "created"),
                body=as_json(event),
            )
            for event in list_entries(found)
        ]
        is_last = not field(found, "has_more") or not events
        return EventPage(events, None if is_last else events[-1].stripe_event_id)

    async def live_subscriptions(self, page: str | None) -> SubscriptionPage:
        """List the subscriptions that are not canceled, newest first.

        Args:
            page: `next_page` of the previous page; None for the first page.

        Raises:
            ApplicationError: See `translate_stripe_errors`.
        """
        params: SubscriptionListParams = {"limit": PAGE_SIZE}
        if page is not None:
            params["starting_after"] = page
        with translate_stripe_errors():
            found = await self._client.v1.subscriptions.list_async(params)
        listed = [_listed(each) for each in list_entries(found)]
        is_last = not field(found, "has_more") or not listed
        return SubscriptionPage(listed, None if is_last else listed[-1].stripe_subscription_id)


def _listed(found: stripe.Subscription) -> ListedSubscription:
    try:
        snapshot = subscription_snapshot(found)
    except UnreadableAnswerError:
        # Reason: one subscription of an unknown shape must not hide all others.
        snapshot = None
    stripe_id = str(required(found, "id"))
    return ListedSubscription(stripe_id, metadata_id(found, "subscription_id"), snapshot)
