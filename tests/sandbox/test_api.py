"""The API's manners: errors, lists, expansion, idempotency keys, faults, and its own log."""

import threading
import uuid
from typing import Any

import httpx
import pytest
import stripe

from tests.sandbox.conftest import Shop, open_shop
from tests.sandbox.servers import Sandbox, wait_for

KEY = {"Authorization": "Bearer sk_test_sandbox"}


def log_of(sandbox: Sandbox, key: str) -> list[dict[str, Any]]:
    rows = sandbox.see("requests")["items"]
    return [row for row in rows if row["idempotency_key"] == key]


def error_of(reply: httpx.Response) -> dict[str, Any]:
    error: dict[str, Any] = reply.json()["error"]
    return error


def test_unknown_route_and_key(sandbox: Sandbox) -> None:
    reply = sandbox.http.get("/v1/unicorns", headers=KEY)
    assert (reply.status_code, error_of(reply)["type"]) == (404, "invalid_request_error")
    assert "GET: /v1/unicorns" in error_of(reply)["message"]
    assert reply.headers["request-id"].startswith("req_")
    for given in ({}, {"Authorization": "Bearer sk_live_x"}, {"Authorization": "Basic !"}):
        assert sandbox.http.get("/v1/balance", headers=given).status_code == 401
    assert sandbox.http.get("/v1/balance", auth=("sk_test_x", "")).status_code == 200


@pytest.mark.parametrize(
    ("form", "code", "param"),
    [
        ({"colour": "red"}, "parameter_unknown", "colour"),
        ({"invoice_settings[colour]": "1"}, "parameter_unknown", "invoice_settings[colour]"),
        ({"invoice_settings": "x"}, None, "invoice_settings"),
    ],
)
def test_bad_parameters(
    form: dict[str, str], code: str | None, param: str, sandbox: Sandbox
) -> None:
    reply = sandbox.http.post("/v1/customers", headers=KEY, data=form)
    error = error_of(reply)
    assert (reply.status_code, error.get("code"), error["param"]) == (400, code, param)


def test_missing_and_malformed_parameters_by_path(shop: Shop, sandbox: Sandbox) -> None:
    base = {"customer": shop.customer, "items[0][price]": shop.price}
    for form, code, param in (
        ({"items[0][price]": shop.price}, "parameter_missing", "customer"),
        ({**base, "items[0][prise]": "1"}, "parameter_unknown", "items[0][prise]"),
        ({**base, "items[0][quantity]": "two"}, "parameter_invalid_integer", "items[0][quantity]"),
        ({**base, "payment_behavior": "hope"}, None, "payment_behavior"),
        ({**base, "off_session": "maybe"}, None, "off_session"),
        ({**base, "items[0][price]": "price_no"}, "resource_missing", "items[0][price]"),
    ):
        reply = sandbox.http.post("/v1/subscriptions", headers=KEY, data=form)
        error = error_of(reply)
        assert (reply.status_code, error.get("code"), error["param"]) == (400, code, param)


def test_lists_page_both_ways(shop: Shop, sandbox: Sandbox) -> None:
    made = [
        sandbox.api.payment_methods.attach(sandbox.card("ok"), {"customer": shop.customer}).id
        for _ in range(5)
    ]
    newest_first = made[::-1]
    page: Any = {"customer": shop.customer, "limit": 2}
    listing = sandbox.api.payment_methods.list
    first = listing(page)
    assert ([m.id for m in first.data], first.has_more) == (newest_first[:2], True)
    second = listing({**page, "starting_after": newest_first[1]})
    assert [m.id for m in second.data] == newest_first[2:4]
    back = listing({**page, "ending_before": newest_first[3]})
    assert ([m.id for m in back.data], back.has_more) == (newest_first[1:3], True)
    every = listing({**page}).auto_paging_iter()
    assert [m.id for m in every] == newest_first
    own = sandbox.api.customers.payment_methods.list(shop.customer)
    assert [m.id for m in own.data] == newest_first


