"""How cards, charges, refunds and disputes behave, each rule by its row in BEHAVIOUR.md."""

from typing import Any

import pytest
import stripe

from tests.sandbox.places import Place


def pay(place: Place, card: str = "pm_card_visa", **params: Any) -> Any:
    """Charge a card at once."""
    wanted = {
        "amount": 1_200,
        "currency": "usd",
        "payment_method": card,
        "confirm": True,
        "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
        "expand": ["latest_charge.balance_transaction"],
        **params,
    }
    return place.api.payment_intents.create(wanted)


def decline(place: Place, card: str, **params: Any) -> Any:
    """Charge a card that says no, and return the error object."""
    with pytest.raises(stripe.CardError) as declined:
        pay(place, card, **params)
    assert declined.value.http_status == 402
    return declined.value.error


def saved(place: Place, card: str) -> dict[str, str]:
    """Return a customer with a card, as parameters."""
    customer = place.api.customers.create({"email": "eve@example.com"})
    method = place.api.payment_methods.attach(card, {"customer": customer.id})
    return {"customer": customer.id, "payment_method": method.id}


def test_a_good_card_succeeds_with_a_charge(place: Place) -> None:
    paid = pay(place)
    assert (paid.status, paid.amount_received) == ("succeeded", 1_200)
    assert (paid.latest_charge.paid, paid.latest_charge.captured) == (True, True)
    assert paid.latest_charge.payment_method_details.card.last4 == "4242"


def test_a_decline_leaves_the_intent_waiting_for_another_card(place: Place) -> None:
    error = decline(place, "pm_card_visa_chargeDeclined")
    assert (error.code, error.decline_code) == ("card_declined", "generic_decline")
    intent = place.api.payment_intents.retrieve(error.payment_intent.id)
    assert intent.status == "requires_payment_method"
    assert intent.last_payment_error.decline_code == "generic_decline"
    again = place.api.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"})
    assert again.status == "succeeded"


def test_a_declined_attempt_is_a_failed_charge(place: Place) -> None:
    error = decline(place, "pm_card_visa_chargeDeclined")
    charge = place.api.charges.retrieve(error.charge)
    assert (charge.status, charge.paid, charge.failure_code) == ("failed", False, "card_declined")
    assert charge.outcome.type == "issuer_declined"


