"""The story: a customer, two months, a worker that dies, a card that is lost."""

from datetime import datetime
from typing import Any
from uuid import uuid4

from rich.table import Table

from commands.demo.checks import expect, wait_until
from commands.demo.stage import Stage
from commands.replay import fetch_history, replay

MONTH_DAYS = 32
PAY = "POST /v1/invoices/*/pay"
POLICY = {"schedules": {"default": ["4s", "6s"]}, "grace": "7d", "last_resort": "cancel"}

Document = dict[str, Any]


async def tell(stage: Stage) -> None:
    """Tell it, chapter by chapter.

    Args:
        stage: A running stack, and the audience.

    Raises:
        DemoError: Something did not happen.
    """
    _begin(stage)
    _subscribe(stage)
    _survive_a_failed_renewal(stage)
    _replace_a_lost_card(stage)
    _look_back(stage)
    await _replay(stage)


def _begin(stage: Stage) -> None:
    stage.chapter("1. Somebody signs up")
    name = f"demo-{uuid4().hex[:6]}"
    stage.product.put_policy(name, POLICY)
    plan = stage.product.create_plan(name)
    stage.say(f"a plan: {plan['name']}, 29.00 USD a month; retries after 4 s and 6 s")
    stage.customer = stage.product.sign_up(plan["plan_id"])
    card = stage.provider.card("ok", "insufficient_funds", "ok", "lost_card")
    method = stage.customer.add_card(card)
    stage.say(f"{stage.customer.email} adds a card ending in {method['last4']}")


def _subscribe(stage: Stage) -> None:
    stage.chapter("2. They subscribe, and the first charge goes through")
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


def _survive_a_failed_renewal(stage: Stage) -> None:
    stage.chapter("3. A month passes, the card declines, and the worker dies in mid-charge")
    stage.provider.delay(PAY, 2)
    stage.provider.advance(MONTH_DAYS)
    seen = stage.wait_status("past_due")
    expect(seen["access"] == "grace", "access goes on under grace", seen["access"])
    stage.say(f"past_due; access goes on under grace until {_short(seen['grace_ends_at'])}")
    retry = stage.wait_retry("waiting")
    stage.say(f"insufficient funds; the next try is at {_short(retry['next_attempt_at'])}")
    stage.link("the recovery", retry["workflow_id"])
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


def _replace_a_lost_card(stage: Stage) -> None:
    stage.chapter("4. Another month, and the card is reported lost")
    stage.provider.advance(MONTH_DAYS)
    stage.wait_status("past_due")
    retry = stage.wait_retry("waiting_payment_method")
    stage.say("no retry can help: the recovery waits for another card")
    stage.link("the recovery", retry["workflow_id"])
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


def _look_back(stage: Stage) -> None:
    stage.chapter("5. Why, and what next?")
    explained = stage.customer.explain()
    for sentence in explained["because"]:
        stage.say(sentence)
    expect(bool(explained["next"]), "it is known what happens next", explained)
    for step in explained["next"]:
        stage.say(f"next: {step['what']} ({_short(step['at'])})")
    table = Table("seq", "what", "told", box=None, header_style="dim")
    shown = {"status_changed", "retry_failed", "retry_paid", "last_resort"}
    for event in stage.customer.events(*shown):
        table.add_row(str(event["seq"]), event["kind"], event["summary"])
    stage.console.print(table)


async def _replay(stage: Stage) -> None:
    stage.chapter("6. The recorded histories, run against today's code")
    workflow_ids = [stage.customer.subscription()["workflow_id"]]
    workflow_ids += [retry["workflow_id"] for retry in stage.customer.retries()]
    for workflow_id in workflow_ids:
        address, namespace = stage.facts["temporal"], stage.facts["namespace"]
        verdict = await replay(await fetch_history(address, namespace, workflow_id))
        expect(verdict.difference is None, f"{workflow_id} replays", verdict.difference)
        stage.say(f"{verdict.workflow_type}: all {verdict.event_count} events replay")


def _pay(retry: Document) -> str:
    return f"POST /v1/invoices/{retry['stripe_invoice_id']}/pay"


def _paid(stage: Stage, retry: Document) -> list[Document]:
    charges = stage.provider.charges(retry["stripe_invoice_id"])
    return [charge for charge in charges if charge["outcome"] == "succeeded"]


def _short(moment: str | None) -> str:
    return f"{datetime.fromisoformat(moment):%d %b %Y %H:%M:%S} UTC" if moment else "when asked"
