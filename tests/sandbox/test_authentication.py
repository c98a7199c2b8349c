"""3-D Secure: who is asked, and what comes of the answer."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import stripe

from tests.sandbox.conftest import Shop
from tests.sandbox.paying import CARDS, answer, charge_of, keep, pay, told
from tests.sandbox.servers import Sandbox

BACK = "https://example.com/back?from=1"


def test_a_challenge_leads_somewhere(sandbox: Sandbox) -> None:
    """Docs: /api/payment_intents/object#payment_intent_object-next_action"""
    card = "pm_card_authenticationRequired"
    sent = pay(sandbox, card, return_url=BACK).next_action
    assert (sent.type, sent.redirect_to_url.return_url) == ("redirect_to_url", BACK)
    assert "3-D Secure" in sandbox.http.get(sent.redirect_to_url.url).text
    stays = pay(sandbox, card).next_action
    assert (stays.type, stays.use_stripe_sdk.type) == (
        "use_stripe_sdk",
        "three_d_secure_redirect",
    )


def test_who_passes_pays(sandbox: Sandbox) -> None:
    """Docs: /payments/3d-secure/authentication-flow"""
    intent = pay(sandbox, "pm_card_authenticationRequired")
    assert (intent.status, intent.latest_charge) == ("requires_action", None)
    done = answer(sandbox, intent)
    assert (done["status"], done["amount_received"], done["next_action"]) == (
        "succeeded",
        1_000,
        None,
    )
    charge = sandbox.api.charges.retrieve(done["latest_charge"])
    assert charge.payment_method_details.card.three_d_secure.result == "authenticated"
    assert told(sandbox, "payment_intent", intent) == [
        "payment_intent.created",
        "payment_intent.requires_action",
        "payment_intent.succeeded",
    ]
    assert [row["outcome"] for row in sandbox.ledger(payment_intent=intent.id)] == [
        "failed",
        "succeeded",
    ]
    again = sandbox.http.post(f"/_sandbox/3ds/{intent.id}", json={"outcome": "succeeded"})
    assert again.status_code == 400


def test_who_does_not_pass_does_not_pay(sandbox: Sandbox) -> None:
    """Docs: /error-codes#payment-intent-authentication-failure"""
    intent = pay(sandbox, "pm_card_authenticationRequired")
    done = answer(sandbox, intent, "failed")
    assert (done["status"], done["latest_charge"]) == ("requires_payment_method", None)
    failure = done["last_payment_error"]
    assert (failure["code"], failure["type"]) == (
        "payment_intent_authentication_failure",
        "invalid_request_error",
    )
    assert told(sandbox, "payment_intent", intent)[-1] == "payment_intent.payment_failed"
    paid = sandbox.api.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"})
    assert paid.status == "succeeded"


@pytest.mark.parametrize("outcome", ["succeeded", "failed"])
def test_a_browser_is_sent_back(outcome: str, sandbox: Sandbox) -> None:
    """Docs: /payments/payment-intents/verifying-status"""
    intent = pay(sandbox, "pm_card_authenticationRequired", return_url=BACK)
    url = intent.next_action.redirect_to_url.url
    reply = sandbox.http.post(url, data={"outcome": outcome})
    assert reply.status_code == 303
    query = parse_qs(urlsplit(reply.headers["location"]).query)
    assert query == {
        "from": ["1"],
        "payment_intent": [intent.id],
        "payment_intent_client_secret": [intent.client_secret],
        "redirect_status": [outcome],
    }


def test_manual_confirmation_asks_the_server_again(sandbox: Sandbox) -> None:
    """Docs: /payments/finalize-payments-on-the-server-legacy"""
    intent = pay(sandbox, "pm_card_authenticationRequired", confirmation_method="manual")
    assert answer(sandbox, intent)["status"] == "requires_confirmation"
    assert sandbox.ledger(payment_intent=intent.id, outcome="succeeded") == []
    assert sandbox.api.payment_intents.confirm(intent.id).status == "succeeded"


def test_an_answer_that_makes_no_sense(sandbox: Sandbox) -> None:
    intent = pay(sandbox, "pm_card_authenticationRequired")
    path = f"/_sandbox/3ds/{intent.id}"
    for body in (b'{"outcome": "maybe"}', b"[]", b"?"):
        headers = {"Content-Type": "application/json"}
        assert sandbox.http.post(path, content=body, headers=headers).status_code == 400
    assert sandbox.http.get("/_sandbox/3ds/pi_no").status_code == 404
    assert sandbox.api.payment_intents.retrieve(intent.id).status == "requires_action"


