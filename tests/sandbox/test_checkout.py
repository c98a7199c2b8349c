"""Checkout: sessions, their page, and what a customer who presses the button sets off."""

from typing import Any

import httpx
import pytest
import stripe

from tests.sandbox.conftest import Shop
from tests.sandbox.servers import Receiver, Sandbox

BACK = "https://shop.example/done?s={CHECKOUT_SESSION_ID}"
LAMP = {"price_data": {"currency": "usd", "product_data": {"name": "Lamp"}, "unit_amount": 1_500}}


def open_session(sandbox: Sandbox, mode: str, **params: Any) -> Any:
    return sandbox.api.checkout.sessions.create({"mode": mode, "success_url": BACK, **params})


def complete(sandbox: Sandbox, session: Any, **typed: Any) -> httpx.Response:
    return sandbox.http.post(f"/_sandbox/checkout/{session.id}/complete", json=typed)


def completed(sandbox: Sandbox, session: Any, **typed: Any) -> Any:
    reply = complete(sandbox, session, **typed)
    assert reply.is_success, reply.text
    return sandbox.api.checkout.sessions.retrieve(session.id)


def test_a_payment(sandbox: Sandbox, hooks: Receiver) -> None:
    opened = open_session(
        sandbox,
        "payment",
        line_items=[{**LAMP, "quantity": 2}],
        client_reference_id="order 7",
        metadata={"order": "7"},
        payment_intent_data={"metadata": {"order": "7"}, "description": "Lamps"},
        expand=["line_items"],
    )
    assert (opened.status, opened.payment_status) == ("open", "unpaid")
    assert (opened.amount_total, opened.payment_intent) == (3_000, None)
    (line,) = opened.line_items.data
    assert (line.description, line.quantity, line.amount_total) == ("Lamp", 2, 3_000)
    done = completed(sandbox, opened, payment_method="pm_card_visa", email="eve@example.com")
    assert (done.status, done.payment_status, done.url) == ("complete", "paid", None)
    assert (done.customer, done.customer_details.email) == (None, "eve@example.com")
    intent = sandbox.api.payment_intents.retrieve(done.payment_intent)
    assert (intent.status, intent.amount, intent.description) == ("succeeded", 3_000, "Lamps")
    assert intent.metadata["order"] == "7"
    assert len(sandbox.ledger(payment_intent=intent.id, outcome="succeeded")) == 1
    sandbox.quiet()
    assert hooks.types(done.id) == ["checkout.session.completed"]
    assert "payment_intent.succeeded" in hooks.types(intent.id)
    assert complete(sandbox, opened, payment_method="pm_card_visa").status_code == 400


def test_a_declined_card_leaves_the_session_open(sandbox: Sandbox) -> None:
    opened = open_session(sandbox, "payment", line_items=[LAMP], customer_creation="always")
    refused = complete(sandbox, opened, payment_method=sandbox.card("insufficient_funds"))
    assert refused.status_code == 402
    assert refused.json()["error"]["decline_code"] == "insufficient_funds"
    seen = sandbox.api.checkout.sessions.retrieve(opened.id)
    assert (seen.status, seen.customer) == ("open", None)
    done = completed(sandbox, opened, payment_method="pm_card_visa", email="b@example.com")
    assert done.payment_intent == seen.payment_intent
    assert sandbox.api.customers.retrieve(done.customer).id == done.customer
    tried = sandbox.ledger(payment_intent=done.payment_intent)
    assert [row["outcome"] for row in tried] == ["failed", "succeeded"]


def test_a_subscription(shop: Shop, sandbox: Sandbox, hooks: Receiver) -> None:
    opened = open_session(
        sandbox,
        "subscription",
        line_items=[{"price": shop.price, "quantity": 3}],
        subscription_data={"metadata": {"plan": "pro"}, "description": "Pro"},
        customer_email="noah@example.com",
    )
    refused = complete(sandbox, opened, payment_method=sandbox.card("do_not_honor"))
    assert refused.status_code == 402
    done = completed(sandbox, opened, payment_method="pm_card_visa")
    assert (done.amount_total, done.payment_status) == (6_000, "paid")
    started = shop.see(done.subscription)
    assert (started.status, started.description) == ("active", "Pro")
    assert (started.metadata["plan"], started["items"].data[0].quantity) == ("pro", 3)
    assert (started.customer, started.latest_invoice.id) == (done.customer, done.invoice)
    assert sandbox.api.customers.retrieve(done.customer).email == "noah@example.com"
    method = sandbox.api.payment_methods.retrieve(started.default_payment_method)
    assert method.customer == done.customer
    assert len(sandbox.api.subscriptions.list({"customer": done.customer}).data) == 1
    sandbox.quiet()
    assert {"customer.subscription.created"} <= set(hooks.types(done.subscription))
    assert {"invoice.paid"} <= set(hooks.types(done.invoice))
    listed = sandbox.api.checkout.sessions.list({"subscription": done.subscription}).data
    assert [session.id for session in listed] == [done.id]


