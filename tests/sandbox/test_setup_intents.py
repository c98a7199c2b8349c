"""Setup intents: a card is kept without being charged, or is not."""

from typing import Any

import pytest
import stripe

from tests.sandbox.conftest import Shop
from tests.sandbox.paying import CARDS, answer, pay, told
from tests.sandbox.servers import Sandbox


def test_a_card_is_set_up(shop: Shop) -> None:
    """Docs: /payments/save-and-reuse"""
    api = shop.sandbox.api
    intent = api.setup_intents.create({"customer": shop.customer, **CARDS})
    assert (intent.status, intent.usage, intent.latest_attempt) == (
        "requires_payment_method",
        "off_session",
        None,
    )
    done = api.setup_intents.confirm(
        intent.id, {"payment_method": "pm_card_visa", "expand": ["latest_attempt"]}
    )
    assert (done.status, done.latest_attempt.status) == ("succeeded", "succeeded")
    assert api.payment_methods.retrieve(done.payment_method).customer == shop.customer
    assert shop.sandbox.ledger(customer=shop.customer) == []
    assert told(shop.sandbox, "setup_intent", intent) == [
        "setup_intent.created",
        "setup_intent.succeeded",
    ]


def test_a_card_that_says_no(sandbox: Sandbox) -> None:
    """Docs: /api/setup_intents/object#setup_intent_object-last_setup_error"""
    body = {"payment_method": "pm_card_chargeDeclinedIncorrectCvc", "confirm": True, **CARDS}
    with pytest.raises(stripe.CardError) as caught:
        sandbox.api.setup_intents.create(body)
    error: Any = caught.value.error
    intent = error.setup_intent
    assert (error.code, intent.status) == ("incorrect_cvc", "requires_payment_method")
    assert intent.last_setup_error.code == "incorrect_cvc"
    (attempt,) = sandbox.api.setup_attempts.list({"setup_intent": intent.id}).data
    assert (attempt.status, attempt.setup_error.code) == ("failed", "incorrect_cvc")
    assert told(sandbox, "setup_intent", intent.id)[-1] == "setup_intent.setup_failed"


def test_an_intent_is_changed_and_canceled(shop: Shop) -> None:
    """Docs: /api/setup_intents/update, /api/setup_intents/cancel"""
    api = shop.sandbox.api.setup_intents
    intent = api.create({"usage": "on_session", "description": "one"})
    changes = {"customer": shop.customer, "description": "two", "metadata": {"a": "1"}}
    changed = api.update(intent.id, {**changes, "payment_method": "pm_card_visa"})
    assert (changed.status, changed.description, changed.customer) == (
        "requires_confirmation",
        "two",
        shop.customer,
    )
    gone = api.cancel(intent.id, {"cancellation_reason": "abandoned"})
    assert (gone.status, gone.cancellation_reason) == ("canceled", "abandoned")
    assert told(shop.sandbox, "setup_intent", intent)[-1] == "setup_intent.canceled"
    for late in (api.cancel, api.confirm, api.update):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            late(intent.id)
        assert refused.value.code == "setup_intent_unexpected_state"


@pytest.mark.parametrize(("usage", "is_paid"), [("off_session", True), ("on_session", False)])
def test_what_a_card_was_set_up_for(usage: str, is_paid: bool, shop: Shop) -> None:
    """Docs: /api/setup_intents/create#create_setup_intent-usage"""
    sandbox = shop.sandbox
    body = {"customer": shop.customer, "payment_method": "pm_card_authenticationRequiredOnSetup"}
    wish = {**body, **CARDS, "confirm": True, "usage": usage}
    method = answer(sandbox, sandbox.api.setup_intents.create(wish))["payment_method"]
    if is_paid:
        assert pay(sandbox, method, customer=shop.customer, off_session=True).status == "succeeded"
        return
    with pytest.raises(stripe.CardError) as refused:
        pay(sandbox, method, customer=shop.customer, off_session=True)
    assert refused.value.code == "authentication_required"


def test_what_a_confirmation_needs(sandbox: Sandbox) -> None:
    """Docs: /api/setup_intents/confirm"""
    api = sandbox.api.setup_intents
    with pytest.raises(stripe.InvalidRequestError, match="missing a payment method"):
        api.create({"confirm": True})
    with pytest.raises(stripe.InvalidRequestError) as early:
        api.create({"return_url": "https://example.com"})
    assert early.value.param == "return_url"


def test_listing(shop: Shop) -> None:
    """Docs: /api/setup_intents/list"""
    api = shop.sandbox.api.setup_intents
    made = [api.create({"customer": shop.customer}).id for _ in range(2)]
    listed = api.list({"customer": shop.customer, "created": {"gte": 1}})
    assert [intent.id for intent in listed.data] == made[::-1]
