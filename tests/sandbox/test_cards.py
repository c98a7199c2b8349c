"""Cards: what Stripe's test cards say, and how it is told."""

from typing import Any

import pytest
import stripe

from sandbox.stripe.cards import BY_NUMBER, TEST_CARDS, is_luhn
from tests.sandbox.conftest import Shop
from tests.sandbox.paying import charge_of, keep, pay, told
from tests.sandbox.servers import Sandbox


def refusal(call: Any, *args: Any, **more: Any) -> Any:
    with pytest.raises(stripe.CardError) as caught:
        call(*args, **more)
    assert caught.value.http_status == 402
    return caught.value.error


def card(number: str, **more: Any) -> Any:
    given = {"number": number, "exp_month": 12, "exp_year": 2050, "cvc": "123", **more}
    return {"type": "card", "card": given}


def test_every_number_has_its_check_digit() -> None:
    wrong = [number for number in BY_NUMBER if not is_luhn(number)]
    assert (wrong, len(BY_NUMBER) > 80) == ([], True)
    assert not is_luhn("4242424242424241")


@pytest.mark.parametrize(
    ("name", "brand", "funding", "last4", "country"),
    [
        ("visa", "visa", "credit", "4242", "US"),
        ("visa_debit", "visa", "debit", "5556", "US"),
        ("mastercard", "mastercard", "credit", "4444", "US"),
        ("mastercard_prepaid", "mastercard", "prepaid", "5100", "US"),
        ("amex", "amex", "credit", "0005", "US"),
        ("de", "visa", "credit", "0016", "DE"),
        ("jp", "visa", "credit", "0003", "JP"),
    ],
)
def test_cards_by_name_token_and_number(
    name: str, brand: str, funding: str, last4: str, country: str, sandbox: Sandbox
) -> None:
    """Docs: /testing#cards, /testing#international-cards"""
    api = sandbox.api.payment_methods
    number = TEST_CARDS[f"pm_card_{name}"].number
    named = pay(sandbox, f"pm_card_{name}", expand=["payment_method"]).payment_method
    by_token = api.create({"type": "card", "card": {"token": f"tok_{name}"}})
    by_number = api.create(card(number, cvc="1234" if brand == "amex" else "123"))
    for method in (named, by_token, by_number):
        seen = method.card
        assert (seen.brand, seen.funding, seen.last4, seen.country) == (
            brand,
            funding,
            last4,
            country,
        )
    assert len({method.card.fingerprint for method in (named, by_token, by_number)}) == 1
    assert pay(sandbox, by_number.id).status == "succeeded"


def test_fingerprints_tell_cards_apart(sandbox: Sandbox) -> None:
    """Docs: /api/payment_methods/object#payment_method_object-card-fingerprint"""
    make = sandbox.api.payment_methods.create
    prints = {
        make({"type": "card", "card": {"token": token}}).card.fingerprint
        for token in ("tok_visa", "tok_mastercard", "tok_fr", "tok_visa")
    }
    assert len(prints) == 3


@pytest.mark.parametrize(
    ("name", "code", "decline", "advice", "network"),
    [
        ("visa_chargeDeclined", "card_declined", "generic_decline", None, "05"),
        (
            "chargeDeclinedInsufficientFunds",
            "card_declined",
            "insufficient_funds",
            "try_again_later",
            "51",
        ),
        ("visa_chargeDeclinedLostCard", "card_declined", "lost_card", "do_not_try_again", "41"),
        (
            "visa_chargeDeclinedStolenCard",
            "card_declined",
            "stolen_card",
            "do_not_try_again",
            "43",
        ),
        ("chargeDeclinedExpiredCard", "expired_card", None, "confirm_card_data", "54"),
        ("chargeDeclinedIncorrectCvc", "incorrect_cvc", None, "confirm_card_data", "N7"),
        ("chargeDeclinedProcessingError", "processing_error", None, "try_again_later", "96"),
        (
            "visa_chargeDeclinedVelocityLimitExceeded",
            "card_declined",
            "card_velocity_exceeded",
            "try_again_later",
            "61",
        ),
        ("chargeCustomerFail", "card_declined", "generic_decline", None, "05"),
    ],
)
def test_declines_by_name(
    name: str,
    code: str,
    decline: str | None,
    advice: str | None,
    network: str,
    sandbox: Sandbox,
) -> None:
    """Docs: /testing#declined-payments, /declines/codes"""
    error = refusal(pay, sandbox, f"pm_card_{name}")
    told_codes = (error.code, error.decline_code, error.advice_code, error.network_decline_code)
    assert told_codes == (code, decline, advice, network)
    assert error.doc_url.endswith(code.replace("_", "-"))
    assert error.param == {"expired_card": "exp_month", "incorrect_cvc": "cvc"}.get(code)
    intent = error.payment_intent
    assert (intent.status, intent.payment_method) == ("requires_payment_method", None)
    assert intent.last_payment_error.payment_method.id == error.payment_method.id
    charge = sandbox.api.charges.retrieve(error.charge)
    assert (charge.status, charge.failure_code, charge.paid) == ("failed", code, False)
    outcome = charge.outcome
    assert (outcome.type, outcome.network_status, outcome.advice_code) == (
        "issuer_declined",
        "declined_by_network",
        advice,
    )
    assert outcome.network_decline_code == network


def test_network_advice(sandbox: Sandbox) -> None:
    """Docs: /declines/card#network-advice-codes"""
    error = refusal(pay, sandbox, sandbox.card("lost_card"))
    assert error.network_advice_code == "03"
    charge = sandbox.api.charges.retrieve(error.charge)
    assert charge.outcome.network_advice_code == "03"


