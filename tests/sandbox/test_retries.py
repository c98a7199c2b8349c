"""Stripe's own retries, where they are switched on."""

from collections.abc import Iterator

import pytest

from tests.sandbox.conftest import Shop
from tests.sandbox.servers import Receiver, Sandbox


@pytest.fixture
def retrying(sandbox: Sandbox) -> Iterator[Sandbox]:
    yield sandbox
    sandbox.control("retries")


def test_a_retry_that_succeeds_makes_active(shop: Shop, retrying: Sandbox) -> None:
    retrying.control("retries", days=[3, 5], then="cancel")
    shop.give_card("ok", "insufficient_funds", "do_not_honor", "ok")
    started = shop.subscribe()
    end = started["items"].data[0].current_period_end
    retrying.advance(seconds=end + 3_600 - retrying.now() + 1)
    failed = shop.see(started.id)
    first = failed.latest_invoice
    assert (failed.status, first.attempt_count) == ("past_due", 1)
    assert first.next_payment_attempt == end + 3_600 + 3 * 86_400

    retrying.advance(days=3)
    second = shop.see(started.id).latest_invoice
    assert (second.status, second.attempt_count) == ("open", 2)
    assert second.next_payment_attempt == first.next_payment_attempt + 5 * 86_400

    retrying.advance(days=5)
    paid = shop.see(started.id)
    assert (paid.status, paid.latest_invoice.status) == ("active", "paid")
    assert (paid.latest_invoice.attempt_count, paid.latest_invoice.next_payment_attempt) == (
        3,
        None,
    )
    rows = retrying.ledger(subscription=started.id)
    assert [row["outcome"] for row in rows] == ["succeeded", "failed", "failed", "succeeded"]


@pytest.mark.parametrize(("then", "status"), [("cancel", "canceled"), ("leave", "past_due")])
def test_after_the_last_retry(
    then: str, status: str, shop: Shop, retrying: Sandbox, hooks: Receiver
) -> None:
    retrying.control("retries", days=[1], then=then)
    shop.give_card("ok", "insufficient_funds")
    started = shop.subscribe()
    retrying.advance(days=34)
    ended = shop.see(started.id)
    assert (ended.status, ended.latest_invoice.attempt_count) == (status, 2)
    assert ended.latest_invoice.next_payment_attempt is None
    if then == "cancel":
        assert ended.cancellation_details.reason == "payment_failed"
        retrying.quiet()
        assert "customer.subscription.deleted" in hooks.types(started.id)


def test_an_invoice_that_no_longer_advances_is_not_retried(shop: Shop, retrying: Sandbox) -> None:
    retrying.control("retries", days=[1], then="cancel")
    shop.give_card("ok", "insufficient_funds")
    started = shop.subscribe()
    end = started["items"].data[0].current_period_end
    retrying.advance(seconds=end + 3_600 - retrying.now() + 1)
    invoice = shop.see(started.id).latest_invoice
    stopped = retrying.api.invoices.update(invoice.id, {"auto_advance": False})
    assert stopped.next_payment_attempt is None
    retrying.advance(days=2)
    assert shop.see(started.id).status == "past_due"
    assert len(retrying.ledger(subscription=started.id)) == 2
