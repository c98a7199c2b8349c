"""Payment intents: confirmed, changed, captured, canceled; and what a card may be used for."""

from typing import Any

import pytest
import stripe

from tests.sandbox.conftest import Shop, open_shop
from tests.sandbox.paying import AUTH, CARDS, charge_of, keep, pay, told
from tests.sandbox.servers import Sandbox

WAY = {"name": "Eve", "address": {"line1": "1 Main Street", "country": "US"}}


def refusal(call: Any, *args: Any) -> Any:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        call(*args)
    return caught.value


def test_what_is_given_is_shown(sandbox: Sandbox) -> None:
    """Docs: /api/payment_intents/create"""
    given: dict[str, Any] = {
        "receipt_email": "eve@example.com",
        "statement_descriptor_suffix": "BOOK",
        "shipping": WAY,
        "metadata": {"order": "1"},
    }
    intent = pay(sandbox, return_url="https://example.com/back", **given)
    assert (intent.status, intent.capture_method) == ("succeeded", "automatic_async")
    assert (intent.receipt_email, intent.shipping.address.city) == ("eve@example.com", None)
    charge = charge_of(sandbox, intent)
    assert (charge.receipt_email, charge.metadata["order"]) == ("eve@example.com", "1")
    assert (charge.shipping.name, charge.calculated_statement_descriptor[-4:]) == ("Eve", "BOOK")
    assert sandbox.http.get(charge.receipt_url).is_success


def test_card_types_are_the_accounts_unless_named(sandbox: Sandbox) -> None:
    """Docs: /upgrades#2023-08-16"""
    body = {"amount": 1_000, "currency": "usd"}
    automatic = sandbox.api.payment_intents.create(body)
    assert automatic.automatic_payment_methods.to_dict() == {
        "enabled": True,
        "allow_redirects": "always",
    }
    named = sandbox.api.payment_intents.create({**body, **CARDS})
    assert named.automatic_payment_methods is None


def test_a_confirmation_needs_a_way_back(shop: Shop) -> None:
    """Docs: /upgrades#2023-08-16, /payments/accept-a-payment-synchronously"""
    api = shop.sandbox.api
    body = {"amount": 1_000, "currency": "usd", "payment_method": "pm_card_visa", "confirm": True}
    with pytest.raises(stripe.InvalidRequestError, match="return_url"):
        api.payment_intents.create(body)
    with pytest.raises(stripe.InvalidRequestError, match="return_url"):
        api.setup_intents.create({"payment_method": "pm_card_visa", "confirm": True})
    never = {"enabled": True, "allow_redirects": "never"}
    for way in ({"return_url": "https://example.com"}, {"automatic_payment_methods": never}):
        assert api.payment_intents.create({**body, **way}).status == "succeeded"


def test_nobody_sets_up_while_away(shop: Shop) -> None:
    """Docs: /api/payment_intents/create#create_payment_intent-setup_future_usage"""
    wish: dict[str, Any] = {"setup_future_usage": "off_session", "off_session": True}
    with pytest.raises(stripe.InvalidRequestError) as refused:
        pay(shop.sandbox, customer=shop.customer, **wish)
    assert refused.value.param == "off_session"


def test_elder_parameter_names_go_with_elder_versions(sandbox: Sandbox) -> None:
    form = {"amount": "1000", "currency": "usd", "payment_method_types[]": "card"}
    elder = sandbox.http.post("/v1/payment_intents", headers=AUTH, data=form)
    assert elder.json()["allowed_payment_method_types"] == ["card"]
    del form["payment_method_types[]"]
    former = sandbox.http.post("/v1/payment_intents", headers=AUTH, data=form).json()
    assert former["automatic_payment_methods"] is None
    form["payment_method_types[]"] = "card"
    present = {**AUTH, "Stripe-Version": stripe.api_version}
    reply = sandbox.http.post("/v1/payment_intents", headers=present, data=form)
    error = reply.json()["error"]
    assert error["code"] == "payment_method_types_no_longer_supported"
    assert error["param"] == "payment_method_types"


@pytest.mark.parametrize(
    ("amount", "currency", "code"),
    [
        (49, "usd", "amount_too_small"),
        (50, "usd", None),
        (29, "gbp", "amount_too_small"),
        (49, "jpy", "amount_too_small"),
        (50, "JPY", None),
        (100_000_000, "usd", "amount_too_large"),
    ],
)
def test_amounts_have_bounds(
    amount: int, currency: str, code: str | None, sandbox: Sandbox
) -> None:
    """Docs: /currencies#minimum-and-maximum-charge-amounts"""
    body = {"amount": amount, "currency": currency}
    if code is None:
        assert sandbox.api.payment_intents.create(body).currency == currency.lower()
        return
    error = refusal(sandbox.api.payment_intents.create, body)
    assert (error.http_status, error.code, error.param) == (400, code, "amount")


