"""Makes the events that a sync stores, from its reasons and from what it read."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from database.webhooks.webhook_events import WebhookEventRepository
from domain.subscriptions.events import hint_event, trial_end_event
from domain.subscriptions.lifecycle import SubscriptionStatus
from domain.subscriptions.messages import NewSubscriptionEvent
from domain.subscriptions.snapshots import SubscriptionSnapshot
from domain.subscriptions.steps import SubscriptionInput
from domain.webhooks.event_types import TRIAL_WILL_END


async def events_of(
    session: AsyncSession,
    step_input: SubscriptionInput,
    snapshot: SubscriptionSnapshot | None = None,
) -> list[NewSubscriptionEvent]:
    """Return the events of a sync, except for the change of the status.

    Args:
        session: Database session to read with.
        step_input: Input of the step, with the reasons for the sync.
        snapshot: The subscription as read from Stripe; None if it does not exist there yet.
    """
    types = await WebhookEventRepository(session).types_of(step_input.hint_ids)
    hints = [hint_event(hint_id, types.get(hint_id, "event")) for hint_id in step_input.hint_ids]
    events = [*hints, *step_input.events]
    if snapshot is not None and TRIAL_WILL_END in types.values():
        bodies = await WebhookEventRepository(session).bodies_of(step_input.hint_ids)
        told = {_trial_end_of(body) for body in bodies if body.get("type") == TRIAL_WILL_END}
    else:
        told = set()
    return [*events, *_trial_end(step_input, snapshot, told)]


def _trial_end(
    step_input: SubscriptionInput, snapshot: SubscriptionSnapshot | None, told: set[object]
) -> list[NewSubscriptionEvent]:
    """Return the event that announces the end of a trial, if Stripe or our timer says so."""
    if snapshot is None or snapshot.trial_end is None:
        return []
    if snapshot.subscription_status is not SubscriptionStatus.TRIALING:
        return []
    trial_end = snapshot.trial_end
    # Reason: a late event, or our timer, may be about the end before the trial was extended.
    is_due = step_input.announced_trial_end == trial_end or int(trial_end.timestamp()) in told
    return [trial_end_event(trial_end)] if is_due else []


def _trial_end_of(body: Mapping[str, Any]) -> object:
    found: Any = body.get("data")
    for name in ("object", "trial_end"):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found