def test_only_one_declining_card_can_be_attached(shop: Shop) -> None:
    """Docs: /testing#declined-payments"""
    kept = keep(shop, "pm_card_chargeCustomerFail")
    refusal(pay, shop.sandbox, kept, customer=shop.customer)
    for name in ("pm_card_chargeDeclined", "pm_card_visa_chargeDeclinedStolenCard"):
        assert refusal(keep, shop, name).code == "card_declined"


@pytest.mark.parametrize(
    ("name", "level", "is_blocked"),
    [
        ("pm_card_visa", "normal", False),
        ("pm_card_riskLevelElevated", "elevated", False),
        ("pm_card_riskLevelHighest", "highest", True),
        ("pm_card_radarBlock", "highest", True),
    ],
)
def test_risk(name: str, level: str, is_blocked: bool, sandbox: Sandbox) -> None:
    """Docs: /testing#fraud-prevention"""
    if not is_blocked:
        outcome = charge_of(sandbox, pay(sandbox, name)).outcome
        assert (outcome.risk_level, outcome.type) == (level, "authorized")
        return
    error = refusal(pay, sandbox, name)
    outcome = sandbox.api.charges.retrieve(error.charge).outcome
    assert (error.decline_code, outcome.risk_level, outcome.type, outcome.network_status) == (
        "fraudulent",
        level,
        "blocked",
        "not_sent_to_network",
    )


def test_checks_that_fail(sandbox: Sandbox) -> None:
    """Docs: /testing#fraud-prevention"""
    charge = charge_of(sandbox, pay(sandbox, "pm_card_avsZipFail"))
    checks = charge.payment_method_details.card.checks
    assert (checks.address_postal_code_check, checks.address_line1_check) == ("fail", None)


@pytest.mark.parametrize(
    ("given", "code", "param"),
    [
        (card("4242424242424241"), "incorrect_number", "number"),
        (card("4242424242424242", exp_month=13), "invalid_expiry_month", "exp_month"),
        (card("4242424242424242", exp_year=1970), "invalid_expiry_year", "exp_year"),
        (card("4242424242424242", cvc="99"), "invalid_cvc", "cvc"),
        (card("5454545454545454"), "card_declined", None),
    ],
)
def test_numbers_that_are_none(given: Any, code: str, param: str | None, sandbox: Sandbox) -> None:
    """Docs: /testing#invalid-data"""
    error = refusal(sandbox.api.payment_methods.create, given)
    assert (error.code, error.param) == (code, param)


def test_what_a_card_needs(sandbox: Sandbox) -> None:
    make = sandbox.api.payment_methods.create
    for given, param in (
        ({"type": "card", "card": {"number": "4242424242424242"}}, "card[exp_month]"),
        ({"type": "card", "card": {"token": "tok_nobody"}}, "card[token]"),
        ({"type": "card"}, "card"),
    ):
        with pytest.raises(stripe.InvalidRequestError) as caught:
            make(given)
        assert caught.value.param == param


def test_cards_expire(shop: Shop) -> None:
    """Docs: /declines/codes, /testing#declined-payments"""
    sandbox = shop.sandbox
    made = sandbox.control("payment-methods", exp_month=1, exp_year=2020)
    error = refusal(pay, sandbox, made["id"])
    assert (error.code, error.advice_code) == ("expired_card", "confirm_card_data")


def test_banks_renew_cards(shop: Shop) -> None:
    """Docs: /payments/cards/overview#automatic-card-updates"""
    sandbox = shop.sandbox
    made = sandbox.control("payment-methods", exp_month=1, exp_year=2020)
    method = keep(shop, made["id"])
    renewal = {"exp_month": 2, "exp_year": 2048, "last4": "1881"}
    sandbox.control(f"payment-methods/{method}/renew", **renewal)
    seen = sandbox.api.payment_methods.retrieve(method).card
    assert (seen.exp_month, seen.exp_year, seen.last4) == (2, 2048, "1881")
    assert told(sandbox, "payment_method", method)[-1] == "payment_method.automatically_updated"
    assert pay(sandbox, method, customer=shop.customer).status == "succeeded"


def test_a_card_is_described(shop: Shop) -> None:
    """Docs: /api/payment_methods/update"""
    sandbox = shop.sandbox
    api = sandbox.api.payment_methods
    described = {"billing_details": {"name": "Eve", "address": {"city": "Bonn"}}}
    made = api.create({**card("4242424242424242"), **described, "allow_redisplay": "always"})
    with pytest.raises(stripe.InvalidRequestError, match="attached"):
        api.update(made.id, {"metadata": {"a": "1"}})
    method = keep(shop, made.id)
    changes = {"billing_details": {"address": {"country": "DE"}}, "metadata": {"a": "1"}}
    seen = api.update(method, {**changes, "card": {"exp_month": 3, "exp_year": 51}})
    details = seen.billing_details
    assert (details.name, details.address.city, details.address.country) == ("Eve", "Bonn", "DE")
    assert (seen.card.exp_month, seen.card.exp_year) == (3, 2051)
    assert told(sandbox, "payment_method", method)[-1] == "payment_method.updated"
    listed = api.list({"customer": shop.customer, "allow_redisplay": "always"})
    assert [entry.id for entry in listed.data] == [method]
    assert api.list({"customer": shop.customer, "allow_redisplay": "limited"}).data == []
    charge = charge_of(sandbox, pay(sandbox, method, customer=shop.customer))
    assert charge.billing_details.address.country == "DE"
