"""Faults of single customers, what Stripe can answer, and what the log says of both."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest
import stripe

from tests.sandbox import servers
from tests.sandbox.conftest import Shop
from tests.sandbox.servers import Receiver, Sandbox
from tests.sandbox.test_api import KEY, error_of

READ = "GET /v1/customers/*"


def email() -> str:
    return f"{uuid4().hex}@example.com"


def put(sandbox: Sandbox, name: str, **plan: Any) -> None:
    sandbox.http.put(f"/_sandbox/faults/{name}", json=plan).raise_for_status()


def log_of(sandbox: Sandbox, address: str) -> list[dict[str, Any]]:
    params = {"customer_email": address}
    items: list[dict[str, Any]] = sandbox.http.get("/_sandbox/requests", params=params).json()[
        "items"
    ]
    return items


def read(sandbox: Sandbox, customer: str) -> httpx.Response:
    return sandbox.http.get(f"/v1/customers/{customer}", headers=KEY)


def test_sets_stand_side_by_side_and_concern_one_customer(sandbox: Sandbox) -> None:
    addresses = [email(), email()]
    for address, status in zip(addresses, (401, 503), strict=True):
        fault = {"match": READ, "times": 1, "before": status, "label": f"says {status}"}
        put(sandbox, address, customer_email=address, api=[fault])
    made = [sandbox.api.customers.create({"email": address}).id for address in addresses]
    other = sandbox.api.customers.create({"email": email()}).id
    assert read(sandbox, other).status_code == 200
    assert [read(sandbox, each).status_code for each in made] == [401, 503]
    assert [read(sandbox, each).status_code for each in made] == [200, 200]
    for address, customer, status in zip(addresses, made, (401, 503), strict=True):
        log = [(row["status"], row["fault"], row["customer"]) for row in log_of(sandbox, address)]
        assert log == [
            (200, None, None), (status, f"says {status}", customer), (200, None, customer),
        ]  # fmt: skip


def test_a_set_is_taken_away_by_its_name_or_with_all_others(sandbox: Sandbox) -> None:
    addresses = [email(), email()]
    made = [sandbox.api.customers.create({"email": address}).id for address in addresses]
    for address in addresses:
        put(sandbox, address, customer_email=address, api=[{"match": READ, "before": 500}])
    sandbox.http.delete(f"/_sandbox/faults/{addresses[0]}").raise_for_status()
    assert [read(sandbox, each).status_code for each in made] == [200, 500]
    assert addresses[1] in sandbox.see("faults")
    sandbox.control("faults")
    assert [read(sandbox, each).status_code for each in made] == [200, 200]


def test_every_request_about_a_customer_is_theirs(shop: Shop, sandbox: Sandbox) -> None:
    address = email()
    customer = sandbox.api.customers.update(shop.customer, {"email": address}).id
    card = shop.give_card("ok")
    started = shop.subscribe()
    invoice = started.latest_invoice
    api = sandbox.api
    intent = api.invoices.retrieve(invoice, {"expand": ["payments"]}).payments.data[0]
    refund = api.refunds.create({"payment_intent": intent.payment.payment_intent, "amount": 1})
    calls: list[Callable[[], Any]] = [
        lambda: api.customers.retrieve(customer),
        lambda: api.customers.list({"email": address}),
        lambda: api.subscriptions.retrieve(started.id),
        lambda: api.subscriptions.list({"customer": customer}),
        lambda: api.subscription_items.list({"subscription": started.id}),
        lambda: api.invoices.list({"subscription": started.id}),
        lambda: api.invoices.retrieve(invoice),
        lambda: api.invoice_payments.list({"invoice": invoice}),
        lambda: api.payment_intents.retrieve(intent.payment.payment_intent),
        lambda: api.refunds.retrieve(refund.id),
        lambda: api.refunds.list({"payment_intent": intent.payment.payment_intent}),
        lambda: api.payment_methods.retrieve(card),
        lambda: api.customers.update(customer, {"name": "Eve"}),
        lambda: api.setup_intents.create({"customer": customer}),
    ]
    before = len(log_of(sandbox, address))
    for call in calls:
        call()
    assert len(log_of(sandbox, address)) == before + len(calls)


def test_a_deleted_customer_is_still_known(sandbox: Sandbox) -> None:
    address = email()
    customer = sandbox.api.customers.create({"email": address}).id
    sandbox.api.customers.delete(customer)
    put(sandbox, address, customer_email=address, api=[{"match": READ, "before": 403}])
    assert read(sandbox, customer).status_code == 403
    sandbox.control("faults")
    assert read(sandbox, customer).json() == {
        "id": customer, "object": "customer", "deleted": True,
    }  # fmt: skip


ANSWERS = [
    ({"before": 400}, 400, "invalid_request_error", None),
    ({"before": 400, "code": "invoice_not_editable"}, 400, "invalid_request_error", "invoice_"),
    ({"before": 401}, 401, "invalid_request_error", None),
    ({"before": 401, "code": "api_key_expired"}, 401, "invalid_request_error", "api_key_expired"),
    ({"before": 402}, 402, "card_error", "card_declined"),
    ({"before": 403}, 403, "invalid_request_error", None),
    ({"before": 404}, 404, "invalid_request_error", "resource_missing"),
    ({"before": 409}, 409, "idempotency_error", "idempotency_key_in_use"),
    ({"before": 429}, 429, "invalid_request_error", "rate_limit"),
    ({"before": 429, "code": "lock_timeout"}, 429, "invalid_request_error", "lock_timeout"),
    ({"before": 500}, 500, "api_error", None),
    ({"before": 503}, 503, "api_error", None),
]


@pytest.mark.parametrize(("fault", "status", "kind", "code"), ANSWERS)
def test_what_stripe_can_answer(
    fault: dict[str, Any], status: int, kind: str, code: str | None, sandbox: Sandbox
) -> None:
    address = email()
    match = {"match": "POST /v1/customers", "times": 1}
    put(sandbox, address, customer_email=address, api=[match | fault])
    form, key = {"email": address}, {**KEY, "Idempotency-Key": uuid4().hex}
    reply = sandbox.http.post("/v1/customers", headers=key, data=form)
    error = error_of(reply)
    assert (reply.status_code, error["type"]) == (status, kind)
    assert str(error.get("code")).startswith(str(code))
    (row,) = log_of(sandbox, address)
    assert (row["status"], row["error_type"], row["error_code"]) == (
        status,
        kind,
        error.get("code"),
    )
    assert sandbox.http.post("/v1/customers", headers=key, data=form).status_code == 200
    assert len(sandbox.api.customers.list({"email": address}).data) == 1


def test_a_decline_has_the_fields_that_are_given_and_no_others(sandbox: Sandbox) -> None:
    address = email()
    decline = {"decline_code": "generic_decline", "message": "No."}
    fault = {"match": "POST /v1/customers", "times": 1, "before": 402, "error": decline}
    put(sandbox, address, customer_email=address, api=[fault])
    with pytest.raises(stripe.CardError) as caught:
        sandbox.api.customers.create({"email": address})
    body: Any = caught.value.json_body
    assert body["error"].keys() == {
        "type", "code", "decline_code", "message", "doc_url", "request_log_url",
    }  # fmt: skip
    assert log_of(sandbox, address)[0]["decline_code"] == "generic_decline"


@pytest.mark.parametrize(
    ("fault", "count", "again"),
    [
        ({"drop_before": True}, 0, 200),
        ({"drop": True}, 1, 200),
        ({"before": 500, "saved": True}, 0, 500),
        ({"after": 500}, 1, 500),
        ({"before": 502, "body": "<html>Bad gateway</html>"}, 0, 200),
        ({"body": '{"id": "cus_'}, 1, 200),
        ({"after": 400, "code": "lock_timeout"}, 1, 400),
    ],
)
def test_what_is_done_and_what_is_kept(
    fault: dict[str, Any], count: int, again: int, sandbox: Sandbox
) -> None:
    address = email()
    match = {"match": "POST /v1/customers", "times": 1}
    put(sandbox, address, customer_email=address, api=[match | fault])
    form, key = {"email": address}, {**KEY, "Idempotency-Key": uuid4().hex}
    if "drop" in fault or "drop_before" in fault:
        with pytest.raises(httpx.TransportError):
            sandbox.http.post("/v1/customers", headers=key, data=form)
    else:
        reply = sandbox.http.post("/v1/customers", headers=key, data=form)
        assert fault.get("body", reply.text) == reply.text
    assert len(sandbox.api.customers.list({"email": address}).data) == count
    assert sandbox.http.post("/v1/customers", headers=key, data=form).status_code == again


def test_a_fault_can_be_for_one_client(sandbox: Sandbox) -> None:
    customer = sandbox.api.customers.create({"email": email()}).id
    fault = {"match": "GET /v1/customers/*", "before": 500, "user_agent": "Stripe/"}
    sandbox.control("faults", api=[fault])
    assert read(sandbox, customer).status_code == 200
    with pytest.raises(stripe.APIError):
        sandbox.api.customers.retrieve(customer)


def test_one_part_of_a_path_can_be_anything(sandbox: Sandbox) -> None:
    customer = sandbox.api.customers.create({"email": email()}).id
    sandbox.control("faults", api=[{"match": "GET /v1/customers/{id}", "before": 500}])
    assert read(sandbox, customer).status_code == 500
    assert read(sandbox, f"{customer}/balance_transactions").status_code == 200


def test_null_keys_are_left_out_everywhere(sandbox: Sandbox) -> None:
    address = email()
    customer = sandbox.api.customers.create({"email": address}).id
    fault = {"match": READ, "times": 1, "omit_null": True}
    put(sandbox, address, customer_email=address, api=[fault])
    bare, full = read(sandbox, customer).json(), read(sandbox, customer).json()
    assert full["invoice_settings"]["footer"] is None
    assert "footer" not in bare["invoice_settings"]
    assert bare.items() >= {"id": customer, "email": address}.items()


def test_some_requests_pass_and_some_are_known_by_a_value(sandbox: Sandbox) -> None:
    mark = uuid4().hex
    fault = {"match": "POST /v1/products", "contains": mark, "skip": 1, "times": 1, "before": 500}
    put(sandbox, mark, api=[fault])
    form = {"name": "Pro", "metadata[code]": mark}

    def make(data: dict[str, str]) -> int:
        return sandbox.http.post("/v1/products", headers=KEY, data=data).status_code

    assert [make({"name": "Pro"}), make(form), make(form), make(form)] == [200, 200, 500, 200]


def test_webhooks_about_one_customer_are_held_back(calm: Sandbox, calm_hooks: Receiver) -> None:
    late, other = email(), email()
    put(calm, late, customer_email=late, webhooks={"off": True})
    put(calm, other, customer_email=other, webhooks={"duplicate": 2})
    made = [calm.api.customers.create({"email": address}).id for address in (late, other)]
    theirs = {"customer_email": other}
    servers.wait_for(
        "the other's events",
        lambda: not calm.http.get("/_sandbox/webhooks", params=theirs).json()["pending_count"],
    )
    assert calm_hooks.types(made[1]) == ["customer.created"] * 2
    assert calm_hooks.types(made[0]) == []
    assert calm.see("webhooks") == {"pending_count": 1}
    calm.http.delete(f"/_sandbox/faults/{late}").raise_for_status()
    calm.quiet()
    assert calm_hooks.types(made[0]) == ["customer.created"]


def test_each_scripted_card_is_a_card_of_its_own(sandbox: Sandbox) -> None:
    cards = [sandbox.api.payment_methods.retrieve(sandbox.card("ok")).card for _ in range(2)]
    assert len({card.fingerprint for card in cards}) == 2
    assert {card.last4 for card in cards} == {"4242"}


def test_a_customer_can_have_a_time_of_their_own(shop: Shop, sandbox: Sandbox) -> None:
    address = email()
    clock = sandbox.control("test-clocks", customer_email=address)
    mine = sandbox.api.customers.create({"email": address})
    assert mine.test_clock == clock["id"]
    assert [each.id for each in sandbox.api.customers.list({"email": address}).data] == [mine.id]
    others = sandbox.api.customers.create({"email": email()})
    assert others.test_clock is None