@pytest.mark.parametrize(
    ("card", "code", "decline_code"),
    [
        ("pm_card_visa_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
        ("pm_card_visa_chargeDeclinedLostCard", "card_declined", "lost_card"),
        ("pm_card_visa_chargeDeclinedStolenCard", "card_declined", "stolen_card"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card", None),
        ("pm_card_chargeDeclinedIncorrectCvc", "incorrect_cvc", None),
        ("pm_card_chargeDeclinedProcessingError", "processing_error", None),
    ],
)
def test_cards_decline_by_their_name(
    place: Place, card: str, code: str, decline_code: str | None
) -> None:
    error = decline(place, card)
    assert error.code == code
    assert decline_code in {None, error.decline_code}


def test_a_declining_card_cannot_be_attached(place: Place) -> None:
    customer = place.api.customers.create({})
    with pytest.raises(stripe.CardError) as declined:
        place.api.payment_methods.attach("pm_card_chargeDeclined", {"customer": customer.id})
    assert declined.value.code == "card_declined"


def test_a_card_that_only_fails_later_can_be_attached(place: Place) -> None:
    card = saved(place, "pm_card_chargeCustomerFail")
    error = decline(place, card.pop("payment_method"), **card)
    assert error.code == "card_declined"


def test_on_session_a_challenge_is_an_action(place: Place) -> None:
    asked = pay(place, "pm_card_threeDSecure2Required")
    assert (asked.status, asked.latest_charge) == ("requires_action", None)
    assert asked.next_action.type == "use_stripe_sdk"


def test_off_session_a_challenge_is_a_decline(place: Place) -> None:
    card = saved(place, "pm_card_authenticationRequired")
    error = decline(place, card.pop("payment_method"), off_session=True, **card)
    assert error.code == "authentication_required"
    assert error.payment_intent.status == "requires_payment_method"


def test_manual_capture_holds_the_money_first(place: Place) -> None:
    held = pay(place, capture_method="manual")
    assert (held.status, held.amount_capturable, held.amount_received) == (
        "requires_capture", 1_200, 0,
    )  # fmt: skip
    taken = place.api.payment_intents.capture(held.id, {"amount_to_capture": 900})
    assert (taken.status, taken.amount_received, taken.amount_capturable) == ("succeeded", 900, 0)


def test_a_held_payment_can_be_let_go(place: Place) -> None:
    held = pay(place, capture_method="manual")
    gone = place.api.payment_intents.cancel(held.id)
    assert (gone.status, gone.amount_capturable) == ("canceled", 0)
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        place.api.payment_intents.capture(held.id)
    assert refusal.value.code == "payment_intent_unexpected_state"


def test_what_succeeded_cannot_be_canceled(place: Place) -> None:
    paid = pay(place)
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        place.api.payment_intents.cancel(paid.id)
    assert refusal.value.code == "payment_intent_unexpected_state"


def test_a_charge_costs_a_fee(place: Place) -> None:
    # Reason: the default, automatic_async, books a moment later.
    booked_usage = pay(place, capture_method="automatic").latest_charge.balance_transaction
    assert (booked_usage.type, booked_usage.amount, booked_usage.status) == (
        "charge",
        1_200,
        "pending",
    )
    assert booked_usage.fee == sum(detail.amount for detail in booked_usage.fee_details) > 0
    assert booked_usage.net == booked_usage.amount - booked_usage.fee


def test_refunds_are_partial_until_nothing_is_left(place: Place) -> None:
    paid = pay(place)
    first = place.api.refunds.create({"payment_intent": paid.id, "amount": 500})
    assert (first.status, first.charge) == ("succeeded", paid.latest_charge.id)
    charge = place.api.charges.retrieve(paid.latest_charge.id)
    assert (charge.amount_refunded, charge.refunded) == (500, False)
    assert place.api.refunds.create({"payment_intent": paid.id}).amount == 700
    assert place.api.charges.retrieve(charge.id).refunded is True
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        place.api.refunds.create({"payment_intent": paid.id})
    assert refusal.value.code == "charge_already_refunded"


def test_no_more_is_refunded_than_was_charged(place: Place) -> None:
    paid = pay(place)
    with pytest.raises(stripe.InvalidRequestError):
        place.api.refunds.create({"payment_intent": paid.id, "amount": 1_201})


def test_a_refund_does_not_return_the_fee(place: Place) -> None:
    paid = pay(place)
    refund = place.api.refunds.create(
        {"payment_intent": paid.id, "expand": ["balance_transaction"]}
    )
    booked_usage = refund.balance_transaction
    assert (booked_usage.type, booked_usage.amount, booked_usage.fee, booked_usage.net) == (
        "refund",
        -1_200,
        0,
        -1_200,
    )


def test_a_dispute_takes_the_money_and_a_fee(place: Place) -> None:
    paid = pay(place, "pm_card_createDispute")
    dispute = place.until(
        "the dispute", lambda: place.api.disputes.list({"payment_intent": paid.id}).data
    )[0]
    assert (dispute.status, dispute.reason, dispute.amount) == (
        "needs_response", "fraudulent", 1_200,
    )  # fmt: skip
    [booked_usage] = dispute.balance_transactions
    assert (booked_usage.amount, booked_usage.reporting_category) == (-1_200, "dispute")
    assert booked_usage.fee > 0
    assert place.api.charges.retrieve(paid.latest_charge.id).disputed is True


def test_a_dispute_without_an_answer_is_lost_when_it_is_closed(place: Place) -> None:
    paid = pay(place, "pm_card_createDispute")
    dispute = place.until(
        "the dispute", lambda: place.api.disputes.list({"payment_intent": paid.id}).data
    )[0]
    assert place.api.disputes.close(dispute.id).status == "lost"


def test_a_detached_card_cannot_be_used_again(place: Place) -> None:
    card = saved(place, "pm_card_visa")
    gone = place.api.payment_methods.detach(card["payment_method"])
    assert gone.customer is None
    with pytest.raises(stripe.InvalidRequestError):
        place.api.payment_methods.attach(gone.id, {"customer": card["customer"]})


def test_setting_a_card_up_keeps_it_for_the_customer(place: Place) -> None:
    customer = place.api.customers.create({})
    done = place.api.setup_intents.create(
        {
            "customer": customer.id,
            "payment_method": "pm_card_visa",
            "confirm": True,
            "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
        }
    )
    assert (done.status, done.usage) == ("succeeded", "off_session")
    assert place.api.payment_methods.retrieve(done.payment_method).customer == customer.id
