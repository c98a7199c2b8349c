"""The referee itself: it must be able to fail."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.sandbox.conftest import Shop
from tests.sandbox.shapes import deviations

Tampering = Callable[[dict[str, Any]], Any]
TAMPERINGS: dict[str, Tampering] = {
    "subscription.start_date: missing": lambda s: s.pop("start_date"),
    "subscription.current_period_end: unknown": lambda s: s.update(current_period_end=1),
    "subscription.created: '1' is str": lambda s: s.update(created="1"),
    "subscription.cancel_at_period_end: 1 is int": lambda s: s.update(cancel_at_period_end=1),
    "subscription.status: 'asleep' is not one of": lambda s: s.update(status="asleep"),
    "subscription.billing_mode.kind: unknown": lambda s: s["billing_mode"].update(kind=1),
    "subscription.metadata[a]: 1 is int": lambda s: s["metadata"].update(a=1),
    "subscription.items.has_more: missing": lambda s: s["items"].pop("has_more"),
    "subscription.items.data[0].price.unit_amount_decimal: 1 is no decimal": lambda s: s["items"][
        "data"
    ][0]["price"].update(unit_amount_decimal=1),
    "subscription.items.data[0].price.recurring.interval: missing": lambda s: s["items"]["data"][0][
        "price"
    ]["recurring"].pop("interval"),
    "subscription.latest_invoice.amount_due: missing": lambda s: s["latest_invoice"].pop(
        "amount_due"
    ),
}


@pytest.mark.parametrize("finding", TAMPERINGS)
def test_tampering_is_found_by_path(finding: str, shop: Shop) -> None:
    shop.give_card("ok")
    subscription = shop.subscribe(expand=["latest_invoice"]).to_dict()
    subscription["items"]["data"][0]["price"]["unit_amount_decimal"] = "2000"
    subscription["items"]["data"][0]["plan"]["amount_decimal"] = "2000"
    for line in subscription["latest_invoice"]["lines"]["data"]:
        line["pricing"]["unit_amount_decimal"] = line["quantity_decimal"] = "1"
    assert deviations(subscription) == []
    TAMPERINGS[finding](subscription)
    assert [found[: len(finding)] for found in deviations(subscription)] == [finding]


def test_errors_and_lists_are_checked_too() -> None:
    assert deviations({"error": {"type": "card_error", "reason": "?"}})
    customer = {"id": "cus_1", "object": "customer", "created": 1, "livemode": False}
    page = {"object": "list", "url": "/", "has_more": False, "data": [customer]}
    assert deviations(page) == []
    assert deviations(page | {"data": [customer | {"vip": True}]}) == [
        "data[0].vip: unknown to Customer"
    ]
