"""Schedules of subscriptions at Stripe: a change that waits for the end of the period."""

from datetime import datetime
from typing import Any
from uuid import UUID

import stripe

from adapters.stripe.client import translate_stripe_errors
from adapters.stripe.reading import field, metadata_id, object_id, required, to_datetime
from adapters.stripe.terms import COMMAND, RUNNING
from domain.base import Frozen
from domain.subscriptions.previews import ChangeTerms
from domain.subscriptions.snapshots import SubscriptionSnapshot


class CurrentSchedule(Frozen):
    """A schedule as it is, with its current phase as a parameter for Stripe.

    Args:
        command_id: The command that planned its change; None if no command of ours did.
        is_running: Whether the schedule still manages a subscription.
        is_new: Whether it has no phase but the subscription's present period.
        phase: The current phase, in the form of Stripe's parameter.
    """

    stripe_schedule_id: str
    command_id: UUID | None
    is_running: bool
    is_new: bool
    phase: dict[str, Any]

    @property
    def phase_end(self) -> datetime | None:
        """When the current phase ends."""
        return to_datetime(self.phase.get("end_date"))


class StripeSchedules:
    """Creates, plans and releases schedules of subscriptions."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._client = client

    async def create(self, stripe_subscription_id: str, key: str) -> str:
        """Put a subscription under a schedule, which changes nothing yet; return its id."""
        with translate_stripe_errors():
            made = await self._client.v1.subscription_schedules.create_async(
                {"from_subscription": stripe_subscription_id},
                {"idempotency_key": key},
            )
        return str(required(made, "id"))

    async def of_subscription(self, stripe_subscription_id: str) -> CurrentSchedule | None:
        """Return the schedule that manages a subscription; None if there is none."""
        with translate_stripe_errors():
            found = await self._client.v1.subscriptions.retrieve_async(stripe_subscription_id)
        schedule_id = object_id(field(found, "schedule"))
        return None if schedule_id is None else await self.read(schedule_id)

    async def read(self, stripe_schedule_id: str) -> CurrentSchedule:
        """Return a schedule."""
        with translate_stripe_errors():
            found = await self._client.v1.subscription_schedules.retrieve_async(stripe_schedule_id)
        return _current(found)

    async def plan(
        self,
        current: CurrentSchedule,
        subscription: SubscriptionSnapshot,
        terms: ChangeTerms,
        metadata: dict[str, str],
        card: str | None,
        key: str,
    ) -> None:
        """Plan other terms from the end of the current phase on; they replace planned ones.

        Args:
            current: The schedule as it is.
            subscription: The subscription as it is.
            terms: What the subscription shall be after the current phase.
            metadata: Metadata of the schedule.
            card: The subscription's own payment method, which the schedule sets again.
            key: Idempotency key.

        Raises:
            ApplicationError: See `translate_stripe_errors`.
        """
        discounts: Any = [{"discount": each.stripe_discount_id} for each in subscription.discounts]
        now: Any = {**current.phase, "discounts": discounts or ""}
        then: Any = {
            "items": _changed_items(current, subscription, terms),
            "start_date": current.phase["end_date"],
            "proration_behavior": "none",
            "discounts": discounts or "",
        }
        params: Any = {
            "phases": [now, then],
            "end_behavior": "release",
            "metadata": metadata,
            "proration_behavior": "none",
        }
        if card is not None:
            params["default_settings"] = {"default_payment_method": card}
        with translate_stripe_errors():
            await self._client.v1.subscription_schedules.update_async(
                current.stripe_schedule_id,
                params,
                {"idempotency_key": key},
            )

    async def release(self, stripe_schedule_id: str, key: str) -> None:
        """Release a subscription from its schedule; what the schedule had planned is dropped."""
        with translate_stripe_errors():
            await self._client.v1.subscription_schedules.release_async(
                stripe_schedule_id,
                {"preserve_cancel_date": True},
                {"idempotency_key": key},
            )


def _current(found: Any) -> CurrentSchedule:
    start = field(found, "current_phase.start_date")
    phases = field(found, "phases") or []
    present = [phase for phase in phases if field(phase, "start_date") == start] or phases
    return CurrentSchedule(
        stripe_schedule_id=required(found, "id"),
        command_id=metadata_id(found, COMMAND),
        is_running=field(found, "status") in RUNNING,
        is_new=len(phases) == 1,
        phase=_phase(present[0]) if present else {},
    )


def _phase(found: Any) -> dict[str, Any]:
    phase: dict[str, Any] = {
        "items": [_item(item) for item in field(found, "items") or []],
        "start_date": required(found, "start_date"),
        "end_date": required(found, "end_date"),
        "proration_behavior": "none",
    }
    trial_end = field(found, "trial_end")
    return phase if trial_end is None else {**phase, "trial_end": trial_end}


def _item(found: Any) -> dict[str, Any]:
    item: dict[str, Any] = {"price": object_id(field(found, "price"))}
    quantity = field(found, "quantity")
    return item if quantity is None else {**item, "quantity": quantity}


def _changed_items(
    current: CurrentSchedule, subscription: SubscriptionSnapshot, terms: ChangeTerms
) -> list[dict[str, Any]]:
    """Return the items of the next phase: the subscription's first item is changed."""
    first = {
        "price": terms.stripe_price_id or subscription.stripe_price_id,
        "quantity": terms.quantity or subscription.quantity,
    }
    others = [
        item
        for item in current.phase["items"]
        if item["price"] not in {subscription.stripe_price_id, first["price"]}
    ]
    return [first, *others]
