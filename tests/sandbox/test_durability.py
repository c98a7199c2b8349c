"""Killed at any moment, the sandbox knows afterwards what it had answered."""

import random
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from adapters.tls import trusted
from tests.conftest import Measure
from tests.sandbox import servers
from tests.sandbox.conftest import open_shop
from tests.sandbox.servers import UNCHECKED, Sandbox
from tests.sandbox.test_clocks import DAY, FEBRUARY_28, clock_of, on_clock

HEADERS = {"Authorization": "Bearer sk_test_sandbox"}
CALLERS = 4


@dataclass
class Caller:
    """One of those who pay and refund without a pause, and note each answer."""

    cards: tuple[str, ...]
    customer: str
    dice: random.Random
    sent: dict[str, tuple[str, dict[str, str]]] = field(default_factory=dict)
    answered: dict[str, dict[str, Any]] = field(default_factory=dict)

    def work(self, url: str) -> None:
        """Call until the server is gone."""
        http = httpx.Client(base_url=url, verify=trusted(), headers=HEADERS)
        with http, suppress(httpx.TransportError):
            while True:
                charge = self._pay(http)
                if charge:
                    self._ask(http, "/v1/refunds", {"charge": charge, "amount": "200"})

    def _pay(self, http: httpx.Client) -> str | None:
        """Pay, and return the charge if it is to be refunded."""
        form = {
            "amount": "500",
            "currency": "usd",
            "customer": self.customer,
            "confirm": "true",
            "off_session": "true",
            "payment_method": self.dice.choice(self.cards),
        }
        reply = self._ask(http, "/v1/payment_intents", form)
        is_refunded = "error" not in reply and self.dice.random() < 0.5
        return str(reply["latest_charge"]) if is_refunded else None

    def _ask(self, http: httpx.Client, path: str, form: dict[str, str]) -> dict[str, Any]:
        key = uuid4().hex
        self.sent[key] = (path, form)
        reply = http.post(path, headers={"Idempotency-Key": key}, data=form)
        assert reply.status_code in {200, 402}, reply.text
        self.answered[key] = reply.json()
        return self.answered[key]


def check_ledger(sandbox: Sandbox, callers: list[Caller]) -> None:
    """Hold the ledger against what was answered; what was not is asked for again."""
    rows = {row["idempotency_key"]: row for row in sandbox.ledger()}
    assert len(rows) == len(sandbox.ledger())
    for caller in callers:
        for key, reply in caller.answered.items():
            row = rows[key]
            if reply.get("object") == "refund":
                assert (row["kind"], row["charge"]) == ("refund", reply["charge"])
            elif "error" in reply:
                assert (row["outcome"], row["charge"]) == ("failed", reply["error"]["charge"])
            else:
                assert (row["outcome"], row["charge"]) == ("succeeded", reply["latest_charge"])
        for key in caller.sent.keys() - caller.answered.keys():
            path, form = caller.sent[key]
            headers = {**HEADERS, "Idempotency-Key": key}
            caller.answered[key] = sandbox.http.post(path, headers=headers, data=form).json()
    known = {key for caller in callers for key in caller.answered}
    again = [row["idempotency_key"] for row in sandbox.ledger()]
    assert len(again) == len(set(again))
    assert set(again) == known


def kill_under_load(folder: Path, trials: int, seed: int) -> int:
    """Kill the sandbox in the middle of work, time and again; return how many rows it kept."""
    dice = random.Random(seed)  # noqa: S311 - the same trials each time
    sandbox = servers.start(folder, environ=UNCHECKED)
    customer = sandbox.api.customers.create({}).id
    cards = [
        sandbox.api.payment_methods.attach(sandbox.card(answer), {"customer": customer}).id
        for answer in ("ok", "insufficient_funds")
    ]
    callers = [
        Caller((cards[0], *cards), customer, random.Random(dice.random()))  # noqa: S311
        for _ in range(CALLERS)
    ]
    for _ in range(trials):
        count = sum(len(caller.answered) for caller in callers)
        threads = [threading.Thread(target=c.work, args=(sandbox.url,)) for c in callers]
        for thread in threads:
            thread.start()
        servers.wait_for("load", lambda: sum(len(c.answered) for c in callers) > count + CALLERS)  # noqa: B023
        time.sleep(dice.uniform(0, 0.2))
        sandbox.kill()
        for thread in threads:
            thread.join()
        sandbox = servers.start(folder, environ=UNCHECKED)
        check_ledger(sandbox, callers)
    rows = len(sandbox.ledger())
    sandbox.end()
    return rows


def test_sigkill_under_load_loses_no_row(tmp_path: Path, measure: Measure) -> None:
    rows = kill_under_load(tmp_path, trials=5, seed=1)
    measure(f"SIGKILL under load: 5 trials, {rows} ledger rows, none lost and none twice")


@pytest.mark.soak
def test_sigkill_under_load_loses_no_row_in_fifty_trials(tmp_path: Path, measure: Measure) -> None:
    rows = kill_under_load(tmp_path, trials=50, seed=2)
    measure(f"SIGKILL under load: 50 trials, {rows} ledger rows, none lost and none twice")


def test_clock_jobs_and_webhooks_go_on_after_sigkill(tmp_path: Path) -> None:
    with servers.receiver() as hooks:
        hooks.refusals = 1_000
        first = servers.start(tmp_path, webhook_url=hooks.url)
        shop = open_shop(first)
        shop.give_card("ok")
        started = shop.subscribe()
        first.advance(days=10)
        moment = first.now()
        servers.wait_for("a refused delivery", lambda: hooks.arrivals)
        clock = clock_of(first)
        apart = on_clock(first, clock)
        ids = [apart.subscribe().id for _ in range(3)]
        there = {"frozen_time": FEBRUARY_28 + 3_600}
        first.api.test_helpers.test_clocks.advance(clock.id, there)
        first.kill()
        hooks.refusals = 0

        second = servers.start(tmp_path, webhook_url=hooks.url)
        try:
            assert 0 <= second.now() - moment < DAY
            second.quiet()
            assert hooks.types(started.id) == ["customer.subscription.created"]
            look = second.api.test_helpers.test_clocks.retrieve
            servers.wait_for("the test clock", lambda: look(clock.id).status == "ready")
            assert look(clock.id).frozen_time == there["frozen_time"]
            paid = [len(second.ledger(subscription=each, outcome="succeeded")) for each in ids]
            assert paid == [2, 2, 2]
            second.advance(days=25)
            assert len(second.ledger(subscription=started.id)) == 2
        finally:
            second.stop()


def test_real_time_makes_jobs_due(own: Sandbox) -> None:
    own.control("reset")
    shop = open_shop(own, interval="day")
    shop.give_card("ok")
    started = shop.subscribe()
    end = started["items"].data[0].current_period_end
    own.advance(seconds=end + 3_600 - 0.5 - own.now())
    servers.wait_for("the renewal", lambda: len(own.ledger(subscription=started.id)) == 2)


def test_reset_forgets_everything(own: Sandbox) -> None:
    open_shop(own).give_card("ok")
    own.advance(days=100)
    begun = time.time()
    own.control("reset")
    assert begun <= own.now() <= time.time()
    assert own.see("ledger") == own.see("requests") == {"items": []}
    assert own.api.customers.list().data == []
