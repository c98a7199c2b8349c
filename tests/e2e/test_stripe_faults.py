"""Stripe answers badly, late or not at all, and its webhooks get lost, doubled and mixed up."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from tests.e2e.client import Document, World, answered, problem
from tests.e2e.story import MONTH_DAYS, Subscribed, audit

PAY = "POST /v1/invoices/*/pay"
LONGER_THAN_A_HEARTBEAT_SECONDS = 6.5
LONGER_THAN_A_CALL_SECONDS = 5.5


@pytest.fixture
def subscribed(world: World, plan: Document) -> Iterator[Subscribed]:
    """An active subscription whose card declines the next renewal once."""
    subscribed = Subscribed(world, plan)
    subscribed.add_card("ok", "insufficient_funds", "ok")
    subscribed.subscribe()
    subscribed.wait_status("active")
    yield subscribed
    world.stripe.faults()
    subscribed.cancel()
    world.wait_for_quiet()


@pytest.mark.parametrize(
    ("fault", "call_count"),
    [
        ({"after": 500}, 1),
        ({"before": 500}, 2),
        ({"drop": True}, 1),
        pytest.param(
            {"delay_seconds": LONGER_THAN_A_HEARTBEAT_SECONDS},
            1,
            marks=pytest.mark.soak,
        ),
    ],
    ids=["500 after", "500 before", "dropped", "slow"],
)
def test_one_charge_whatever_the_answer(
    world: World, subscribed: Subscribed, fault: dict[str, Any], call_count: int
) -> None:
    calls_before = len(world.stripe.requests(PAY))
    world.stripe.faults({"match": PAY, "times": 1, **fault})
    subscribed.recover()
    world.wait_for_quiet()
    end = audit(subscribed)
    assert end.payment_retries == [("recovered", 1, [("scheduled", "succeeded", None)])]
    assert [outcome for outcome, _ in end.charges] == ["succeeded", "failed", "succeeded"]
    assert len(world.stripe.requests(PAY)) == calls_before + call_count


def test_a_recovery_needs_no_webhook(world: World, subscribed: Subscribed) -> None:
    world.stripe.faults(off=True)
    world.stripe.advance(MONTH_DAYS)
    assert subscribed.now["subscription_status"] == "active", "nobody has told of the renewal"
    world.stripe.faults()
    subscribed.wait_status("past_due")
    world.stripe.faults(off=True)
    subscribed.wait_retries("recovered")
    subscribed.wait_status("active")
    assert world.stripe.pending_webhook_count() > 0
    world.stripe.faults()
    world.wait_for_quiet()
    assert audit(subscribed).payment_count == 2


def test_webhooks_doubled_and_mixed_up(world: World, subscribed: Subscribed) -> None:
    world.stripe.faults(duplicate=3, shuffle=True)
    subscribed.recover()
    world.wait_for_quiet()
    end = audit(subscribed)
    assert end.statuses == [
        ("incomplete", "active"),
        ("active", "past_due"),
        ("past_due", "active"),
    ]
    assert end.payment_retries == [("recovered", 1, [("scheduled", "succeeded", None)])]


@pytest.mark.soak
def test_webhooks_that_are_lost_come_again(world: World, subscribed: Subscribed) -> None:
    world.stripe.faults(drop=0.5)
    subscribed.recover()
    world.stripe.faults()
    world.wait_for_quiet()
    assert audit(subscribed).payment_count == 2


@pytest.mark.soak
def test_a_card_that_takes_long_is_attached_once(world: World) -> None:
    customer, key = world.customer(), {"Idempotency-Key": uuid4().hex}
    card = {"stripe_payment_method_id": world.stripe.card("ok"), "is_default": True}
    attach = "POST /v1/payment_methods/*/attach"
    world.stripe.faults({"match": attach, "times": 1, "delay_seconds": LONGER_THAN_A_CALL_SECONDS})
    reply = customer.try_once("POST", "payment-methods", headers=key, json=card)
    assert problem(reply, 503)["code"] == "outcome_pending"
    attached = answered(customer.send("POST", "payment-methods", headers=key, json=card))
    assert customer.items("payment-methods") == [attached]


def test_a_card_added_before_the_failure_is_known_is_tried(world: World, plan: Document) -> None:
    subscribed = Subscribed(world, plan)
    subscribed.add_card("ok", "lost_card")
    subscribed.subscribe()
    subscribed.wait_status("active")
    world.stripe.faults(off=True)
    world.stripe.advance(MONTH_DAYS)
    subscribed.add_card("ok")
    world.stripe.faults()
    # Reason: it may be past due for less time than lies between two looks.
    subscribed.wait_retries("recovered")
    subscribed.wait_status("active")
    subscribed.cancel()
    world.wait_for_quiet()
    assert audit(subscribed).payment_retries == [
        ("recovered", 0, [("new_card", "succeeded", None)])
    ]
