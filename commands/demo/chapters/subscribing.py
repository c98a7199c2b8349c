"""Somebody signs up and subscribes."""

from uuid import uuid4

from commands.demo.checks import wait_until
from commands.demo.stage import Stage

POLICY = {"schedules": {"default": ["4s", "6s"]}, "grace": "7d", "last_resort": "cancel"}
LIMITS = {"agent_run_count": 20, "token_count": 100_000, "cost_cents": 100}


def sign_up(stage: Stage) -> None:
    """Make a plan with limits, and somebody with a card."""
    stage.chapter("Somebody signs up")
    name = f"demo-{uuid4().hex[:6]}"
    stage.product.put_policy(name, POLICY)
    plan = stage.product.create_plan(name, LIMITS)
    stage.say(f"a plan: {plan['name']}, 29.00 USD a month; retries after 4 s and 6 s")
    stage.welcome(stage.product.sign_up(plan["plan_id"]))
    card = stage.provider.card("ok", "insufficient_funds", "ok", "lost_card")
    method = stage.customer.add_card(card)
    stage.say(f"{stage.customer.email} adds a card ending in {method['last4']}")


def subscribe(stage: Stage) -> None:
    """Subscribe, and wait for the webhook."""
    stage.chapter("They subscribe, and the first charge goes through")
    stage.customer.subscribe()
    stage.wait_status("active")
    event = wait_until(
        stage.console,
        "waiting for Stripe's webhook",
        lambda: stage.customer.events("invoice.paid"),
    )[0]
    said = event["data"]["stripe_event_id"]
    stage.say(f"active: the webhook {said} (invoice.paid) has reached its mailbox")
    stage.link("the subscription", stage.customer.subscription()["workflow_id"])
