"""Renewals that fail: a worker that dies in mid-charge, and a card that is lost."""

from commands.demo.api_client import Document
from commands.demo.checks import expect, short, wait_until
from commands.demo.context import DemoContext

MONTH_DAYS = 32
PAY = "POST /v1/invoices/*/pay"


def survive_a_failed_renewal(context: DemoContext) -> None:
    """Let a renewal fail, and kill the worker while it is charged again."""
    context.chapter("A month passes, the card declines, and the worker dies in mid-charge")
    context.sandboxes.delay(PAY, 2)
    context.sandboxes.advance(MONTH_DAYS)
    seen = context.wait_status("past_due")
    expect(seen["access"] == "grace", "access goes on under grace", seen["access"])
    context.say(f"past_due; access goes on under grace until {short(seen['grace_ends_at'])}")
    retry = context.wait_retry("waiting")
    context.say(f"insufficient funds; the next try is at {short(retry['next_attempt_at'])}")
    context.link("the payment retry", retry["workflow_id"])
    wait_until(
        context.console,
        "the retry waits for its time",
        lambda: context.sandboxes.requests(_pay(retry)),
        lambda calls: any(call["status"] is None for call in calls),
    )
    pid = context.stack.kill_worker()
    expect(not _paid(context, retry), "the charge was in flight", "it was done already")
    context.say(
        f"[red]the worker (pid {pid}) is killed with SIGKILL while the charge is in flight[/]"
    )
    wait_until(
        context.console,
        "the supervisor starts another worker",
        lambda: context.stack.facts()["pids"]["worker"],
        lambda pids: pids and pids[0] != pid,
    )
    context.wait_status("active")
    _expect_one_charge(context, context.wait_retry("recovered"))


def _expect_one_charge(context: DemoContext, retry: Document) -> None:
    charges = context.sandboxes.charges(retry["stripe_invoice_id"])
    keys = {call["idempotency_key"] for call in context.sandboxes.requests(_pay(retry))}
    expect(len(_paid(context, retry)) == 1, "the invoice was charged once", charges)
    expect(len(charges) == 2, "Stripe tried once and we tried once", charges)
    expect(len(keys) == 1, "all calls carried one key", keys)
    context.say("active again; Stripe's own ledger has [bold]one[/] charge for that invoice")


def replace_a_lost_card(context: DemoContext) -> None:
    """Let a card be lost; only another one helps."""
    context.chapter("Another month, and the card is reported lost")
    context.sandboxes.advance(MONTH_DAYS)
    context.wait_status("past_due")
    retry = context.wait_retry("waiting_payment_method")
    context.say("no retry can help: the payment retry waits for another card")
    context.link("the payment retry", retry["workflow_id"])
    mail = wait_until(
        context.console,
        "waiting for the mail",
        lambda: [
            mail
            for mail in context.sandboxes.mails(context.customer.email)
            if "another card" in mail["subject"]
        ],
    )[0]
    context.say(f"a mail arrives: “{mail['subject']}”")
    method = context.customer.add_card(context.sandboxes.card("ok"))
    context.say(f"the customer adds a card ending in {method['last4']}")
    context.wait_status("active")
    retry = context.wait_retry("recovered")
    tried = [attempt["trigger"] for attempt in retry["attempts"]]
    expect(tried == ["new_card"], "the new card was charged at once, and only it", tried)
    paid = _paid(context, retry)
    expect(len(paid) == 1, "Stripe's ledger has one charge for that invoice", paid)
    context.say("it was charged at once; active again, and no scheduled try was used up")


def _pay(retry: Document) -> str:
    return f"POST /v1/invoices/{retry['stripe_invoice_id']}/pay"


def _paid(context: DemoContext, retry: Document) -> list[Document]:
    charges = context.sandboxes.charges(retry["stripe_invoice_id"])
    return [charge for charge in charges if charge["outcome"] == "succeeded"]
