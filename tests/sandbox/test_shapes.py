"""The referee itself: it knows the whole SDK, and it is able to fail."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import stripe

from sandbox.stripe.app import ROUTES
from sandbox.stripe.checks import methods
from sandbox.stripe.checks.readings import JSON
from sandbox.stripe.checks.referee import request_findings, response_findings
from sandbox.stripe.checks.types import checker
from tests.sandbox import expandable, servers
from tests.sandbox.conftest import Shop, open_shop
from tests.sandbox.servers import Sandbox

Tampering = Callable[[dict[str, Any]], Any]
TAMPERINGS: dict[str, Tampering] = {
    ".start_date: missing": lambda s: s.pop("start_date"),
    ".current_period_end: unknown": lambda s: s.update(current_period_end=1),
    ".created: '1' is str": lambda s: s.update(created="1"),
    ".cancel_at_period_end: 1 is int": lambda s: s.update(cancel_at_period_end=1),
    ".status: 'asleep' is not one of": lambda s: s.update(status="asleep"),
    ".billing_mode.kind: unknown": lambda s: s["billing_mode"].update(kind=1),
    ".metadata[a]: 1 is int": lambda s: s["metadata"].update(a=1),
    ".customer: 1 is int": lambda s: s.update(customer=1),
    ".items: no list object": lambda s: s.update(items=[]),
    ".items.has_more: missing": lambda s: s["items"].pop("has_more"),
    ".items.data[0].price.unit_amount_decimal: 1 is int": lambda s: s["items"]["data"][0][
        "price"
    ].update(unit_amount_decimal=1),
    ".items.data[0].price.recurring.interval: missing": lambda s: s["items"]["data"][0]["price"][
        "recurring"
    ].pop("interval"),
    ".latest_invoice.amount_due: missing": lambda s: s["latest_invoice"].pop("amount_due"),
    ".latest_invoice.lines.data[0].mood: unknown": lambda s: s["latest_invoice"]["lines"]["data"][
        0
    ].update(mood="gay"),
}


@pytest.mark.parametrize("finding", TAMPERINGS)
def test_tampering_is_found_by_path(finding: str, shop: Shop) -> None:
    shop.give_card("ok")
    started = shop.subscribe()
    path = f"/v1/subscriptions/{started.id}?expand[]=latest_invoice"
    headers = {"Authorization": "Bearer sk_test_sandbox"}
    subscription = shop.sandbox.http.get(path, headers=headers).json()
    check = checker(stripe.Subscription, JSON)
    assert not check(subscription)
    TAMPERINGS[finding](subscription)
    assert [found[: len(finding)] for found in check(subscription)] == [finding]


FORMS: dict[str, tuple[str, dict[str, Any]]] = {
    "": ("", {}),
    ".customer: {} is dict": ("", {"customer": {}}),
    ".api_key: unknown": ("", {"api_key": "sk_test_x"}),
    ".quantity: unknown": ("", {"quantity": "1"}),
    ".off_session: 'yes' is str": ("", {"off_session": "yes"}),
    ".payment_behavior: 'hope' is not one of": ("", {"payment_behavior": "hope"}),
    ".items[0].prise: unknown": ("", {"items": {"0": {"prise": "price_1"}}}),
    ".items[0].quantity: 'many' is str": ("", {"items": {"0": {"quantity": "many"}}}),
    ".items[0].price_data.product: missing": (
        "",
        {"items": {"0": {"price_data": {"currency": "usd", "recurring": {"interval": "day"}}}}},
    ),
    ".trial_settings.end_behavior.missing_payment_method: 'beg' is not": (
        "",
        {"trial_settings": {"end_behavior": {"missing_payment_method": "beg"}}},
    ),
    ".cancel_at: 'never' is not": ("/{id}", {"cancel_at": "never"}),
}


@pytest.mark.parametrize("finding", FORMS)
def test_requests_are_checked_at_every_depth(finding: str) -> None:
    tail, form = FORMS[finding]
    found = request_findings("POST", f"/v1/subscriptions{tail}", form)
    assert [one[: len(finding)] for one in found] == ([finding] if finding else [])


def test_requests_may_say_all_that_the_sdk_says() -> None:
    form = {
        "cancel_at": "min_period_end",
        "items": {"0": {"price": "price_1", "quantity": "2"}},
        "metadata": {"a": "b"},
        "trial_end": "now",
        "off_session": "true",
        "expand": {"0": "latest_invoice"},
        "default_tax_rates": "",
    }
    assert request_findings("POST", "/v1/subscriptions/{id}", form) == []
    assert request_findings("GET", "/v1/events", {"created": {"gte": "1"}, "limit": "3"}) == []
    assert request_findings("GET", "/v1/events", {"created": "1"}) == []


def test_errors_lists_and_deleted_objects_are_checked_too() -> None:
    customer = {"id": "cus_1", "object": "customer", "created": 1, "livemode": False}
    page = {"object": "list", "url": "/", "has_more": False, "data": [customer]}
    path = "/v1/customers"
    assert response_findings("GET", path, 200, page) == []
    assert response_findings("GET", path, 200, page | {"data": [customer | {"vip": True}]}) == [
        ".data[0].vip: unknown to Customer"
    ]
    assert response_findings("POST", path, 402, {"error": {"type": "card_error", "reason": "?"}})
    gone = {"id": "cus_1", "object": "customer", "deleted": True}
    assert response_findings("DELETE", f"{path}/{{id}}", 200, gone) == []
    assert response_findings("DELETE", f"{path}/{{id}}", 200, gone | {"deleted": False})
    assert response_findings("DELETE", f"{path}/{{id}}", 200, gone | {"vip": True})


def test_every_call_of_the_sdk_is_understood() -> None:
    calls = [call for source in methods.sources().values() for call in source.split("def ")]
    known = re.compile(r'"/v1/|"/v2/core/events')
    synchronous = [call for call in calls if "self._request(" in call and known.search(call)]
    twice = 1  # a customer's source can be deleted by two services
    assert len(methods.signatures()) == len(synchronous) - twice
    for verb, pattern in methods.signatures():
        assert methods.find(verb, pattern)


def test_the_sdk_has_every_route_of_the_sandbox() -> None:
    unknown = [r.pattern for r in ROUTES if methods.find(r.method, r.pattern) is None]
    # Reason: Stripe's CLI stands in for Checkout's page with these.
    assert unknown == ["/v1/payment_pages/{id}", "/v1/payment_pages/{id}/confirm"]


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A sandbox with a mistake in each of some routes."""
    data = tmp_path_factory.mktemp("planted")
    sandbox = servers.start(data, module="tests.sandbox.planted")
    yield sandbox
    sandbox.end()


