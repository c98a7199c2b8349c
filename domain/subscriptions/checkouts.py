"""Checkout sessions and portal sessions: pages of Stripe's on which customers act themselves."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from domain.base import Frozen
from domain.errors import ConflictError


class CheckoutStatus(StrEnum):
    """The statuses of a Checkout session, by Stripe's names."""

    OPEN = "open"
    COMPLETE = "complete"
    EXPIRED = "expired"


class WayBack(Frozen):
    """Where a Checkout page leads to: when the customer has paid, and when they go back."""

    success_url: str
    cancel_url: str


class CheckoutSnapshot(Frozen):
    """Snapshot of a Checkout session; times are on Stripe's clock.

    Args:
        url: Address of the page; None once it is not open any more.
    """

    stripe_checkout_session_id: str
    checkout_status: CheckoutStatus
    url: str | None = None
    expires_at: datetime | None = None


def checkout_open(subscription_id: UUID) -> ConflictError:
    """Return the error for an order of what can also be paid on an open Checkout page."""
    return ConflictError(
        "a Checkout page of this plan was opened at the same time; try again",
        "checkout_open",
        {"subscription_id": str(subscription_id)},
    )
