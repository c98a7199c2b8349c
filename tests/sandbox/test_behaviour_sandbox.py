"""Rules that only a sandbox can show: its clock, its faults, its webhooks and its account."""

import threading
from typing import Any
from uuid import uuid4

import httpx
import pytest
import stripe

from tests.sandbox import servers
from tests.sandbox.conftest import Shop
from tests.sandbox.servers import SECRET, Receiver, Sandbox

HEADERS = {"Authorization": "Bearer sk_test_sandbox"}


def create(sandbox: Sandbox, key: str) -> httpx.Response:
    headers = {**HEADERS, "Idempotency-Key": key}
    return sandbox.http.post("/v1/customers", headers=headers, data={"name": "Eve"})


def test_a_key_is_forgotten_after_24_hours(own: Sandbox) -> None:
    key = uuid4().hex
    first = create(own, key).json()["id"]
    own.advance(seconds=23 * 3_600)
    assert create(own, key).json()["id"] == first
    own.advance(seconds=2 * 3_600)
    assert create(own, key).json()["id"] != first


def test_a_key_in_flight_is_a_conflict(sandbox: Sandbox) -> None:
    key = uuid4().hex
    slow = {"match": "POST /v1/customers", "times": 1, "delay_seconds": 1}
    sandbox.control("faults", api=[slow])
    answers: list[int] = []
    caller = threading.Thread(target=lambda: answers.append(create(sandbox, key).status_code))
    before = len(sandbox.see("requests")["items"])
    caller.start()
    servers.wait_for("the first", lambda: len(sandbox.see("requests")["items"]) > before)
    assert create(sandbox, key).status_code == 409
    caller.join()
    assert answers == [200]


def test_a_key_replays_a_server_error(sandbox: Sandbox) -> None:
    key = uuid4().hex
    broken = {"match": "POST /v1/customers", "times": 1, "after": 500}
    sandbox.control("faults", api=[broken])
    assert create(sandbox, key).status_code == 500
    again = create(sandbox, key)
    assert (again.status_code, again.headers["idempotent-replayed"]) == (500, "true")


def test_webhooks_are_signed_with_the_secret_and_the_time(
    sandbox: Sandbox, hooks: Receiver
) -> None:
    customer = sandbox.api.customers.create({"name": "Eve"})
    sandbox.quiet()
    # Reason: the receiver takes nothing whose signature it cannot verify.
    assert hooks.types(customer.id) == ["customer.created"]
    assert hooks.secret == SECRET


def test_webhooks_are_sent_again_until_they_are_taken(calm: Sandbox, calm_hooks: Receiver) -> None:
    calm_hooks.refusals = 1
    customer = calm.api.customers.create({"name": "Eve"})
    servers.wait_for("the refusal", lambda: calm_hooks.refusals == 0)
    late = calm.api.events.list({"delivery_success": False}).data
    assert [event.data.object.id for event in late] == [customer.id]
    calm.quiet()
    assert calm_hooks.types(customer.id) == ["customer.created"]
    assert calm.api.events.list({"delivery_success": False}).data == []


def test_with_retries_off_nothing_is_tried_again(shop: Shop, sandbox: Sandbox) -> None:
    shop.give_card("ok", "insufficient_funds")
    started = shop.subscribe()
    sandbox.advance(days=34)
    failed = shop.see(started.id)
    assert (failed.status, failed.latest_invoice.next_payment_attempt) == ("past_due", None)
    sandbox.advance(days=20)
    assert shop.see(started.id).status == "past_due"
    rows = sandbox.ledger(subscription=started.id)
    assert [row["outcome"] for row in rows] == ["succeeded", "failed"]


def test_attempts_by_hand_do_not_count(shop: Shop, sandbox: Sandbox) -> None:
    shop.give_card("ok", "insufficient_funds")
    started = shop.subscribe()
    sandbox.advance(days=34)
    invoice = shop.see(started.id).latest_invoice
    for _ in range(2):
        with pytest.raises(stripe.CardError):
            sandbox.api.invoices.pay(invoice.id)
    assert sandbox.api.invoices.retrieve(invoice.id).attempt_count == 1


@pytest.mark.parametrize(
    ("decline", "advice"),
    [
        ("insufficient_funds", "try_again_later"),
        ("lost_card", "do_not_try_again"),
        ("expired_card", "confirm_card_data"),
    ],
)
def test_declines_come_with_advice(decline: str, advice: str, shop: Shop, sandbox: Sandbox) -> None:
    card = shop.give_card(decline)
    wanted: dict[str, Any] = {
        "amount": 500,
        "currency": "usd",
        "customer": shop.customer,
        "payment_method": card,
        "confirm": True,
        "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
    }
    with pytest.raises(stripe.CardError) as declined:
        sandbox.api.payment_intents.create(wanted)
    assert declined.value.error is not None
    assert declined.value.error.advice_code == advice
