"""What calls mean in the version that is asked for, each rule by its row in BEHAVIOUR.md."""

from typing import Any

import pytest
import stripe

from tests.sandbox.places import World

ELDER, PRESENT = "2026-05-27.dahlia", "2026-10-28.endive"
TYPES = {"payment_method_types": ["card"]}


def ask(world: World, version: str, path: str, **params: Any) -> Any:
    """Send one call as an SDK of that version would."""
    return world.place.client.raw_request("post", path, stripe_version=version, **params)


def code_of(call: Any) -> str | None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        call()
    assert refused.value.http_status == 400
    return refused.value.code


def made(world: World, kind: str) -> str:
    """Return the path of an intent that waits for its card."""
    if kind == "payment_intents":
        wanted: Any = {"amount": 500, "currency": "usd", "allowed_payment_method_types": ["card"]}
        return f"/v1/{kind}/{world.api.payment_intents.create(wanted).id}"
    wanted = {"allowed_payment_method_types": ["card"]}
    return f"/v1/{kind}/{world.api.setup_intents.create(wanted).id}"


def test_a_version_that_never_was_is_refused(world: World) -> None:
    for version in ("2020-01-01", "2026-05-27", "2026-05-27.basil", "latest"):
        with pytest.raises(stripe.InvalidRequestError, match="Invalid Stripe API version"):
            ask(world, version, "/v1/customers", name="Eve")
    for version in ("2020-08-27", ELDER, PRESENT):
        assert ask(world, version, "/v1/customers", name="Eve").data["object"] == "customer"


@pytest.mark.parametrize("kind", ["payment_intents", "setup_intents"])
def test_intents_no_longer_take_payment_method_types(kind: str, world: World) -> None:
    basics: Any = {"amount": 500, "currency": "usd"} if kind == "payment_intents" else {}
    dropped = "payment_method_types_no_longer_supported"
    path = f"/v1/{kind}"
    assert code_of(lambda: ask(world, PRESENT, path, **basics, **TYPES)) == dropped
    assert ask(world, ELDER, path, **basics, **TYPES).data["payment_method_types"] == ["card"]
    waiting = made(world, kind)
    assert code_of(lambda: ask(world, PRESENT, waiting, **TYPES)) == dropped
    assert ask(world, ELDER, waiting, **TYPES).data["id"] in waiting
    if kind == "payment_intents":
        confirmed = f"{waiting}/confirm"
        card = {"payment_method": "pm_card_visa"}
        assert code_of(lambda: ask(world, PRESENT, confirmed, **TYPES, **card)) == dropped
        assert ask(world, ELDER, confirmed, **TYPES, **card).data["status"] == "succeeded"


def test_checkout_no_longer_takes_payment_method_types(world: World) -> None:
    wanted: Any = {
        "mode": "subscription",
        "line_items": [{"price": world.price(), "quantity": 1}],
        "success_url": "https://example.com/done",
        **TYPES,
    }
    path = "/v1/checkout/sessions"
    assert code_of(lambda: ask(world, PRESENT, path, **wanted)) == "parameter_unknown"
    assert ask(world, ELDER, path, **wanted).data["payment_method_types"] == ["card"]


def test_the_billing_cycle_anchor_of_an_update_was_a_word(world: World) -> None:
    world.give_card()
    started = world.subscribe()
    world.advance(days=3)
    path = f"/v1/subscriptions/{started.id}"
    word = {"billing_cycle_anchor": "now", "proration_behavior": "none"}
    with pytest.raises(stripe.InvalidRequestError):
        ask(world, PRESENT, path, **word)
    assert ask(world, ELDER, path, **word).data["billing_cycle_anchor"] == world.now
