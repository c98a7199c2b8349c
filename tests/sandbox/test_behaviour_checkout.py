"""What Checkout takes beside prices, and what comes of a session; each rule by its row."""

from typing import Any

import pytest
import stripe

from tests.sandbox.conftest import Shop
from tests.sandbox.servers import Sandbox

DONE = "https://example.com/done"


def session(shop: Shop, **params: Any) -> Any:
    """Make a session for the shop's price, or a lamp where it is a payment."""
    mode = params.pop("mode", "subscription")
    line: Any = {"price": shop.price, "quantity": 1}
    if mode == "payment":
        lamp = {"currency": "usd", "product_data": {"name": "Lamp"}, "unit_amount": 900}
        line = {"price_data": lamp, "quantity": 2}
    wanted = {"mode": mode, "success_url": DONE, "line_items": [line], **params}
    given = {name: value for name, value in wanted.items() if value is not None}
    return shop.sandbox.api.checkout.sessions.create(given)


def complete(shop: Shop, made: Any, card: str = "pm_card_visa", **given: Any) -> Any:
    path = f"/_sandbox/checkout/{made.id}/complete"
    return shop.sandbox.http.post(path, json={"payment_method": card, **given})


def events_of(sandbox: Sandbox, kind: str) -> list[Any]:
    return list(sandbox.api.events.list({"type": kind, "limit": 100}).data)


LOOKS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"billing_address_collection": "required"}, {}),
    ({"phone_number_collection": {"enabled": True}}, {}),
    ({"tax_id_collection": {"enabled": True}}, {"enabled": True, "required": "never"}),
    ({"locale": "de"}, {}),
    ({"submit_type": "subscribe"}, {}),
    ({"shipping_address_collection": {"allowed_countries": ["DE", "FR"]}}, {}),
    ({"automatic_tax": {"enabled": False}}, {"enabled": False}),
    ({"custom_text": {"submit": {"message": "Thank you"}}}, {"submit": {"message": "Thank you"}}),
    ({"consent_collection": {"terms_of_service": "required"}}, {"terms_of_service": "required"}),
    (
        {"name_collection": {"business": {"enabled": True}}},
        {"business": {"enabled": True, "optional": False}},
    ),
    ({"after_expiration": {"recovery": {"enabled": True}}}, {}),
    ({"adaptive_pricing": {"enabled": False}}, {}),
    ({"payment_method_options": {"card": {"request_three_d_secure": "any"}}}, {}),
    ({"saved_payment_method_options": {"payment_method_save": "enabled"}}, {}),
    ({"allow_promotion_codes": True}, {}),
    ({"client_reference_id": "user-1"}, {}),
    ({"metadata": {"a": "1"}}, {}),
    ({"payment_method_collection": "if_required"}, {}),
    ({"origin_context": "web"}, {}),
]


@pytest.mark.parametrize(("params", "shown"), LOOKS, ids=lambda each: next(iter(each), "same"))
def test_a_session_shows_what_its_page_asks_for(
    params: dict[str, Any], shown: dict[str, Any], shop: Shop
) -> None:
    made = session(shop, **params)
    ((name, value),) = params.items()
    seen = made.to_dict()[name]
    wanted = shown or value
    if isinstance(wanted, dict):
        seen = {key: seen[key] for key in wanted}
        if name == "after_expiration":
            seen = {"recovery": {"enabled": seen["recovery"]["enabled"]}}
    assert seen == wanted
    assert complete(shop, made, name="Eve", email="eve@example.com").is_success


