"""The story: a customer, two months, a worker that dies, a card that is lost."""

from datetime import datetime
from typing import Any
from uuid import uuid4

from rich.console import Console
from rich.table import Table

from commands.demo.actors import Customer, Product, Provider
from commands.demo.checks import expect, wait_until
from commands.demo.running import DemoStack
from commands.replay import fetch_history, replay

MONTH_DAYS = 32
PAY = "POST /v1/invoices/*/pay"
POLICY = {"schedules": {"default": ["4s", "6s"]}, "grace": "7d", "last_resort": "cancel"}

Document = dict[str, Any]


class Story:
    """Everybody in it, and what happens to them."""

    def __init__(self, facts: Document, stack: DemoStack, console: Console) -> None:
        self._facts = facts
        self._stack = stack
        self._console = console
        self._product = Product(facts["api"], facts["admin_api_key"])
        self._provider = Provider(facts["stripe"], facts["mail"])
        self._customer: Customer

    def close(self) -> None:
        """Hang up."""
        self._product.close()
        self._provider.close()

    async def tell(self) -> None:
        """Tell it, chapter by chapter.

        Raises:
            DemoError: Something did not happen.
        """
        self._begin()
        self._subscribe()
        self._survive_a_failed_renewal()
        self._replace_a_lost_card()
        self._look_back()
        await self._replay()

    def _begin(self) -> None:
        self._chapter("1. Somebody signs up")
        name = f"demo-{uuid4().hex[:6]}"
        self._product.put_policy(name, POLICY)
        plan = self._product.create_plan(name)
        self._say(f"a plan: {plan['name']}, 29.00 USD a month; retries after 4 s and 6 s")
        self._customer = self._product.sign_up(plan["plan_id"])
        card = self._provider.card("ok", "insufficient_funds", "ok", "lost_card")
        method = self._customer.add_card(card)
        self._say(f"{self._customer.email} adds a card ending in {method['last4']}")

    def _subscribe(self) -> None:
        self._chapter("2. They subscribe, and the first charge goes through")
        self._customer.subscribe()
        self._wait_status("active")
        event = wait_until(
            self._console,
            "waiting for Stripe's webhook",
            lambda: self._customer.events("invoice.paid"),
        )[0]
        said = event["data"]["stripe_event_id"]
        self._say(f"active: the webhook {said} (invoice.paid) has reached its mailbox")
        self._link("the subscription", self._customer.subscription()["workflow_id"])

    def _survive_a_failed_renewal(self) -> None:
        self._chapter("3. A month passes, the card declines, and the worker dies in mid-charge")
        self._provider.delay(PAY, 2)
        self._provider.advance(MONTH_DAYS)
        seen = self._wait_status("past_due")
        expect(seen["access"] == "grace", "access goes on under grace", seen["access"])
        self._say(f"past_due; access goes on under grace until {_short(seen['grace_ends_at'])}")
        retry = self._wait_retry("waiting")
        self._say(f"insufficient funds; the next try is at {_short(retry['next_attempt_at'])}")
        self._link("the recovery", retry["workflow_id"])
        wait_until(
            self._console,
            "the retry waits for its time",
            lambda: self._provider.requests(PAY),
            lambda calls: any(call["status"] is None for call in calls),
        )
        pid = self._stack.kill_worker()
        self._say(
            f"[red]the worker (pid {pid}) is killed with SIGKILL while the charge is in flight[/]"
        )
        wait_until(
            self._console,
            "the supervisor starts another worker",
            lambda: self._stack.facts()["pids"]["worker"],
            lambda pids: pids and pids[0] != pid,
        )
        self._wait_status("active")
        self._expect_one_charge(self._wait_retry("recovered"))

    def _expect_one_charge(self, retry: Document) -> None:
        charges = self._provider.charges(retry["stripe_invoice_id"])
        paid = [charge for charge in charges if charge["outcome"] == "succeeded"]
        keys = {call["idempotency_key"] for call in self._provider.requests(PAY)}
        expect(len(paid) == 1, "the invoice was charged once", charges)
        expect(len(charges) == 2, "Stripe tried once and we tried once", charges)
        expect(len(keys) == 1, "all calls carried one key", keys)
        self._say("active again; Stripe's own ledger has [bold]one[/] charge for that invoice")

    def _replace_a_lost_card(self) -> None:
        self._chapter("4. Another month, and the card is reported lost")
        self._provider.advance(MONTH_DAYS)
        self._wait_status("past_due")
        retry = self._wait_retry("waiting_payment_method")
        self._say("no retry can help: the recovery waits for another card")
        self._link("the recovery", retry["workflow_id"])
        mail = wait_until(
            self._console,
            "waiting for the mail",
            lambda: [
                mail
                for mail in self._provider.mails(self._customer.email)
                if "another card" in mail["subject"]
            ],
        )[0]
        self._say(f"a mail arrives: “{mail['subject']}”")
        method = self._customer.add_card(self._provider.card("ok"))
        self._say(f"the customer adds a card ending in {method['last4']}")
        self._wait_status("active")
        retry = self._wait_retry("recovered")
        tried = [attempt["trigger"] for attempt in retry["attempts"]]
        expect(tried == ["new_card"], "the new card was charged at once, and only it", tried)
        self._say("it was charged at once; active again, and no scheduled try was used up")

    def _look_back(self) -> None:
        self._chapter("5. Why, and what next?")
        explained = self._customer.explain()
        for sentence in explained["because"]:
            self._say(sentence)
        expect(bool(explained["next"]), "it is known what happens next", explained)
        for step in explained["next"]:
            self._say(f"next: {step['what']} ({_short(step['at'])})")
        table = Table("seq", "what", "told", box=None, header_style="dim")
        shown = {"status_changed", "retry_failed", "retry_paid", "last_resort"}
        for event in self._customer.events(*shown):
            table.add_row(str(event["seq"]), event["kind"], event["summary"])
        self._console.print(table)

    async def _replay(self) -> None:
        self._chapter("6. The recorded histories, run against today's code")
        workflow_ids = [self._customer.subscription()["workflow_id"]]
        workflow_ids += [retry["workflow_id"] for retry in self._customer.retries()]
        for workflow_id in workflow_ids:
            address, namespace = self._facts["temporal"], self._facts["namespace"]
            verdict = await replay(await fetch_history(address, namespace, workflow_id))
            expect(verdict.difference is None, f"{workflow_id} replays", verdict.difference)
            self._say(f"{verdict.workflow_type}: all {verdict.event_count} events replay")

    def _wait_status(self, status: str) -> Document:
        seen: Document = wait_until(
            self._console,
            f"waiting for the subscription to be {status}",
            self._customer.subscription,
            lambda seen: seen["subscription_status"] == status,
        )
        return seen

    def _wait_retry(self, status: str) -> Document:
        seen: list[Document] = wait_until(
            self._console,
            f"waiting for the recovery to be {status}",
            self._customer.retries,
            lambda retries: retries and _stands(retries[0], status),
        )
        return seen[0]

    def _chapter(self, title: str) -> None:
        self._console.rule(
            f"[bold]{title}[/] [dim]{self._stack.age_seconds:.0f} s[/]", align="left"
        )

    def _say(self, sentence: str) -> None:
        self._console.print(f"[green]✓[/] {sentence}", soft_wrap=True)

    def _link(self, what: str, workflow_id: str) -> None:
        url = f"{self._facts['temporal_ui']}/namespaces/{self._facts['namespace']}/workflows/"
        self._console.print(
            f"  [dim]{what} in Temporal's Web UI: {url}{workflow_id}[/]", soft_wrap=True
        )


def _stands(retry: Document, status: str) -> bool:
    is_planned = status != "waiting" or retry["next_attempt_at"] is not None
    return retry["retry_status"] == status and is_planned


def _short(moment: str | None) -> str:
    return f"{datetime.fromisoformat(moment):%d %b %Y %H:%M:%S} UTC" if moment else "when asked"
