"""Whatever Stripe's types show as an id or its object can be expanded, in every kind of object."""

from collections.abc import Iterator
from typing import Any, get_args

import pytest
import stripe

from sandbox.stripe.checks.referee import class_of
from sandbox.stripe.checks.types import fields
from tests.sandbox import servers
from tests.sandbox.lifecycles import Shop
from tests.sandbox.servers import Sandbox

AUTH = {"Authorization": "Bearer sk_test_sandbox"}
LISTS = {
    "balance_transaction": "balance_transactions",
    "charge": "charges",
    "checkout.session": "checkout/sessions",
    "coupon": "coupons",
    "customer": "customers",
    "dispute": "disputes",
    "invoice": "invoices",
    "invoice_payment": "invoice_payments",
    "invoiceitem": "invoiceitems",
    "payment_intent": "payment_intents",
    "plan": "plans",
    "price": "prices",
    "product": "products",
    "promotion_code": "promotion_codes",
    "refund": "refunds",
    "setup_intent": "setup_intents",
    "subscription": "subscriptions",
    "subscription_schedule": "subscription_schedules",
}
MOST_LEVELS = 4


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A sandbox in which two months have passed."""
    sandbox = servers.start(tmp_path_factory.mktemp("played"))
    Shop(sandbox).play()
    yield sandbox
    sandbox.stop()


def references(owner: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of each field that is an id or its object, in the groups inside too."""
    for name, kind in fields(owner)[0].items():
        arms = list(_arms(kind))
        objects = [arm for arm in arms if hasattr(arm, "OBJECT_NAME")]
        here = (*path, name)
        if objects and str in arms:
            yield here
        for group in arms:
            is_group = issubclass(group, stripe.StripeObject) and group not in objects
            if is_group and group is not owner and len(here) < MOST_LEVELS - 1:
                yield from references(group, here)


def _arms(kind: Any) -> Iterator[type]:
    if isinstance(kind, type) and not get_args(kind):
        yield kind
    for arm in get_args(kind):
        yield from _arms(arm)


def _values(node: Any, path: tuple[str, ...]) -> Iterator[Any]:
    """Yield what is at a path, in each entry of the lists on the way."""
    if isinstance(node, list):
        for entry in node:
            yield from _values(entry, path)
    elif not path:
        yield node
    elif isinstance(node, dict):
        yield from _values(node.get(path[0]), path[1:])


@pytest.mark.parametrize("kind", LISTS)
def test_each_reference_can_be_expanded(kind: str, played: Sandbox) -> None:
    paths = list(references(class_of(kind)))
    query = {"limit": "100", "expand[]": [".".join(("data", *path)) for path in paths]}
    answer = played.http.get(f"/v1/{LISTS[kind]}", params=query, headers=AUTH)
    assert answer.status_code == 200, answer.text
    entries = answer.json()["data"]
    assert entries
    found = {path: [v for v in _values(entries, path) if v is not None] for path in paths}
    assert [path for path, values in found.items() if any(isinstance(v, str) for v in values)] == []
    assert any(found.values()) or kind in {"coupon", "product"}