def test_a_challenge_can_be_refused_beforehand(sandbox: Sandbox) -> None:
    """Docs: /api/payment_intents/create#create_payment_intent-error_on_requires_action"""
    with pytest.raises(stripe.CardError) as caught:
        pay(sandbox, "pm_card_authenticationRequired", error_on_requires_action=True)
    assert caught.value.code == "authentication_required"


def set_up(shop: Shop, card: str) -> Any:
    """Keep a card by a setup intent, with whatever challenge that takes."""
    body = {"customer": shop.customer, "payment_method": card, "confirm": True, **CARDS}
    intent = shop.sandbox.api.setup_intents.create(body)
    challenged = intent.status == "requires_action"
    if challenged:
        answer(shop.sandbox, intent)
    return intent.payment_method, challenged


def outcome_of(shop: Shop, method: str, *, off_session: bool) -> str:
    """Return what becomes of a payment by a kept card; a challenge is answered."""
    try:
        intent = pay(shop.sandbox, method, customer=shop.customer, off_session=off_session)
    except stripe.CardError as error:
        return str(error.error and error.error.decline_code)
    if intent.status == "requires_action":
        done = answer(shop.sandbox, intent)
        code = (done["last_payment_error"] or {}).get("decline_code")
        return f"asked, {code or done['status']}"
    return str(intent.status)


ASKED, REFUSED, PAID = "asked, succeeded", "authentication_required", "succeeded"


@pytest.mark.parametrize(
    ("name", "on_session", "off_session", "is_asked_at_set_up", "off_session_after"),
    [
        ("authenticationRequired", ASKED, REFUSED, True, REFUSED),
        ("authenticationRequiredOnSetup", ASKED, REFUSED, True, PAID),
        ("authenticationRequiredSetupForOffSession", ASKED, PAID, False, PAID),
        (
            "authenticationRequiredChargeDeclinedInsufficientFunds",
            "asked, insufficient_funds",
            REFUSED,
            True,
            "insufficient_funds",
        ),
        ("threeDSecure2Required", ASKED, REFUSED, True, REFUSED),
        (
            "threeDSecureRequiredChargeDeclined",
            "asked, generic_decline",
            REFUSED,
            True,
            REFUSED,
        ),
        ("threeDSecureOptional", PAID, PAID, False, PAID),
        ("visa", PAID, PAID, False, PAID),
    ],
)
def test_which_cards_ask_when(
    name: str,
    on_session: str,
    off_session: str,
    is_asked_at_set_up: bool,
    off_session_after: str,
    shop: Shop,
) -> None:
    """Docs: /testing#regulatory-cards"""
    method = keep(shop, f"pm_card_{name}")
    assert outcome_of(shop, method, off_session=False) == on_session
    assert outcome_of(shop, method, off_session=True) == off_session
    other, was_asked = set_up(shop, f"pm_card_{name}")
    assert was_asked == is_asked_at_set_up
    assert outcome_of(shop, other, off_session=True) == off_session_after


def test_optional_security_is_asked_for(sandbox: Sandbox) -> None:
    """Docs: /payments/3d-secure/authentication-flow#manual-three-ds"""
    wish = {"payment_method_options": {"card": {"request_three_d_secure": "any"}}}
    assert pay(sandbox, "pm_card_threeDSecureOptional", **wish).status == "requires_action"
    assert pay(sandbox, "pm_card_visa", **wish).status == "succeeded"


@pytest.mark.parametrize("outcome", ["succeeded", "failed"])
def test_invoice_and_subscription_follow(outcome: str, shop: Shop) -> None:
    """Docs: /billing/subscriptions/overview#requires-action"""
    sandbox = shop.sandbox
    shop.give_card("authentication_required")
    started = shop.subscribe()
    intent = shop.see(started.id).latest_invoice.payments.data[0].payment.payment_intent
    assert (started.status, intent.status) == ("incomplete", "requires_action")
    answer(sandbox, intent, outcome)
    after = shop.see(started.id)
    wanted = {"succeeded": ("active", "paid"), "failed": ("incomplete", "open")}[outcome]
    assert (after.status, after.latest_invoice.status) == wanted
    kinds = told(sandbox, "invoice", after.latest_invoice)
    assert (
        kinds[-1]
        == {
            "succeeded": "invoice.payment_succeeded",
            "failed": "invoice.payment_failed",
        }[outcome]
    )


