"""Steps in which another customer begins with a trial, which ends with a charge."""

from uuid import uuid4

from commands.demo.checks import expect, short
from commands.demo.context import DemoContext
from commands.demo.customers import Customer

TRIAL_DAYS = 14
DAYS_UNTIL_MAIL = 12


def start_trial(context: DemoContext) -> None:
    """Subscribe another customer with a trial, and register the team's app for webhooks."""
    context.step("Another customer begins with a trial, and the team's own app listens")
    endpoint = context.product.listen(f"http://{context.team_app.address}/webhooks")
    context.team_app.trust(endpoint["secret"])
    plan = context.product.create_plan(
        f"starter-{uuid4().hex[:6]}", "Starter", 2_900, trial_days=TRIAL_DAYS
    )
    customer = context.product.sign_up("Grace", plan["plan_id"])
    context.welcome(customer)
    customer.add_card(context.sandboxes.card("ok"))
    customer.subscribe()
    trialing = context.wait_status("trialing")
    expect(trialing["access"] == "full", "a trial gives access", trialing)
    expect(not _charged(customer), "nothing is charged", customer.payments())
    context.say(f"trialing until {short(trialing['trial_end'])}; nothing is charged")
    context.link("the subscription", trialing["workflow_id"])


def end_trial(context: DemoContext) -> None:
    """Let the trial end: the customer is told before, and charged at its end."""
    context.step("The trial is about to end, and ends")
    context.sandboxes.advance(DAYS_UNTIL_MAIL)
    mail = context.wait_mail("Your trial")
    context.say(f"three days before, a mail: “{mail['subject']}”")
    context.sandboxes.advance(TRIAL_DAYS - DAYS_UNTIL_MAIL + 1)
    context.wait_status("active")
    charged = _charged(context.customer)
    expect(charged == [2_900], "the first month was charged once", charged)
    context.say("active: the first month is charged, once")


def _charged(customer: Customer) -> list[int]:
    return [payment["amount_cents"] for payment in customer.payments()]
