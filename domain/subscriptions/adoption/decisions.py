"""Decides which subscription of ours a subscription at Stripe is, or becomes. Pure."""

from collections.abc import Collection, Sequence
from typing import NamedTuple
from uuid import UUID

from domain.base import Frozen
from domain.ids import adopted_subscription_id
from domain.subscriptions.lifecycle import SubscriptionStatus


class FoundSubscription(Frozen):
    """A subscription as found at Stripe, by which its owner is decided.

    Args:
        named_subscription_id: Id of ours in the metadata, which users of the Dashboard can edit.
        named_user_id: Id of a user in the customer's metadata, which they can edit too.
    """

    stripe_subscription_id: str
    stripe_customer_id: str
    subscription_status: SubscriptionStatus
    quantity: int = 1
    stripe_price_id: str | None = None
    stripe_product_id: str | None = None
    named_subscription_id: UUID | None = None
    named_user_id: UUID | None = None


class Adoption(Frozen):
    """A subscription made at Stripe, whose row is written before its first sync.

    Args:
        plan_id: Plan of the price; None if the price belongs to no plan of ours.
        is_imported: Whether it is part of an import: what is unpaid now is not collected until an
            administrator says so.
    """

    user_id: UUID
    stripe_subscription_id: str
    stripe_customer_id: str
    quantity: int = 1
    plan_id: UUID | None = None
    stripe_price_id: str | None = None
    is_imported: bool = False


class KnownSubscription(NamedTuple):
    """The facts of a row by which a subscription at Stripe is recognized."""

    subscription_id: UUID
    user_id: UUID
    stripe_subscription_id: str | None


class AdoptionDecision(NamedTuple):
    """Decision about a subscription at Stripe.

    Args:
        subscription_id: Subscription of ours that it is.
        user_id: Owner of the subscription.
        is_new: Whether it has no row yet, and is adopted.
    """

    subscription_id: UUID
    user_id: UUID
    is_new: bool


def decide_adoption(
    account: str,
    found: FoundSubscription,
    rows: Sequence[KnownSubscription],
    user_id: UUID | None,
    requested_ids: Collection[UUID] = (),
) -> AdoptionDecision | None:
    """Decide which subscription of ours a subscription at Stripe is.

    Metadata counts only together with a row or a request of ours: anybody can edit or copy it in
    the Dashboard. So it never moves a subscription that has an owner.

    Args:
        account: Stripe's id of the account.
        found: The subscription at Stripe.
        rows: Rows with its id at Stripe, or with the id that its metadata names.
        user_id: User whom its customer belongs to; None if nobody's customer pays.
        requested_ids: Ids of subscriptions that were asked for with an idempotency key.

    Returns:
        The subscription of ours; None if it belongs to no user of ours.
    """
    for row in rows:
        if row.stripe_subscription_id == found.stripe_subscription_id:
            return AdoptionDecision(row.subscription_id, row.user_id, is_new=False)
    if user_id is None:
        return None
    named = found.named_subscription_id
    named_row = next((row for row in rows if row.subscription_id == named), None)
    if named_row is not None and named_row.stripe_subscription_id is None:
        if named_row.user_id == user_id:
            return AdoptionDecision(named_row.subscription_id, user_id, is_new=False)
    elif named is not None and named_row is None and named in requested_ids:
        return AdoptionDecision(named, user_id, is_new=True)
    made_id = adopted_subscription_id(account, found.stripe_subscription_id)
    return AdoptionDecision(made_id, user_id, is_new=True)


def adoption_of(
    found: FoundSubscription, user_id: UUID, plan_id: UUID | None, *, is_imported: bool
) -> Adoption:
    """Return the input by which a mailbox adopts a subscription that was found at Stripe."""
    return Adoption(
        user_id=user_id,
        stripe_subscription_id=found.stripe_subscription_id,
        stripe_customer_id=found.stripe_customer_id,
        quantity=found.quantity,
        plan_id=plan_id,
        stripe_price_id=found.stripe_price_id,
        is_imported=is_imported,
    )
