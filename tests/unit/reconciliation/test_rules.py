"""The rules of reconciliation, by themselves."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from domain.ids import invoice_id, reconciliation_hint
from domain.reconciliation.rules import differences, expiring_months, is_followed, stripe_facts
from domain.subscriptions.events import hint_event
from domain.subscriptions.lifecycle import SubscriptionStatus
from domain.subscriptions.snapshots import SubscriptionSnapshot

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("today", "months"),
    [
        ((2026, 11, 1), ((2026, 11),)),
        ((2026, 12, 1), ()),
        ((2026, 12, 2), ((2026, 12),)),
        ((2026, 12, 31), ((2026, 12),)),
        ((2027, 1, 30), ((2027, 1), (2027, 2))),
        ((2027, 2, 1), ((2027, 2),)),
    ],
)
def test_cards_expire_at_the_end_of_their_month(
    today: tuple[int, int, int], months: tuple[tuple[int, int], ...]
) -> None:
    assert expiring_months(datetime(*today, 12, tzinfo=UTC)) == months


def test_only_events_that_a_workflow_follows_are_missed() -> None:
    assert is_followed("invoice.paid")
    assert is_followed("customer.subscription.deleted")
    assert not is_followed("product.created")
    assert not is_followed("some.new_thing")


def test_a_view_differs_in_the_fields_that_it_repeats() -> None:
    snapshot = SubscriptionSnapshot(
        stripe_subscription_id="sub_1",
        stripe_customer_id="cus_1",
        subscription_status=SubscriptionStatus.PAST_DUE,
        quantity=3,
        current_period_end=NOON,
        latest_stripe_invoice_id="in_1",
    )
    theirs = stripe_facts(snapshot)
    assert differences(theirs, theirs) == ({}, {})
    ours = theirs | {"quantity": 1, "current_period_end": None, "latest_invoice_id": UUID(int=1)}
    assert differences(ours, theirs) == (
        {"quantity": 1, "current_period_end": None, "latest_invoice_id": str(UUID(int=1))},
        {
            "quantity": 3,
            "current_period_end": NOON.isoformat(),
            "latest_invoice_id": str(invoice_id("in_1")),
        },
    )
    assert differences({**ours, "note": 1}, theirs)[0].keys() == {
        "quantity",
        "current_period_end",
        "latest_invoice_id",
    }


def test_a_hint_of_a_reconciliation_is_told_as_what_it_is() -> None:
    told = hint_event(reconciliation_hint(UUID(int=7)), "event")
    assert (told.kind, told.data) == ("reconciled", {"reconciliation_id": str(UUID(int=7))})
    assert hint_event("evt_1", "invoice.paid").kind == "invoice.paid"
