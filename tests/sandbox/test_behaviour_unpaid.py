"""What follows the last retry, where the account's retries are on; each rule by its row."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.sandbox.conftest import Shop
from tests.sandbox.servers import Sandbox


@pytest.fixture
def retrying(sandbox: Sandbox) -> Iterator[Sandbox]:
    yield sandbox
    sandbox.control("retries")


def unpaid(shop: Shop, retrying: Sandbox) -> Any:
    """Return a subscription whose renewal was tried twice in vain."""
    retrying.control("retries", days=[1], then="unpaid")
    shop.give_card("ok", "insufficient_funds")
    started = shop.subscribe()
    retrying.advance(days=34)
    return shop.see(started.id)


def test_after_the_last_retry_it_can_become_unpaid(shop: Shop, retrying: Sandbox) -> None:
    ended = unpaid(shop, retrying)
    assert (ended.status, ended.latest_invoice.status) == ("unpaid", "open")
    assert ended.latest_invoice.next_payment_attempt is None
    assert len(retrying.ledger(subscription=ended.id)) == 3


def test_the_invoices_of_an_unpaid_subscription_stay_drafts(shop: Shop, retrying: Sandbox) -> None:
    ended = unpaid(shop, retrying)
    retrying.advance(days=31)
    next_one = shop.see(ended.id)
    assert next_one.status == "unpaid"
    assert next_one.latest_invoice.id != ended.latest_invoice.id
    drafted = next_one.latest_invoice
    assert (drafted.status, drafted.auto_advance) == ("draft", False)
    assert drafted.automatically_finalizes_at is None
    assert len(retrying.ledger(subscription=ended.id)) == 3


def test_a_failed_payment_by_hand_leaves_it_unpaid(shop: Shop, retrying: Sandbox) -> None:
    ended = unpaid(shop, retrying)
    body = {"Authorization": "Bearer sk_test_sandbox"}
    path = f"/v1/invoices/{ended.latest_invoice.id}/pay"
    assert retrying.http.post(path, headers=body).status_code == 402
    assert shop.see(ended.id).status == "unpaid"


@pytest.mark.parametrize("way", ["pay", "void_invoice", "mark_uncollectible"])
def test_settling_the_newest_finalized_invoice_ends_unpaid(
    way: str, shop: Shop, retrying: Sandbox
) -> None:
    ended = unpaid(shop, retrying)
    retrying.advance(days=31)
    invoices = retrying.api.invoices
    if way == "pay":
        invoices.pay(ended.latest_invoice.id, {"payment_method": shop.give_card("ok")})
    else:
        getattr(invoices, way)(ended.latest_invoice.id)
    assert shop.see(ended.id).status == "active"
    shop.give_card("ok")
    retrying.advance(days=31)
    assert shop.see(ended.id).latest_invoice.status == "paid"


def test_an_unpaid_subscriptions_draft_can_be_paid(shop: Shop, retrying: Sandbox) -> None:
    ended = unpaid(shop, retrying)
    retrying.advance(days=31)
    drafted = shop.see(ended.id).latest_invoice
    retrying.api.invoices.update(drafted.id, {"auto_advance": True})
    shop.give_card("ok")
    retrying.advance(seconds=3_601)
    paid = shop.see(ended.id)
    assert (paid.status, paid.latest_invoice.status) == ("active", "paid")