def test_expansion(shop: Shop, sandbox: Sandbox) -> None:
    shop.give_card("ok")
    started = shop.subscribe(expand=["latest_invoice.payments", "customer"])
    assert started.customer.email == "eve@example.com"
    payment = started.latest_invoice.payments.data[0]
    assert (payment.status, payment.amount_paid) == ("paid", 2_000)
    listed = sandbox.api.subscriptions.list(
        {"customer": shop.customer, "expand": ["data.latest_invoice.confirmation_secret"]}
    )
    invoice: Any = listed.data[0].latest_invoice
    assert invoice.confirmation_secret.client_secret.startswith("pi_")
    payments = sandbox.api.invoice_payments.list(
        {"invoice": invoice.id, "expand": ["data.payment.payment_intent.latest_charge"]}
    )
    intent: Any = payments.data[0].payment.payment_intent
    assert (intent.status, intent.latest_charge.paid) == ("succeeded", True)
    with pytest.raises(stripe.InvalidRequestError, match="cannot be expanded"):
        sandbox.api.subscriptions.retrieve(started.id, {"expand": ["status"]})


def test_cards_belong_to_one_customer(shop: Shop, sandbox: Sandbox) -> None:
    api = sandbox.api.payment_methods
    mine = api.attach("pm_card_visa", {"customer": shop.customer})
    assert mine.id != "pm_card_visa"
    assert (mine.card and mine.card.last4, mine.customer) == ("4242", shop.customer)
    with pytest.raises(stripe.InvalidRequestError):
        api.attach(mine.id, {"customer": open_shop(sandbox).customer})
    api.detach(mine.id)
    with pytest.raises(stripe.InvalidRequestError):
        api.attach(mine.id, {"customer": shop.customer})
    with pytest.raises(stripe.InvalidRequestError) as missing:
        api.attach("pm_unknown", {"customer": shop.customer})
    assert (missing.value.http_status, missing.value.code) == (404, "resource_missing")
    with pytest.raises(stripe.CardError) as declined:
        api.attach("pm_card_chargeDeclined", {"customer": shop.customer})
    assert declined.value.code == "card_declined"


def test_one_off_payments(shop: Shop, sandbox: Sandbox) -> None:
    method = shop.give_card("expired_card", "authentication_required", "authentication_required")
    form: Any = {
        "amount": 700, "currency": "eur", "customer": shop.customer, "payment_method": method,
        "allowed_payment_method_types": ["card"], "confirm": True, "off_session": True,
    }  # fmt: skip
    codes = []
    for _ in range(2):
        with pytest.raises(stripe.CardError) as caught:
            sandbox.api.payment_intents.create(form)
        error: Any = caught.value.error
        assert error.payment_intent.status == "requires_payment_method"
        codes.append((error.code, error.decline_code, error.advice_code))
    assert codes == [
        ("expired_card", None, "confirm_card_data"),
        ("authentication_required", "authentication_required", None),
    ]
    waiting = sandbox.api.payment_intents.create({**form, "off_session": False})
    assert waiting.status == "requires_action"
    good = sandbox.card("ok")
    paid = sandbox.api.payment_intents.confirm(waiting.id, {"payment_method": good})
    assert (paid.status, paid.amount_received) == ("succeeded", 700)
    charges = sandbox.api.charges.list({"customer": shop.customer}).data
    assert [c.status for c in charges] == ["succeeded", "failed", "failed"]
    with pytest.raises(stripe.InvalidRequestError) as late:
        sandbox.api.payment_intents.cancel(paid.id)
    assert late.value.code == "payment_intent_unexpected_state"


def test_set_up_uses_no_script(shop: Shop, sandbox: Sandbox) -> None:
    card = sandbox.card("ok", "lost_card")
    wish = {"customer": shop.customer, "usage": "off_session"}
    intent = sandbox.api.setup_intents.create({**wish, "allowed_payment_method_types": ["card"]})
    assert intent.status == "requires_payment_method"
    done = sandbox.api.setup_intents.confirm(intent.id, {"payment_method": card})
    assert done.status == "succeeded"
    assert sandbox.api.payment_methods.retrieve(card).customer == shop.customer
    assert shop.subscribe(default_payment_method=card).status == "active"


def test_products_and_prices(sandbox: Sandbox) -> None:
    shop = open_shop(sandbox)
    price = sandbox.api.prices.update(shop.price, {"active": False})
    assert not price.active
    product: Any = price.product
    sandbox.api.products.update(product, {"name": "Pro plus", "metadata": {"plan_id": "1"}})
    assert sandbox.api.products.retrieve(product).name == "Pro plus"
    assert sandbox.api.prices.list({"product": product, "active": True}).data == []
    assert [p.id for p in sandbox.api.prices.list({"product": product}).data] == [shop.price]
    shop.give_card("ok")
    with pytest.raises(stripe.InvalidRequestError, match="inactive"):
        shop.subscribe()


