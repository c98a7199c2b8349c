"""Renewals that fail: a worker that dies in mid-charge, and a card that is lost."""

from commands.demo.checks import expect, wait_until
from commands.demo.line import Document
from commands.demo.moments import short
from commands.demo.stage import Stage

MONTH_DAYS = 32
PAY = "POST /v1/invoices/*/pay"


def survive_a_failed_renewal(stage: Stage) -> None:
    """Let a renewal fail, and kill the worker while it is charged again."""
    stage.chapter("A month passes, the card declines, and the worker dies in mid-charge")
    stage.provider.delay(PAY, 2)
    stage.provider.advance(MONTH_DAYS)
    seen = stage.wait_status("past_due")
    expect(seen["access"] == "grace", "access goes on under grace", seen["access"])
    stage.say(f"past_due; access goes on under grace until {short(seen['grace_ends_at'])}")
    retry = stage.wait_retry("waiting")
    stage.say(f"insufficient funds; the next try is at {short(retry['next_attempt_at'])}")
    stage.link("the payment retry", retry["workflow_id"])
    wait_until(
        stage.console,
        "the retry waits for its time",
        lambda: stage.provider.requests(_pay(retry)),
        lambda calls: any(call["status"] is None for call in calls),
    )
    pid = stage.stack.kill_worker()
    expect(not _paid(stage, retry), "the charge was in flight", "it was done already")
    stage.say(
        f"[red]the worker (pid {pid}) is killed with SIGKILL while the charge is in flight[/]"
    )
    wait_until(
        stage.console,
        "the supervisor starts another worker",
        lambda: stage.stack.facts()["pids"]["worker"],
        lambda pids: pids and pids[0] != pid,
    )
    stage.wait_status("active")
    _expect_one_charge(stage, stage.wait_retry("recovered"))


def _expect_one_charge(stage: Stage, retry: Document) -> None:
    charges = stage.provider.charges(retry["stripe_invoice_id"])
    keys = {call["idempotency_key"] for call in stage.provider.requests(_pay(retry))}
    expect(len(_paid(stage, retry)) == 1, "the invoice was charged once", charges)
    expect(len(charges) == 2, "Stripe tried once and we tried once", charges)
    expect(len(keys) == 1, "all calls carried one key", keys)
    stage.say("active again; Stripe's own ledger has [bold]one[/] charge for that invoice")


def replace_a_lost_card(stage: Stage) -> None:
    """Let a card be lost; only another one helps."""
    stage.chapter("Another month, and the card is reported lost")
    stage.provider.advance(MONTH_DAYS)
    stage.wait_status("past_due")
    retry = stage.wait_retry("waiting_payment_method")
    stage.say("no retry can help: the payment retry waits for another card")
    stage.link("the payment retry", retry["workflow_id"])
    mail = wait_until(
        stage.console,
        "waiting for the mail",
        lambda: [
            mail
            for mail in stage.provider.mails(stage.customer.email)
            if "another card" in mail["subject"]
        ],
    )[0]
    stage.say(f"a mail arrives: “{mail['subject']}”")
    method = stage.customer.add_card(stage.provider.card("ok"))
    stage.say(f"the customer adds a card ending in {method['last4']}")
    stage.wait_status("active")
    retry = stage.wait_retry("recovered")
    tried = [attempt["trigger"] for attempt in retry["attempts"]]
    expect(tried == ["new_card"], "the new card was charged at once, and only it", tried)
    paid = _paid(stage, retry)
    expect(len(paid) == 1, "Stripe's ledger has one charge for that invoice", paid)
    stage.say("it was charged at once; active again, and no scheduled try was used up")


def _pay(retry: Document) -> str:
    return f"POST /v1/invoices/{retry['stripe_invoice_id']}/pay"


def _paid(stage: Stage, retry: Document) -> list[Document]:
    charges = stage.provider.charges(retry["stripe_invoice_id"])
    return [charge for charge in charges if charge["outcome"] == "succeeded"]