def test_a_renewal_is_challenged_and_completed(shop: Shop) -> None:
    """Docs: /billing/revenue-recovery/customer-emails, /billing/subscriptions/overview"""
    shop.give_card("ok", "authentication_required")
    started = shop.subscribe()
    shop.sandbox.advance(days=32)
    late = shop.see(started.id)
    intent = late.latest_invoice.payments.data[0].payment.payment_intent
    assert (late.status, intent.status) == ("past_due", "requires_action")
    answer(shop.sandbox, intent)
    assert shop.see(started.id).status == "active"


def test_a_card_that_was_set_up_renews_alone(shop: Shop) -> None:
    """Docs: /testing#regulatory-cards"""
    method, was_asked = set_up(shop, "pm_card_authenticationRequiredOnSetup")
    started = shop.subscribe(default_payment_method=method, off_session=True)
    assert (was_asked, started.status) == (True, "active")
    shop.sandbox.advance(days=32)
    assert len(shop.sandbox.ledger(subscription=started.id, outcome="succeeded")) == 2


def test_a_hosted_invoice_is_paid(shop: Shop) -> None:
    """Docs: /invoicing/hosted-invoice-page"""
    sandbox = shop.sandbox
    shop.give_card("insufficient_funds")
    started = shop.subscribe(payment_settings={"save_default_payment_method": "on_subscription"})
    url = shop.see(started.id).latest_invoice.hosted_invoice_url
    assert "open" in sandbox.http.get(url).text
    declined = sandbox.http.post(url, json={"payment_method": "pm_card_chargeDeclined"})
    assert (declined.status_code, declined.json()["error"]["code"]) == (402, "card_declined")
    paid = sandbox.http.post(url, json={"payment_method": "pm_card_visa"})
    assert paid.json()["status"] == "paid"
    after = shop.see(started.id)
    kept = sandbox.api.payment_methods.retrieve(after.default_payment_method)
    assert (after.status, kept.customer, kept.card.last4) == ("active", shop.customer, "4242")
    assert sandbox.http.post(url, json={"payment_method": "pm_card_visa"}).status_code == 400
    assert "paid" in sandbox.http.get(url).text
    sandbox.advance(days=32)
    assert len(sandbox.ledger(subscription=started.id, outcome="succeeded")) == 2


def test_a_hosted_invoice_asks_in_the_browser(shop: Shop) -> None:
    """Docs: /invoicing/hosted-invoice-page"""
    sandbox = shop.sandbox
    started = shop.subscribe(payment_behavior="default_incomplete")
    url = shop.see(started.id).latest_invoice.hosted_invoice_url
    form = {"payment_method": "pm_card_authenticationRequired"}
    asked = sandbox.http.post(url, data=form)
    assert (asked.status_code, shop.see(started.id).status) == (303, "incomplete")
    back = sandbox.http.post(asked.headers["location"], data={"outcome": "succeeded"})
    assert back.headers["location"].startswith(url)
    assert shop.see(started.id).status == "active"


def test_setup_intents_are_challenged_too(shop: Shop) -> None:
    """Docs: /payments/save-and-reuse"""
    sandbox = shop.sandbox
    body = {"customer": shop.customer, "payment_method": "pm_card_authenticationRequired"}
    intent = sandbox.api.setup_intents.create({**body, "confirm": True, "return_url": BACK})
    assert intent.next_action.redirect_to_url.return_url == BACK
    failed = answer(sandbox, intent, "failed")
    assert (failed["status"], failed["last_setup_error"]["code"]) == (
        "requires_payment_method",
        "setup_intent_authentication_failure",
    )
    method = failed["last_setup_error"]["payment_method"]["id"]
    sandbox.api.setup_intents.confirm(intent.id, {"payment_method": method})
    assert answer(sandbox, intent)["status"] == "succeeded"
    assert sandbox.api.payment_methods.retrieve(method).customer == shop.customer
    assert told(sandbox, "setup_intent", intent) == [
        "setup_intent.created",
        "setup_intent.requires_action",
        "setup_intent.setup_failed",
        "setup_intent.requires_action",
        "setup_intent.succeeded",
    ]
    attempts = sandbox.api.setup_attempts.list({"setup_intent": intent.id}).data
    assert [attempt.status for attempt in attempts] == [
        "succeeded",
        "requires_action",
        "failed",
        "requires_action",
    ]


def test_a_captured_charge_knows_its_card(sandbox: Sandbox) -> None:
    charge = charge_of(sandbox, pay(sandbox))
    assert charge.payment_method_details.card.three_d_secure is None