def test_a_trial_needs_no_card_where_the_session_says_so(shop: Shop, sandbox: Sandbox) -> None:
    params = {
        "line_items": [{"price": shop.price}],
        "customer": shop.customer,
        "subscription_data": {
            "trial_period_days": 7,
            "trial_settings": {"end_behavior": {"missing_payment_method": "cancel"}},
        },
    }
    opened = open_session(sandbox, "subscription", **params)
    assert complete(sandbox, opened).status_code == 400
    free = open_session(sandbox, "subscription", payment_method_collection="if_required", **params)
    assert (free.amount_total, free.payment_method_collection) == (0, "if_required")
    done = completed(sandbox, free)
    assert (done.customer, done.payment_status) == (shop.customer, "no_payment_required")
    started = sandbox.api.subscriptions.retrieve(done.subscription)
    assert (started.status, started.default_payment_method) == ("trialing", None)


def test_a_subscription_with_an_extra_charge_and_a_coupon(shop: Shop, sandbox: Sandbox) -> None:
    coupon = sandbox.api.coupons.create({"percent_off": 10, "duration": "forever"})
    opened = open_session(
        sandbox,
        "subscription",
        line_items=[{"price": shop.price}, LAMP],
        customer=shop.customer,
        discounts=[{"coupon": coupon.id}],
    )
    assert (opened.amount_subtotal, opened.amount_total) == (3_500, 3_150)
    done = completed(sandbox, opened, payment_method="pm_card_visa")
    started = shop.see(done.subscription)
    assert (started.latest_invoice.total, started.latest_invoice.status) == (3_150, "paid")
    assert [item.price.id for item in started["items"].data] == [shop.price]
    assert len(started.discounts) == 1
    assert sandbox.api.coupons.retrieve(coupon.id).times_redeemed == 1


def test_a_setup(shop: Shop, sandbox: Sandbox) -> None:
    opened = open_session(
        sandbox,
        "setup",
        currency="usd",
        customer=shop.customer,
        setup_intent_data={"metadata": {"a": "1"}},
    )
    assert (opened.amount_total, opened.payment_status) == (None, "no_payment_required")
    done = completed(sandbox, opened, payment_method="pm_card_visa")
    intent = sandbox.api.setup_intents.retrieve(done.setup_intent)
    assert (intent.status, intent.metadata["a"]) == ("succeeded", "1")
    method = sandbox.api.payment_methods.retrieve(intent.payment_method)
    assert method.customer == shop.customer


def test_promotion_codes(sandbox: Sandbox) -> None:
    coupon = sandbox.api.coupons.create({"percent_off": 50, "max_redemptions": 1})
    code = sandbox.api.promotion_codes.create(
        {"promotion": {"type": "coupon", "coupon": coupon.id}}
    )
    closed = open_session(sandbox, "payment", line_items=[LAMP])
    typed = {"payment_method": "pm_card_visa", "promotion_code": code.code.lower()}
    assert "no promotion codes" in complete(sandbox, closed, **typed).text
    opened = open_session(sandbox, "payment", line_items=[LAMP], allow_promotion_codes=True)
    assert complete(sandbox, opened, **(typed | {"promotion_code": "NONE"})).status_code == 400
    done = completed(sandbox, opened, **typed)
    assert (done.amount_subtotal, done.amount_total) == (1_500, 750)
    assert done.total_details.amount_discount == 750
    assert done.discounts[0].promotion_code == code.id
    assert sandbox.api.payment_intents.retrieve(done.payment_intent).amount == 750
    paths = ["discounts.promotion_code.promotion.coupon", "discounts.promotion_code"]
    expanded = sandbox.api.checkout.sessions.retrieve(done.id, {"expand": paths})
    assert expanded.discounts[0].promotion_code.promotion.coupon.percent_off == 50
    seen = sandbox.api.coupons.retrieve(coupon.id)
    assert (seen.valid, seen.times_redeemed) == (False, 1)
    assert sandbox.api.promotion_codes.retrieve(code.id).active is False
    with pytest.raises(stripe.InvalidRequestError, match="Coupon expired"):
        open_session(sandbox, "payment", line_items=[LAMP], discounts=[{"coupon": coupon.id}])


