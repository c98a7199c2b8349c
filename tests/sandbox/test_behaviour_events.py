"""Events: how long they are kept, what they say, and who may ask for them; each rule by its row."""

from typing import Any

import pytest
import stripe

from sandbox.stripe.event_types import EVENT_TYPES
from tests.sandbox import servers
from tests.sandbox.conftest import Shop
from tests.sandbox.servers import Sandbox

LATEST = 20


def told(sandbox: Sandbox, object_id: str) -> list[Any]:
    """Return the latest events about an object, oldest first."""
    events = sandbox.api.events.list({"limit": LATEST}).data
    return [e for e in reversed(events) if e.data.object.to_dict().get("id") == object_id]


def test_events_are_kept_for_thirty_days(own: Sandbox) -> None:
    old = own.api.customers.create({"name": "Old"}).id
    (early,) = told(own, old)
    own.advance(days=29)
    young = own.api.customers.create({"name": "Young"}).id
    (late,) = told(own, young)
    assert own.api.events.retrieve(early.id).id == early.id
    own.advance(days=1, seconds=60)
    listed = [event.id for event in own.api.events.list({"limit": 100}).data]
    assert late.id in listed
    assert early.id not in listed
    assert own.api.events.retrieve(late.id).id == late.id
    with pytest.raises(stripe.InvalidRequestError, match="No such event") as refused:
        own.api.events.retrieve(early.id)
    assert refused.value.http_status == 404
    with pytest.raises(stripe.InvalidRequestError, match="No such event"):
        own.api.events.list({"starting_after": early.id})


def test_events_are_listed_by_type_or_by_types(sandbox: Sandbox) -> None:
    both: Any = {"type": "customer.created", "types": ["customer.updated"]}
    with pytest.raises(stripe.InvalidRequestError) as refused:
        sandbox.api.events.list(both)
    assert refused.value.code == "parameters_exclusive"
    for wanted in ({"type": "customer.*"}, {"types": ["customer.created", "price.created"]}):
        sandbox.api.events.list(wanted)


def test_an_endpoint_asks_for_events_that_there_are(sandbox: Sandbox) -> None:
    api = sandbox.api.webhook_endpoints
    url = {"url": "http://127.0.0.1:9/none"}
    headers = {"Authorization": "Bearer sk_test_sandbox"}
    for unknown in ("customer.asleep", "customer.*", "Customer.created", ""):
        form = {**url, "enabled_events[0]": "customer.created", "enabled_events[1]": unknown}
        reply = sandbox.http.post("/v1/webhook_endpoints", headers=headers, data=form)
        assert reply.status_code == 400
        assert reply.json()["error"]["param"] == "enabled_events[1]"
    made = api.create({**url, "enabled_events": sorted(EVENT_TYPES)})
    assert len(made.enabled_events) > 250
    api.delete(made.id)


def test_an_endpoints_events_name_its_version(sandbox: Sandbox) -> None:
    elder: Any = "2025-06-30.basil"
    with servers.receiver() as mine:
        made = sandbox.api.webhook_endpoints.create(
            {"url": mine.url, "enabled_events": ["product.created"], "api_version": elder}
        )
        mine.secret = made.secret
        product = sandbox.api.products.create({"name": "Lamp"})
        sandbox.quiet()
        assert [event["api_version"] for event in mine.events] == [elder]
        sandbox.api.webhook_endpoints.delete(made.id)
    (read,) = told(sandbox, product.id)
    assert read.api_version == stripe.api_version


def test_a_payment_out_of_band_is_no_payment_that_succeeded(shop: Shop, sandbox: Sandbox) -> None:
    wanted: Any = {"customer": shop.customer, "collection_method": "send_invoice"}
    invoice = sandbox.api.invoices.create({**wanted, "days_until_due": 3})
    line: Any = {"customer": shop.customer, "amount": 500, "currency": "usd"}
    sandbox.api.invoice_items.create({**line, "invoice": invoice.id})
    sandbox.api.invoices.finalize_invoice(invoice.id)
    sandbox.api.invoices.pay(invoice.id, {"paid_out_of_band": True})
    types = [event.type for event in told(sandbox, invoice.id)]
    assert "invoice.paid" in types
    assert "invoice.payment_succeeded" not in types


def test_an_event_names_only_what_has_changed(shop: Shop, sandbox: Sandbox) -> None:
    card = sandbox.card("ok")
    paid = sandbox.api.payment_intents.create(
        {
            "amount": 1_000,
            "currency": "usd",
            "payment_method": card,
            "confirm": True,
            "allowed_payment_method_types": ["card"],
        }
    )
    sandbox.advance(seconds=2)
    sandbox.api.refunds.create({"payment_intent": paid.id, "amount": 400})
    sandbox.api.refunds.create({"payment_intent": paid.id})
    part, rest = [e for e in told(sandbox, paid.latest_charge) if e.type == "charge.refunded"]
    assert part.data.previous_attributes.to_dict() == {"amount_refunded": 0}
    assert rest.data.previous_attributes.to_dict() == {"amount_refunded": 400, "refunded": False}


def test_an_event_tells_of_a_hash_only_the_keys_that_changed(shop: Shop, sandbox: Sandbox) -> None:
    api = sandbox.api.customers
    api.update(shop.customer, {"metadata": {"a": "1", "b": "1"}})
    api.update(shop.customer, {"metadata": {"a": "2", "b": "", "c": "1"}})
    first, second = told(sandbox, shop.customer)[-2:]
    assert first.data.previous_attributes.to_dict() == {"metadata": {"a": None, "b": None}}
    assert second.data.previous_attributes.to_dict() == {
        "metadata": {"a": "1", "b": "1", "c": None}
    }
    shop.give_card("ok")
    last = told(sandbox, shop.customer)[-1].data.previous_attributes.to_dict()
    assert last == {"invoice_settings": {"default_payment_method": None}}