MISTAKES: dict[str, Callable[[Sandbox, Shop], Any]] = {
    "response.invoice_settings.mood: unknown": lambda s, shop: s.api.customers.retrieve(
        shop.customer
    ),
    "response.created: 'yesterday' is str": lambda s, _: s.api.products.retrieve(
        s.api.products.create({"name": "Pro"}).id
    ),
    "response.type: 'gift' is not one of": lambda s, shop: s.api.prices.retrieve(shop.price),
    "response.data[0].name: missing": lambda s, _: s.api.products.list(),
    "request.invoice_settings.mood: unknown": lambda s, shop: s.api.customers.update(
        shop.customer, {"invoice_settings": {"mood": "gay"}}
    ),
    "request.tax_exempt: 'maybe' is not one of": lambda s, shop: s.api.customers.update(
        shop.customer, {"tax_exempt": "maybe"}
    ),
    "event.data.object.mood: unknown": lambda s, _: s.api.products.update(
        s.api.products.create({"name": "Pro"}).id, {"name": "Max"}
    ),
    "event.data.previous_attributes.humor: unknown": lambda s, _: s.api.products.update(
        s.api.products.create({"name": "Pro"}).id, {"name": "Max"}
    ),
    "event.data.previous_attributes.active: 2 is int": lambda s, _: s.api.products.update(
        s.api.products.create({"name": "Pro"}).id, {"name": "Max"}
    ),
    "request: the SDK has no such call": lambda s, _: stripe.StripeClient(
        "sk_test_x", base_addresses={"api": s.url}, max_network_retries=0
    ).raw_request("post", "/v1/wishes"),
}


@pytest.mark.parametrize("finding", MISTAKES)
def test_a_planted_mistake_is_answered_with_500_and_noted(finding: str, planted: Sandbox) -> None:
    shop = open_shop(planted)
    before = planted.see("deviations")
    with pytest.raises(stripe.APIError) as refusal:
        MISTAKES[finding](planted, shop)
    assert refusal.value.http_status == 500
    assert finding in str(refusal.value)
    after = planted.see("deviations")
    assert after["checked_request_count"] > before["checked_request_count"]
    fresh = after["items"][len(before["items"]) :]
    assert finding in [item["finding"][: len(finding)] for item in fresh]


def test_what_fails_in_a_route_or_a_job_is_noted(planted: Sandbox) -> None:
    shop = open_shop(planted)
    with pytest.raises(stripe.APIError):
        planted.api.coupons.list()
    shop.subscribe(trial_period_days=4)
    planted.advance(days=2)
    noted = {item["place"]: item["finding"] for item in planted.see("deviations")["items"]}
    for place in ("GET /v1/coupons", "job trial_will_end"):
        assert noted[place] == "failed: RuntimeError('stumbled')"


def test_the_table_of_what_can_be_expanded_is_up_to_date() -> None:
    assert expandable.TABLE.read_text() == expandable.render(), (
        "python -m tests.sandbox.expandable writes it anew"
    )
