"""Rules of reconciliation: what is compared with Stripe, and how. Pure."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from domain.ids import invoice_id
from domain.subscriptions.snapshots import SubscriptionSnapshot
from domain.webhooks.endpoints import REQUIRED_EVENT_TYPES

# Reason: Stripe may list an event a little after events that are newer.
OVERLAP = timedelta(minutes=10)
CARD_NOTICE = timedelta(days=30)
STUCK_AFTER = timedelta(minutes=10)
REDELIVERED_WITHIN = timedelta(days=3)
_EVENT_TYPES = frozenset(REQUIRED_EVENT_TYPES)


def is_followed(event_type: str) -> bool:
    """Return whether an event of this type is delivered to a workflow, so that it is missed."""
    return event_type in _EVENT_TYPES


def expiring_months(now: datetime) -> tuple[tuple[int, int], ...]:
    """Return the months, as year and month, whose cards expire within 30 days.

    A card is valid until the end of its month.
    """
    soon = now + CARD_NOTICE
    first, end = (each.year * 12 + each.month - 1 for each in (now, soon))
    return tuple((month // 12, month % 12 + 1) for month in range(first, end))


def stripe_facts(snapshot: SubscriptionSnapshot) -> dict[str, Any]:
    """Return the fields of a subscription at Stripe that its view repeats."""
    latest = snapshot.latest_stripe_invoice_id
    return {
        "stripe_subscription_id": snapshot.stripe_subscription_id,
        "subscription_status": snapshot.subscription_status,
        "quantity": snapshot.quantity,
        "stripe_price_id": snapshot.stripe_price_id,
        "current_period_start": snapshot.current_period_start,
        "current_period_end": snapshot.current_period_end,
        "trial_end": snapshot.trial_end,
        "cancel_at": snapshot.cancel_at,
        "latest_invoice_id": invoice_id(latest) if latest else None,
    }


def differences(
    ours: Mapping[str, Any], theirs: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the fields in which a view differs from Stripe: before and after.

    Args:
        ours: Fields of the view.
        theirs: Fields as Stripe has them.

    Returns:
        The differing fields of both, as JSON; empty if the view is up to date.
    """
    names = [name for name, value in theirs.items() if ours.get(name) != value]
    return (
        {name: _as_json(ours.get(name)) for name in names},
        {name: _as_json(theirs[name]) for name in names},
    )


def _as_json(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value
