"""Which subscription of ours a subscription at Stripe is, whatever its metadata says."""

from uuid import UUID, uuid4

import pytest

from domain.ids import adopted_subscription_id
from domain.subscriptions.adoption.decisions import (
    AdoptionDecision,
    FoundSubscription,
    KnownSubscription,
    decide_adoption,
)
from domain.subscriptions.lifecycle import SubscriptionStatus

ACCOUNT, THEIRS = "acct_1", "sub_1"
MINE, NAMED, USER, OTHER = (UUID(int=number) for number in range(1, 5))
MADE = adopted_subscription_id(ACCOUNT, THEIRS)


def found(named: UUID | None = None) -> FoundSubscription:
    return FoundSubscription(
        stripe_subscription_id=THEIRS,
        stripe_customer_id="cus_1",
        subscription_status=SubscriptionStatus.ACTIVE,
        named_subscription_id=named,
    )


def test_the_id_is_the_same_each_time_and_another_in_another_account() -> None:
    assert adopted_subscription_id(ACCOUNT, THEIRS) == MADE
    assert len({MADE, adopted_subscription_id("acct_2", THEIRS), uuid4()}) == 3


@pytest.mark.parametrize(
    ("named", "rows", "user_id", "requested", "decision"),
    [
        # Stripe's id has a row: whatever the metadata says, it stays with its owner.
        (
            NAMED,
            [KnownSubscription(NAMED, OTHER, None), KnownSubscription(MINE, USER, THEIRS)],
            OTHER,
            (),
            AdoptionDecision(MINE, USER, is_new=False),
        ),
        # The answer to our own POST is not there yet.
        (
            NAMED,
            [KnownSubscription(NAMED, USER, None)],
            USER,
            (),
            AdoptionDecision(NAMED, USER, is_new=False),
        ),
        # The metadata names a row of somebody else, or one that is another subscription at Stripe.
        (
            NAMED,
            [KnownSubscription(NAMED, OTHER, None)],
            USER,
            (),
            AdoptionDecision(MADE, USER, is_new=True),
        ),
        (
            NAMED,
            [KnownSubscription(NAMED, USER, "sub_2")],
            USER,
            (NAMED,),
            AdoptionDecision(MADE, USER, is_new=True),
        ),
        # It was asked for with a key of ours, and has no row.
        (NAMED, [], USER, (NAMED,), AdoptionDecision(NAMED, USER, is_new=True)),
        # The metadata names what we know nothing of.
        (NAMED, [], USER, (), AdoptionDecision(MADE, USER, is_new=True)),
        (None, [], USER, (), AdoptionDecision(MADE, USER, is_new=True)),
        # Nobody's customer.
        (NAMED, [KnownSubscription(NAMED, USER, None)], None, (NAMED,), None),
    ],
)
def test_whose_it_is(
    named: UUID | None,
    rows: list[KnownSubscription],
    user_id: UUID | None,
    requested: tuple[UUID, ...],
    decision: AdoptionDecision | None,
) -> None:
    assert decide_adoption(ACCOUNT, found(named), rows, user_id, requested) == decision