@pytest.mark.parametrize(
    ("amount", "currency", "param"), [(1_005, "kwd", "amount"), (1_000, "xyz", "currency")]
)
def test_money_that_is_none(amount: int, currency: str, param: str, sandbox: Sandbox) -> None:
    """Docs: /currencies#three-decimal"""
    error = refusal(sandbox.api.payment_intents.create, {"amount": amount, "currency": currency})
    assert error.param == param
    assert pay(sandbox, amount=1_010, currency="kwd").status == "succeeded"


def test_words_of_a_confirmation_need_one(sandbox: Sandbox) -> None:
    """Docs: /api/payment_intents/create#create_payment_intent-off_session"""
    body = {"amount": 1_000, "currency": "usd"}
    for early in ({"off_session": True}, {"return_url": "https://example.com"}):
        error = refusal(sandbox.api.payment_intents.create, {**body, **early})
        assert error.param == next(iter(early))
    error = refusal(sandbox.api.payment_intents.create, {**body, "confirm": True})
    assert error.code == "payment_intent_unexpected_state"


def test_an_intent_is_changed_until_it_is_paid(shop: Shop) -> None:
    """Docs: /api/payment_intents/update"""
    api = shop.sandbox.api.payment_intents
    intent = api.create({"amount": 1_000, "currency": "usd", **CARDS})
    changed = api.update(
        intent.id,
        {"amount": 1_500, "customer": shop.customer, "payment_method": keep(shop, "pm_card_visa")},
    )
    assert (changed.status, changed.amount) == ("requires_confirmation", 1_500)
    emptied = api.update(intent.id, {"payment_method": ""})
    assert (emptied.status, emptied.payment_method) == ("requires_payment_method", None)
    api.update(intent.id, {"payment_method": changed.payment_method})
    paid = api.confirm(intent.id)
    assert (paid.status, paid.amount_received) == ("succeeded", 1_500)
    error = refusal(api.update, intent.id, {"amount": 2_000})
    assert error.code == "payment_intent_unexpected_state"
    assert error.error.payment_intent.id == intent.id
    assert api.update(intent.id, {"metadata": {"late": "1"}}).metadata["late"] == "1"
    assert refusal(api.confirm, intent.id).code == "payment_intent_unexpected_state"


def test_an_authorization_is_captured(sandbox: Sandbox) -> None:
    """Docs: /payments/place-a-hold-on-a-payment-method"""
    intent = pay(sandbox, capture_method="manual")
    assert (intent.status, intent.amount_capturable) == ("requires_capture", 1_000)
    held = charge_of(sandbox, intent)
    assert (held.paid, held.captured, held.balance_transaction) == (True, False, None)
    until = held.payment_method_details.card.capture_before
    assert until - held.created == 7 * 86_400
    assert sandbox.ledger(payment_intent=intent.id) == []
    with pytest.raises(stripe.InvalidRequestError, match="cancel its PaymentIntent"):
        sandbox.api.refunds.create({"payment_intent": intent.id})
    done = sandbox.api.payment_intents.capture(intent.id)
    assert (done.status, done.amount_received, done.amount_capturable) == ("succeeded", 1_000, 0)
    (row,) = sandbox.ledger(payment_intent=intent.id)
    assert (row["kind"], row["outcome"], row["amount"]) == ("charge", "succeeded", 1_000)
    assert told(sandbox, "charge", held) == ["charge.succeeded", "charge.captured"]
    assert told(sandbox, "payment_intent", intent) == [
        "payment_intent.created",
        "payment_intent.amount_capturable_updated",
        "payment_intent.succeeded",
    ]
    error = refusal(sandbox.api.payment_intents.capture, intent.id)
    assert error.code == "payment_intent_unexpected_state"


