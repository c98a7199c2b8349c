"""What is in the error of a decline, and what is not there at all; each rule by its row."""

from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.stripe.declines import ADVICE, DECLINES
from tests.sandbox.conftest import Shop
from tests.sandbox.paying import AUTH
from tests.sandbox.servers import Sandbox

VERSION = "2026-10-28.endive"
OF_THE_CARD = {
    "expired_card", "incorrect_address", "incorrect_cvc", "incorrect_number", "incorrect_zip",
    "invalid_cvc", "invalid_expiry_month", "invalid_expiry_year", "invalid_number",
    "processing_error",
}  # fmt: skip


def nulls(value: Any, path: str = "") -> Iterator[str]:
    """Find the keys that are null at any depth."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if inner is None:
                yield f"{path}{name}"
            yield from nulls(inner, f"{path}{name}.")


def decline(shop: Shop, *script: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return the error of a declined payment, the intent's last error, and the charge."""
    sandbox = shop.sandbox
    card = sandbox.control("payment-methods", script=list(script))["id"]
    headers = {**AUTH, "Stripe-Version": VERSION}
    body = {
        "amount": "1000", "currency": "usd", "customer": shop.customer, "payment_method": card,
        "confirm": "true", "off_session": "true", "allowed_payment_method_types[0]": "card",
    }  # fmt: skip
    reply = sandbox.http.post("/v1/payment_intents", headers=headers, data=body)
    assert reply.status_code == 402, reply.text
    error = reply.json()["error"]
    intent = error["payment_intent"]
    charge = sandbox.http.get(f"/v1/charges/{intent['latest_charge']}", headers=headers).json()
    return error, intent["last_payment_error"], charge


@pytest.mark.parametrize("code", DECLINES)
def test_every_code_of_stripes_list_can_be_met(code: str, shop: Shop) -> None:
    error, last, charge = decline(shop, code)
    assert error["type"] == last["type"] == "card_error"
    told = code in OF_THE_CARD or code == "authentication_required"
    assert error["code"] == last["code"] == (code if told else "card_declined")
    assert error.get("decline_code") == last.get("decline_code")
    assert ("decline_code" in error) == (code not in OF_THE_CARD)
    assert charge["outcome"]["reason"] == code
    (row,) = shop.sandbox.ledger(payment_intent=error["payment_intent"]["id"])
    assert row["decline_code"] == code


@pytest.mark.parametrize("code", ["generic_decline", "expired_card", "insufficient_funds"])
def test_what_an_error_does_not_say_is_not_there(code: str, shop: Shop) -> None:
    error, last, charge = decline(shop, code)
    names = {"advice_code", "decline_code", "network_advice_code", "param"}
    for found in (error, last):
        assert not [path for path in nulls(found) if path in names]
    assert ("advice_code" in error) == ("advice_code" in last) == (code != "generic_decline")
    assert ("param" in error) == (code == "expired_card")
    assert (charge["outcome"]["advice_code"] is None) == (code == "generic_decline")


@pytest.mark.parametrize("advice", [*ADVICE, "none"])
@pytest.mark.parametrize("code", ["generic_decline", "insufficient_funds", "expired_card"])
def test_a_bank_can_give_any_advice(code: str, advice: str, shop: Shop) -> None:
    error, last, charge = decline(shop, f"{code}:{advice}")
    wanted = None if advice == "none" else advice
    for found in (error, last):
        assert found.get("advice_code") == wanted
        assert ("advice_code" in found) == (advice != "none")
    assert charge["outcome"]["advice_code"] == wanted


def test_a_decline_can_come_without_a_decline_code(shop: Shop) -> None:
    bare = {"decline": "insufficient_funds", "advice_code": None, "decline_code": None}
    error, last, charge = decline(shop, {**bare, "network_decline_code": None})
    for found in (error, last):
        assert found["code"] == "card_declined"
        assert not found.keys() & {"advice_code", "decline_code", "network_decline_code"}
    assert charge["outcome"]["network_decline_code"] is None
    error, *_ = decline(shop, {"decline": "expired_card", "decline_code": "expired_card"})
    assert (error["code"], error["decline_code"]) == ("expired_card", "expired_card")


@pytest.mark.parametrize("entry", ["none_such", "ok:none", "lost_card:maybe", {"decline": "ok"}])
def test_a_script_names_known_declines_and_advice(entry: Any, sandbox: Sandbox) -> None:
    reply = sandbox.http.post("/_sandbox/payment-methods", json={"script": [entry]})
    assert reply.status_code == 400


def test_fields_that_do_not_apply_are_left_out(shop: Shop, sandbox: Sandbox) -> None:
    shop.give_card("ok")
    started = shop.subscribe(expand=["latest_invoice.payments.data.payment.payment_intent"])
    invoice = started.latest_invoice
    charge = invoice.payments.data[0].payment.payment_intent.latest_charge
    extra: Any = {"customer": shop.customer, "amount": 500, "currency": "usd"}
    item = sandbox.api.invoice_items.create({**extra, "subscription": started.id})
    assert "status_details" not in started.to_dict()
    assert "status_details" not in invoice.to_dict()
    assert "presentment_details" not in sandbox.api.charges.retrieve(charge).to_dict()
    assert not item.to_dict().keys() & {"frozen_fields", "net_amount", "proration_details"}
    assert "price_details" not in item.pricing.to_dict()
    assert "subscription_item" not in item.parent.subscription_details.to_dict()
