"""Killed at any moment, the sandbox knows afterwards what it had answered."""

import threading
import time
from pathlib import Path

import httpx

from tests.sandbox import servers
from tests.sandbox.conftest import open_shop
from tests.sandbox.servers import Sandbox
from tests.sandbox.test_clocks import FEBRUARY_28, clock_of, on_clock

HEADERS = {"Authorization": "Bearer sk_test_sandbox"}


def test_sigkill_under_load_loses_nothing_answered(tmp_path: Path) -> None:
    sandbox = servers.start(tmp_path)
    shop = open_shop(sandbox)
    form = {"amount": "500", "currency": "usd", "customer": shop.customer, "confirm": "true"}
    form["payment_method"] = shop.give_card("ok")
    answered: list[str] = []

    def pay() -> None:
        with httpx.Client(base_url=sandbox.url) as http:
            for number in range(10_000):
                key = {**HEADERS, "Idempotency-Key": f"{threading.get_ident()}-{number}"}
                try:
                    reply = http.post("/v1/payment_intents", headers=key, data=form)
                except httpx.TransportError:
                    return
                assert reply.status_code == 200
                answered.append(key["Idempotency-Key"])

    threads = [threading.Thread(target=pay) for _ in range(4)]
    for thread in threads:
        thread.start()
    servers.wait_for("load", lambda: len(answered) >= 50)
    sandbox.kill()
    for thread in threads:
        thread.join()

    again = servers.start(tmp_path)
    try:
        keys = [row["idempotency_key"] for row in again.ledger()]
        assert set(answered) <= set(keys)
        assert len(keys) == len(set(keys))
        assert len(keys) - len(answered) <= len(threads)
        last = {**HEADERS, "Idempotency-Key": keys[-1]}
        replayed = again.http.post("/v1/payment_intents", headers=last, data=form)
        assert replayed.headers["idempotent-replayed"] == "true"
        assert len(again.ledger()) == len(keys)
    finally:
        again.stop()


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
            assert 0 <= second.now() - moment < 30
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
    own.control("reset")
    assert abs(own.now() - time.time()) < 5
    assert own.see("ledger") == own.see("requests") == {"items": []}
    assert own.api.customers.list().data == []