def test_same_key_charges_once(shop: Shop, sandbox: Sandbox) -> None:
    shop.give_card("ok", "insufficient_funds", "ok")
    started = shop.subscribe()
    sandbox.advance(days=32)
    invoice = shop.see(started.id).latest_invoice.id
    path, key = f"/v1/invoices/{invoice}/pay", uuid.uuid4().hex
    headers = {**KEY, "Idempotency-Key": key}
    first = sandbox.http.post(path, headers=headers, data={"off_session": "true"})
    again = sandbox.http.post(path, headers=headers, data={"off_session": "true"})
    assert (first.status_code, again.content) == (200, first.content)
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert [row["replayed"] for row in log_of(sandbox, key)] == [False, True]
    assert [row["idempotency_key"] for row in sandbox.ledger(invoice=invoice)][1:] == [key]
    other = sandbox.http.post(path, headers=headers, data={"off_session": "false"})
    assert (other.status_code, error_of(other)["type"]) == (400, "idempotency_error")


def test_declines_are_kept_and_bad_parameters_are_not(shop: Shop, sandbox: Sandbox) -> None:
    method = shop.give_card("lost_card", "ok")
    key = {**KEY, "Idempotency-Key": uuid.uuid4().hex}
    form = {"amount": "500", "currency": "usd", "customer": shop.customer}
    form |= {"payment_method": method, "confirm": "true"}
    bad = sandbox.http.post("/v1/payment_intents", headers=key, data={**form, "amount": "x"})
    assert bad.status_code == 400
    for _ in range(2):
        reply = sandbox.http.post("/v1/payment_intents", headers=key, data=form)
        assert (reply.status_code, error_of(reply)["decline_code"]) == (402, "lost_card")
    assert len(sandbox.ledger(customer=shop.customer)) == 1
    sandbox.advance(days=1, seconds=1)
    assert sandbox.http.post("/v1/payment_intents", headers=key, data=form).status_code == 200


def test_key_in_flight(sandbox: Sandbox) -> None:
    key = {**KEY, "Idempotency-Key": uuid.uuid4().hex}
    fault = {"match": "POST /v1/customers", "times": 1, "delay_seconds": 1.0}
    sandbox.control("faults", api=[fault])
    replies: list[httpx.Response] = []

    def post() -> None:
        replies.append(httpx.post(f"{sandbox.url}/v1/customers", headers=key))

    slow = threading.Thread(target=post)
    slow.start()
    wait_for("the first", lambda: log_of(sandbox, key["Idempotency-Key"]))
    twin = sandbox.http.post("/v1/customers", headers=key)
    assert (twin.status_code, error_of(twin)["code"]) == (409, "idempotency_key_in_use")
    under_way, refused = log_of(sandbox, key["Idempotency-Key"])
    assert (under_way["status"], refused["status"]) == (None, 409)
    slow.join()
    again = sandbox.http.post("/v1/customers", headers=key)
    assert again.json()["id"] == replies[0].json()["id"]


@pytest.mark.parametrize(
    ("fault", "count"), [({"before": 500}, 0), ({"after": 500}, 1), ({"drop": True}, 1)]
)
def test_faults(fault: dict[str, Any], count: int, shop: Shop, sandbox: Sandbox) -> None:
    method = shop.give_card("ok")
    key = {**KEY, "Idempotency-Key": uuid.uuid4().hex}
    form = {"amount": "500", "currency": "usd", "customer": shop.customer}
    form |= {"payment_method": method, "confirm": "true"}
    match = {"match": "POST /v1/payment_*", "times": 1}
    sandbox.control("faults", api=[{**match, **fault}])
    if "drop" in fault:
        with pytest.raises(httpx.TransportError):
            sandbox.http.post("/v1/payment_intents", headers=key, data=form)
    else:
        reply = sandbox.http.post("/v1/payment_intents", headers=key, data=form)
        assert (reply.status_code, error_of(reply)["type"]) == (500, "api_error")
    assert len(sandbox.ledger(customer=shop.customer)) == count
    again = sandbox.http.post("/v1/payment_intents", headers=key, data=form)
    assert again.status_code == (500 if "after" in fault else 200)
    assert len(sandbox.ledger(customer=shop.customer)) == 1


def test_unknown_scripts_and_faults_are_refused(sandbox: Sandbox) -> None:
    for path, body in (
        ("payment-methods", {"script": ["sleepy"]}),
        ("payment-methods", {"script": []}),
        ("faults", {"api": [{"match": "POST *", "befor": 500}]}),
        ("clock/advance", {"seconds": -1}),
    ):
        assert sandbox.http.post(f"/_sandbox/{path}", json=body).status_code == 400
