"""Steps in which a customer signs up and subscribes."""

from uuid import uuid4

from commands.demo.checks import wait_until
from commands.demo.context import DemoContext

POLICY = {"schedules": {"default": ["4s", "6s"]}, "grace": "7d", "last_resort": "cancel"}
LIMITS = {"agent_run_count": 20, "token_count": 100_000, "cost_cents": 100}


def sign_up(context: DemoContext) -> None:
    """Make a plan with limits, and sign up a customer with a card."""
    context.step("A customer signs up")
    name = f"demo-{uuid4().hex[:6]}"
    context.product.put_policy(name, POLICY)
    plan = context.product.create_plan(name, "Pro", 2_900, retry_policy=name, limits=LIMITS)
    context.say(f"plan {plan['name']}: 29.00 USD a month; payment retries after 4 s and 6 s")
    context.welcome(context.product.sign_up("Ada", plan["plan_id"]))
    card = context.sandboxes.card("ok", "insufficient_funds", "ok", "lost_card")
    method = context.customer.add_card(card)
    context.say(f"{context.customer.email} adds a card ending in {method['last4']}")


def subscribe(context: DemoContext) -> None:
    """Subscribe, and wait for Stripe's webhook."""
    context.step("The customer subscribes, and the first charge succeeds")
    context.customer.subscribe()
    context.wait_status("active")
    event = wait_until(
        context.console,
        "waiting for Stripe's webhook",
        lambda: context.customer.events("invoice.paid"),
    )[0]
    event_id = event["data"]["stripe_event_id"]
    context.say(f"active: the webhook {event_id} (invoice.paid) has reached the mailbox")
    context.link("the subscription", context.customer.subscription()["workflow_id"])