def test_sessions_expire_after_a_day_or_on_demand(own: Sandbox) -> None:
    api = own.api.checkout.sessions
    opened = open_session(own, "payment", line_items=[LAMP])
    assert opened.expires_at - opened.created == 86_400
    soon = open_session(own, "payment", line_items=[LAMP], expires_at=int(own.now()) + 2_000)
    stopped = api.expire(open_session(own, "payment", line_items=[LAMP]).id)
    assert (stopped.status, stopped.url) == ("expired", None)
    with pytest.raises(stripe.InvalidRequestError, match="can be expired"):
        api.expire(stopped.id)
    own.advance(seconds=2_001)
    assert [api.retrieve(s.id).status for s in (soon, opened)] == ["expired", "open"]
    own.advance(days=1)
    assert {session.id for session in api.list({"status": "open"}).data} == set()
    assert complete(own, opened, payment_method="pm_card_visa").status_code == 400
    told = own.api.events.list({"type": "checkout.session.expired"}).data
    assert [event.data.object.id for event in told] == [opened.id, soon.id, stopped.id]


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"mode": "payment"}, "line_items"),
        ({"mode": "setup", "line_items": [LAMP]}, "line_items"),
        ({"mode": "payment", "line_items": [{"quantity": 2}]}, "price"),
        (
            {"mode": "payment", "line_items": [LAMP], "subscription_data": {"description": "d"}},
            "subscription_data",
        ),
        ({"mode": "subscription", "line_items": [LAMP]}, "recurring"),
        ({"mode": "payment", "line_items": [LAMP], "expires_at": 1}, "expires_at"),
        (
            {
                "mode": "payment",
                "line_items": [LAMP],
                "customer": "c",
                "customer_email": "e@example.com",
            },
            "customer",
        ),
    ],
)
def test_senseless_sessions_are_refused(params: Any, words: str, sandbox: Sandbox) -> None:
    with pytest.raises(stripe.InvalidRequestError, match=words):
        sandbox.api.checkout.sessions.create({"success_url": BACK, **params})


def test_recurring_prices_are_no_payment(shop: Shop, sandbox: Sandbox) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="recurring price"):
        open_session(sandbox, "payment", line_items=[{"price": shop.price}])


def test_people_can_use_the_page(sandbox: Sandbox) -> None:
    opened = open_session(sandbox, "payment", line_items=[LAMP], cancel_url="https://x.example")
    path = opened.url.removeprefix(sandbox.url)
    page = sandbox.http.get(path)
    assert "1500 usd" in page.text
    declined = sandbox.http.post(path, data={"payment_method": sandbox.card("lost_card")})
    assert (declined.status_code, "declined" in declined.text) == (402, True)
    paid = sandbox.http.post(path, data={"payment_method": "pm_card_visa"})
    assert paid.status_code == 303
    assert paid.headers["location"] == BACK.replace("{CHECKOUT_SESSION_ID}", opened.id)
    assert "complete" in sandbox.http.get(path).text
    assert sandbox.http.get("/c/pay/cs_test_none").status_code == 404


@pytest.mark.parametrize("mode", ["payment", "subscription", "setup"])
def test_customers_pass_3d_secure(mode: str, shop: Shop, sandbox: Sandbox) -> None:
    lines = {"payment": [LAMP], "subscription": [{"price": shop.price}]}
    params = {"line_items": lines[mode]} if mode in lines else {"currency": "usd"}
    opened = open_session(sandbox, mode, customer=shop.customer, **params)
    done = completed(sandbox, opened, payment_method="pm_card_authenticationRequired")
    assert done.status == "complete"
    if mode == "subscription":
        assert shop.see(done.subscription).status == "active"
    elif mode == "payment":
        assert sandbox.api.payment_intents.retrieve(done.payment_intent).status == "succeeded"
    else:
        assert sandbox.api.setup_intents.retrieve(done.setup_intent).status == "succeeded"


def test_the_calls_of_stripes_cli(sandbox: Sandbox) -> None:
    opened = open_session(sandbox, "payment", line_items=[{**LAMP, "quantity": 2}])
    key = {"Authorization": "Bearer sk_test_sandbox"}
    path = f"/v1/payment_pages/{opened.id}"
    assert sandbox.http.get(path, headers=key).json()["id"] == opened.id
    form = {"payment_method": "pm_card_visa", "expected_amount": "3001"}
    wrong = sandbox.http.post(f"{path}/confirm", headers=key, data=form)
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "expected_amount")
    form["expected_amount"] = "3000"
    right = sandbox.http.post(f"{path}/confirm", headers=key, data=form)
    assert right.json()["payment_status"] == "paid"