def test_a_part_is_captured_and_the_rest_let_go(sandbox: Sandbox) -> None:
    """Docs: /payments/place-a-hold-on-a-payment-method#capture-funds"""
    intent = pay(sandbox, capture_method="manual")
    api = sandbox.api.payment_intents
    error = refusal(api.capture, intent.id, {"amount_to_capture": 1_001})
    assert (error.code, error.param) == ("amount_too_large", "amount_to_capture")
    assert api.capture(intent.id, {"amount_to_capture": 600}).amount_received == 600
    charge = charge_of(sandbox, intent, "balance_transaction", "refunds")
    assert (charge.amount_captured, charge.amount_refunded, charge.refunded) == (600, 400, False)
    assert (charge.balance_transaction.amount, charge.balance_transaction.fee) == (600, 47)
    (rest,) = charge.refunds.data
    assert (rest.amount, rest.balance_transaction) == (400, None)
    assert [row["amount"] for row in sandbox.ledger(payment_intent=intent.id)] == [600]
    assert sandbox.api.refunds.create({"charge": charge.id}).amount == 600


def test_a_charge_is_captured_as_well(sandbox: Sandbox) -> None:
    """Docs: /api/charges/capture"""
    intent = pay(sandbox, capture_method="manual")
    charge = sandbox.api.charges.capture(intent.latest_charge, {"amount": 700})
    assert (charge.captured, charge.amount_captured) == (True, 700)
    assert sandbox.api.payment_intents.retrieve(intent.id).status == "succeeded"
    error = refusal(sandbox.api.charges.capture, intent.latest_charge)
    assert error.code == "charge_already_captured"


@pytest.mark.parametrize("way", ["cancel", "lapse"])
def test_an_authorization_is_let_go(way: str, sandbox: Sandbox) -> None:
    """Docs: /payments/place-a-hold-on-a-payment-method, /api/payment_intents/cancel"""
    intent = pay(sandbox, capture_method="manual")
    if way == "cancel":
        sandbox.api.payment_intents.cancel(intent.id, {"cancellation_reason": "duplicate"})
    else:
        sandbox.advance(days=7)
    seen = sandbox.api.payment_intents.retrieve(intent.id)
    reason = {"cancel": "duplicate", "lapse": "expired"}[way]
    assert (seen.status, seen.cancellation_reason, seen.amount_capturable) == (
        "canceled",
        reason,
        0,
    )
    charge = charge_of(sandbox, intent)
    assert (charge.refunded, charge.captured, charge.amount_refunded) == (True, False, 1_000)
    kind = {"cancel": "charge.refunded", "lapse": "charge.expired"}[way]
    assert told(sandbox, "charge", charge) == ["charge.succeeded", kind]
    assert sandbox.ledger(payment_intent=intent.id) == []


def test_a_charge_is_annotated(sandbox: Sandbox) -> None:
    """Docs: /api/charges/update"""
    intent = pay(sandbox)
    charge = charge_of(sandbox, intent)
    changes = {"metadata": {"a": "1"}, "fraud_details": {"user_report": "safe"}}
    changed = sandbox.api.charges.update(charge.id, {**changes, "description": "Book"})
    assert (changed.description, changed.fraud_details.user_report) == ("Book", "safe")
    assert told(sandbox, "charge", charge)[-1] == "charge.updated"


def test_a_card_that_nobody_keeps_pays_once(shop: Shop) -> None:
    """Docs: /payments/payment-methods#customer-less, /api/payment_methods"""
    sandbox = shop.sandbox
    for customer in ({}, {"customer": shop.customer}):
        intent = pay(sandbox, sandbox.card("ok"), **customer)
        assert sandbox.api.payment_methods.retrieve(intent.payment_method).customer is None
        with pytest.raises(stripe.InvalidRequestError) as spent:
            pay(sandbox, intent.payment_method, **customer)
        assert spent.value.code == "payment_method_unexpected_state"


def test_a_card_is_kept_for_later_if_asked(shop: Shop) -> None:
    """Docs: /payments/save-during-payment"""
    sandbox = shop.sandbox
    intent = pay(
        sandbox, sandbox.card("ok"), customer=shop.customer, setup_future_usage="off_session"
    )
    kept = sandbox.api.payment_methods.retrieve(intent.payment_method)
    assert kept.customer == shop.customer
    assert told(sandbox, "payment_method", kept) == ["payment_method.attached"]
    again = pay(sandbox, kept.id, customer=shop.customer, off_session=True)
    assert again.status == "succeeded"
    with pytest.raises(stripe.InvalidRequestError):
        pay(sandbox, kept.id, customer=open_shop(sandbox).customer)


def test_listing(shop: Shop) -> None:
    made = [pay(shop.sandbox, customer=shop.customer).id for _ in range(2)]
    listed = shop.sandbox.api.payment_intents.list({"customer": shop.customer})
    assert [intent.id for intent in listed.data] == made[::-1]
