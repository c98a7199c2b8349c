"""PostgreSQL, Temporal or Stripe are down when somebody asks: 503 or patience, and no loss."""

import json
from collections.abc import Iterator
from uuid import uuid4

import httpx
import pytest

from tests.e2e.client import API, Document, World, answered, problem
from tests.e2e.running import wait_for
from tests.e2e.story import Subscribed, audit


@pytest.fixture
def shopper(world: World, plan: Document) -> Iterator[Subscribed]:
    """Somebody with a card who subscribes in the midst of it all, and is charged once."""
    shopper = Subscribed(world, plan)
    shopper.add_card("ok")
    yield shopper
    shopper.subscribe()  # the same key: takes up what was sent before
    shopper.wait_status("active")
    shopper.cancel()
    world.wait_for_quiet()
    assert audit(shopper).charges == [("succeeded", None)]


def test_postgres_is_down(world: World, shopper: Subscribed) -> None:
    with world.stack.down("postgres"):
        assert world.api.get("/health").is_success
        assert _failing_checks(world) == ["database"]
        for reply in (
            shopper.customer.try_once("GET", "subscriptions"),
            shopper.try_to_subscribe(),
            _send_webhook(world)[1],
        ):
            assert problem(reply, 503)["code"] == "database_unavailable"


@pytest.mark.soak
def test_temporal_is_down(world: World, shopper: Subscribed) -> None:
    with world.stack.down("temporal"):
        assert _failing_checks(world) == ["temporal"]
        assert answered(shopper.customer.try_once("GET", "subscriptions"))["items"] == []
        assert problem(shopper.try_to_subscribe(), 503)["code"] == "temporal_unavailable"
        event_id, taken = _send_webhook(world)
        assert taken.is_success, "webhooks are taken while Temporal is down"
    wait_for("the webhook's end", lambda: _status_of_event(world, event_id) == "ignored")


@pytest.mark.soak
def test_temporal_hangs(world: World, shopper: Subscribed) -> None:
    with world.stack.hanging("temporal"):
        problem(shopper.try_to_subscribe(), 503)


@pytest.mark.soak
def test_stripe_is_down(world: World, shopper: Subscribed) -> None:
    with world.stack.down("stripe"):
        assert _failing_checks(world) == ["stripe"]
        started = answered(shopper.try_to_subscribe())
        assert started["subscription_status"] == "incomplete", "its workflow waits for Stripe"
        card = {"stripe_payment_method_id": "pm_card_visa"}
        reply = shopper.customer.try_once("POST", "payment-methods", json=card)
        assert problem(reply, 503)["code"] == "outcome_pending"


@pytest.mark.soak
def test_all_are_down(world: World, shopper: Subscribed) -> None:
    stack = world.stack
    with stack.down("postgres"), stack.down("temporal"), stack.down("stripe"):
        problem(shopper.try_to_subscribe(), 503)


def _failing_checks(world: World) -> list[str]:
    """Return who does not answer, once somebody does not: answers are kept for a few seconds."""

    def failing() -> list[str]:
        reply = world.api.get("/health/ready")
        checks = reply.json()["checks"]
        names = [name for name, check in checks.items() if check["status"] != "ok"]
        assert reply.status_code == (503 if "database" in names else 200)
        return names

    return wait_for("a check that fails", failing)


def _send_webhook(world: World) -> tuple[str, httpx.Response]:
    """Send an event that is about nobody, as Stripe would."""
    event_id = f"evt_{uuid4().hex}"
    subject = {"id": "cus_nobody", "object": "customer"}
    event = {"id": event_id, "object": "event", "type": "customer.updated"}
    payload = json.dumps(event | {"data": {"object": subject}}).encode()
    url = f"{API}/webhooks/stripe"
    return event_id, world.api.post(url, content=payload, headers=world.sign(payload))


def _status_of_event(world: World, event_id: str) -> str | None:
    events = world.admin.items("webhook-events")
    found = [row for row in events if row["stripe_event_id"] == event_id]
    return str(found[0]["webhook_event_status"]) if found else None