def test_a_session_can_update_its_customer(shop: Shop) -> None:
    kept = {"customer": shop.customer, "customer_update": {"name": "auto", "address": "auto"}}
    with pytest.raises(stripe.InvalidRequestError) as refused:
        session(shop, customer_update={"name": "auto"})
    assert refused.value.param == "customer_update"
    made = session(shop, **kept, tax_id_collection={"enabled": True})
    assert complete(shop, made, name="Eva").is_success
    assert shop.sandbox.api.customers.retrieve(shop.customer).name == "Eva"
    again = session(shop, customer=shop.customer)
    assert complete(shop, again, name="Other").is_success
    assert shop.sandbox.api.customers.retrieve(shop.customer).name == "Eva"
    with pytest.raises(stripe.InvalidRequestError, match="set `customer_update"):
        session(shop, customer=shop.customer, tax_id_collection={"enabled": True})


def test_a_session_asks_for_three_fields_at_most(shop: Shop) -> None:
    def field(key: str, **more: Any) -> dict[str, Any]:
        label = {"type": "custom", "custom": key}
        return {"key": key, "label": label, "type": "text", **more}

    options = {"options": [{"label": "S", "value": "s"}]}
    size = field("size", type="dropdown", dropdown=options, optional=True)
    fields = [field("name", text={"maximum_length": 10}), size]
    shown = session(shop, custom_fields=fields).custom_fields
    assert [each.key for each in shown] == ["name", "size"]
    assert shown[0].text.to_dict() == {
        "default_value": None, "maximum_length": 10, "minimum_length": None, "value": None,
    }  # fmt: skip
    for wrong in ([field(f"k{number}") for number in range(4)], [field("a"), field("a")]):
        with pytest.raises(stripe.InvalidRequestError):
            session(shop, custom_fields=wrong)


def test_automatic_tax_needs_stripe_tax(shop: Shop) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        session(shop, automatic_tax={"enabled": True})
    assert refused.value.code == "stripe_tax_inactive"


def test_a_payment_can_make_an_invoice(shop: Shop) -> None:
    plain = session(shop, mode="payment")
    assert plain.invoice_creation.enabled is False
    data = {"description": "Lamps", "metadata": {"a": "1"}}
    made = session(shop, mode="payment", invoice_creation={"enabled": True, "invoice_data": data})
    declined = complete(shop, made, shop.sandbox.card("insufficient_funds"))
    assert declined.status_code == 402
    assert complete(shop, made, email="eve@example.com").is_success
    done = shop.sandbox.api.checkout.sessions.retrieve(made.id)
    invoice = shop.sandbox.api.invoices.retrieve(done.invoice)
    assert (invoice.status, invoice.total, invoice.description) == ("paid", 1_800, "Lamps")
    assert invoice.customer == done.customer
    rows = shop.sandbox.ledger(payment_intent=done.payment_intent)
    assert [row["outcome"] for row in rows] == ["failed", "succeeded"]
    with pytest.raises(stripe.InvalidRequestError):
        session(shop, invoice_creation={"enabled": True})


def test_a_session_can_be_embedded(shop: Shop) -> None:
    wanted: dict[str, Any] = {"ui_mode": "embedded_page", "success_url": None}
    made = session(shop, **wanted, return_url=DONE)
    assert made.client_secret.startswith(made.id)
    assert (made.url, made.return_url, made.redirect_on_completion) == (None, DONE, "always")
    with pytest.raises(stripe.InvalidRequestError) as refused:
        session(shop, **wanted)
    assert refused.value.param == "return_url"
    stays = session(shop, **wanted, redirect_on_completion="never")
    assert "return_url" not in stays.to_dict()


def test_the_subscription_is_created_after_the_payment(shop: Shop, sandbox: Sandbox) -> None:
    made = session(shop, customer=shop.customer)
    assert complete(shop, made, sandbox.card("insufficient_funds")).status_code == 402
    found = sandbox.api.subscriptions.list({"customer": shop.customer, "status": "all"})
    assert found.data == []
    assert sandbox.api.invoices.list({"customer": shop.customer}).data == []
    assert complete(shop, made).is_success
    subscription = sandbox.api.checkout.sessions.retrieve(made.id).subscription
    (created,) = [
        event.data.object
        for event in events_of(sandbox, "customer.subscription.created")
        if event.data.object.id == subscription
    ]
    assert created.status == "active"
