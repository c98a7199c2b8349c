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


def test_a_portal_session_needs_saved_settings(own: Sandbox) -> None:
    customer = own.api.customers.create({"name": "Eve"}).id
    with pytest.raises(stripe.InvalidRequestError, match="default configuration has not been"):
        own.api.billing_portal.sessions.create({"customer": customer})
    saved = own.control("portal-settings")["id"]
    opened = own.api.billing_portal.sessions.create({"customer": customer})
    assert opened.configuration == saved


def browser(sandbox: Sandbox) -> Any:
    """Return the API as a browser has it, with a publishable key."""
    bases: Any = {"api": sandbox.url}
    return stripe.StripeClient("pk_test_browser", base_addresses=bases, max_network_retries=0).v1


CARD: Any = {
    "type": "card",
    "card": {"number": "4242424242424242", "exp_month": 12, "exp_year": 2040, "cvc": "123"},
}


def test_a_browser_confirms_with_the_client_secret(sandbox: Sandbox) -> None:
    api = browser(sandbox)
    ways: Any = {"allowed_payment_method_types": ["card"]}
    card = api.payment_methods.create(CARD).id
    intent = sandbox.api.payment_intents.create({"amount": 900, "currency": "usd", **ways})
    secret = {"client_secret": intent.client_secret}
    assert api.payment_intents.confirm(intent.id, {**secret, "payment_method": card}).status == (
        "succeeded"
    )
    kept = sandbox.api.setup_intents.create(ways)
    secret = {"client_secret": kept.client_secret}
    card = api.payment_methods.create(CARD).id
    assert api.setup_intents.confirm(kept.id, {**secret, "payment_method": card}).status == (
        "succeeded"
    )


def test_a_browser_sees_a_part_of_the_intent_only(sandbox: Sandbox) -> None:
    customer = sandbox.api.customers.create({"name": "Eve"}).id
    wanted: Any = {"amount": 900, "currency": "usd", "metadata": {"margin": "40"}}
    intent = sandbox.api.payment_intents.create({**wanted, "customer": customer})
    secret = {"client_secret": intent.client_secret}
    seen = browser(sandbox).payment_intents.retrieve(intent.id, secret).to_dict()
    assert (seen["amount"], seen["status"]) == (900, "requires_payment_method")
    assert seen.keys().isdisjoint({"customer", "latest_charge", "metadata"})
    declined = {
        **secret,
        "payment_method": "pm_card_chargeDeclined",
        "return_url": "https://x.test",
    }
    with pytest.raises(stripe.CardError) as refusal:
        browser(sandbox).payment_intents.confirm(intent.id, declined)
    assert refusal.value.error is not None
    assert refusal.value.error.payment_intent is not None
    assert "metadata" not in refusal.value.error.payment_intent.to_dict()


@pytest.mark.parametrize("kind", ["payment_intent", "setup_intent"])
def test_a_browser_needs_the_right_client_secret(kind: str, sandbox: Sandbox) -> None:
    given: Any = {"payment_intent": {"amount": 900, "currency": "usd"}, "setup_intent": {}}
    intent = getattr(sandbox.api, f"{kind}s").create(given[kind])
    other = getattr(sandbox.api, f"{kind}s").create(given[kind])
    calls = getattr(browser(sandbox), f"{kind}s")
    for call in (calls.retrieve, calls.confirm):
        with pytest.raises(stripe.InvalidRequestError) as refusal:
            call(intent.id)
        assert (refusal.value.code, refusal.value.param) == ("parameter_missing", "client_secret")
        with pytest.raises(stripe.InvalidRequestError, match="does not match") as refusal:
            call(intent.id, {"client_secret": other.client_secret})
        assert refusal.value.code == f"{kind}_invalid_parameter"


def test_a_browser_can_do_nothing_else(sandbox: Sandbox) -> None:
    api = browser(sandbox)
    calls: list[Any] = [
        api.customers.list,
        lambda: api.customers.create({"name": "Eve"}),
        lambda: api.payment_intents.create({"amount": 900, "currency": "usd"}),
        lambda: api.payment_intents.cancel("pi_1"),
        api.payment_methods.list,
        api.accounts.retrieve_current,
    ]
    for call in calls:
        with pytest.raises(stripe.PermissionError) as refusal:
            call()
        assert refusal.value.http_status == 403
        assert refusal.value.error is not None
        assert refusal.value.error.code == "secret_key_required"


def test_a_lock_asks_for_another_try(sandbox: Sandbox) -> None:
    held = {"match": "POST /v1/customers", "times": 1, "before": 429, "code": "lock_timeout"}
    sandbox.control("faults", api=[held])
    answer = create(sandbox, uuid4().hex)
    assert (answer.status_code, answer.headers["stripe-should-retry"]) == (429, "true")


def test_what_nothing_can_make_has_an_empty_list(sandbox: Sandbox) -> None:
    for path in ("payouts", "tax_rates", "tax_ids", "radar/early_fraud_warnings", "reviews"):
        listed = sandbox.http.get(f"/v1/{path}", headers=HEADERS)
        assert listed.json() == {
            "object": "list",
            "data": [],
            "has_more": False,
            "url": f"/v1/{path}",
        }
        missing = sandbox.http.get(f"/v1/{path}/x_1", headers=HEADERS)
        assert (missing.status_code, missing.json()["error"]["code"]) == (404, "resource_missing")
    for path in ("products/{}/features", "customers/{}/sources", "customers/{}/tax_ids"):
        unknown = sandbox.http.get(f"/v1/{path.format('x_1')}", headers=HEADERS)
        assert unknown.status_code == 404
