"""Steps with failed renewals: the worker is killed during a charge, and a card is lost."""

from commands.demo.api_client import Document
from commands.demo.checks import expect, short, wait_until
from commands.demo.context import DemoContext

MONTH_DAYS = 32
PAY = "POST /v1/invoices/*/pay"


def kill_worker_during_retry(context: DemoContext) -> None:
    """Let a renewal fail, and kill the worker while the retry's charge is in flight."""
    context.step("A month passes, the card is declined, and the worker is killed during a charge")
    context.sandboxes.delay(PAY, 2)
    context.sandboxes.advance(MONTH_DAYS)
    subscription = context.wait_status("past_due")
    access, grace_end = subscription["access"], short(subscription["grace_ends_at"])
    expect(access == "grace", "access continues during the grace period", access)
    context.say(f"past_due; access continues during the grace period, until {grace_end}")
    retry = context.wait_retry("waiting")
    context.say(f"insufficient funds; the next attempt is at {short(retry['next_attempt_at'])}")
    context.link("the payment retry", retry["workflow_id"])
    wait_until(
        context.console,
        "waiting for the next attempt",
        lambda: context.sandboxes.requests(_pay(retry)),
        lambda calls: any(call["status"] is None for call in calls),
    )
    pid = context.stack.kill_worker()
    expect(not _paid(context, retry), "the charge was in flight", "the charge had succeeded")
    context.say(
        f"[red]the worker (pid {pid}) is killed with SIGKILL while the charge is in flight[/]"
    )
    wait_until(
        context.console,
        "waiting for the supervisor to start another worker",
        lambda: context.stack.facts()["pids"]["worker"],
        lambda pids: pids and pids[0] != pid,
    )
    context.wait_status("active")
    _expect_one_charge(context, context.wait_retry("recovered"))


def _expect_one_charge(context: DemoContext, retry: Document) -> None:
    charges = context.sandboxes.charges(retry["stripe_invoice_id"])
    keys = {call["idempotency_key"] for call in context.sandboxes.requests(_pay(retry))}
    expect(len(_paid(context, retry)) == 1, "the invoice was charged once", charges)
    expect(len(charges) == 2, "Stripe and the payment retry made one attempt each", charges)
    expect(len(keys) == 1, "all calls had the same idempotency key", keys)
    context.say("active again; Stripe's ledger has [bold]one[/] successful charge of the invoice")


def replace_a_lost_card(context: DemoContext) -> None:
    """Let a renewal fail because the card is lost, and add another card."""
    context.step("Another month passes, and the card is reported lost")
    context.sandboxes.advance(MONTH_DAYS)
    context.wait_status("past_due")
    retry = context.wait_retry("waiting_payment_method")
    context.say("this card cannot be charged again: the payment retry waits for another card")
    context.link("the payment retry", retry["workflow_id"])
    mail = context.wait_mail("another card")
    context.say(f"the customer gets a mail: “{mail['subject']}”")
    method = context.customer.add_card(context.sandboxes.card("ok"))
    context.say(f"the customer adds a card ending in {method['last4']}")
    context.wait_status("active")
    retry = context.wait_retry("recovered")
    triggers = [attempt["trigger"] for attempt in retry["attempts"]]
    expect(triggers == ["new_card"], "the only attempt was at once with the new card", triggers)
    paid = _paid(context, retry)
    expect(len(paid) == 1, "Stripe's ledger has one successful charge of the invoice", paid)
    context.say("the new card was charged at once, without a scheduled attempt; active again")


def _pay(retry: Document) -> str:
    return f"POST /v1/invoices/{retry['stripe_invoice_id']}/pay"


def _paid(context: DemoContext, retry: Document) -> list[Document]:
    charges = context.sandboxes.charges(retry["stripe_invoice_id"])
    return [charge for charge in charges if charge["outcome"] == "succeeded"]
