"""What coupons do to bills: lines, totals, durations, prorations, and previews."""

from typing import Any

import pytest
import stripe

from tests.sandbox.conftest import Shop
from tests.sandbox.servers import Sandbox
from tests.sandbox.test_changes import error_lines, item_of, middle_of, price_of, types, waiting


@pytest.fixture
def sandbox(own: Sandbox) -> Sandbox:
    own.control("reset")
    return own


def coupon(sandbox: Sandbox, **params: Any) -> Any:
    if "percent_off" not in params:
        params = {"amount_off": 700, "currency": "usd", **params}
    return sandbox.api.coupons.create({"duration": "forever", **params})


def renew(shop: Shop, subscription: Any) -> Any:
    """Go on to a subscription's next invoice, paid."""
    item = item_of(shop.see(subscription.id))
    shop.sandbox.advance(seconds=item.current_period_end - shop.sandbox.now() + 3_700)
    return shop.see(subscription.id).latest_invoice


def test_a_percentage_comes_off_every_line(shop: Shop, sandbox: Sandbox) -> None:
    shop.give_card("ok")
    quarter = coupon(sandbox, percent_off=12.5)
    started = shop.subscribe(
        items=[{"price": shop.price}, {"price": price_of(shop, 333), "quantity": 3}],
        discounts=[{"coupon": quarter.id}],
        expand=["discounts", "latest_invoice.discounts"],
    )
    (discount,) = started.discounts
    assert (discount.subscription, discount.source.coupon) == (started.id, quarter.id)
    invoice = started.latest_invoice
    assert (invoice.subtotal, invoice.total, invoice.amount_paid) == (2_999, 2_624, 2_624)
    assert [e.amount for e in invoice.total_discount_amounts] == [375]
    taken = [line.discount_amounts[0].amount for line in invoice.lines.data]
    assert sum(taken) == 375
    assert taken == [250, 125]
    assert {line.discount_amounts[0].discount for line in invoice.lines.data} == {discount.id}
    assert sandbox.ledger(subscription=started.id)[0]["amount"] == 2_624
    assert "customer.discount.created" in types(sandbox, discount.id)
    assert renew(shop, started).total == 2_624


@pytest.mark.parametrize(
    ("duration", "totals"),
    [
        ({"duration": "once"}, [1_300, 2_000, 2_000]),
        ({"duration": "repeating", "duration_in_months": 2}, [1_300, 1_300, 2_000]),
        ({"duration": "forever"}, [1_300, 1_300, 1_300]),
    ],
)
def test_durations(
    duration: dict[str, Any], totals: list[int], shop: Shop, sandbox: Sandbox
) -> None:
    shop.give_card("ok")
    started = shop.subscribe(discounts=[{"coupon": coupon(sandbox, **duration).id}])
    first = sandbox.api.invoices.retrieve(started.latest_invoice)
    # Reason: events are kept for thirty days, so they are read on the way.
    seen, told = [first.total], types(sandbox, first.discounts[0])
    for _ in range(2):
        seen.append(renew(shop, started).total)
        told += types(sandbox, first.discounts[0])
    assert seen == totals
    is_over = duration["duration"] != "forever"
    assert (shop.see(started.id).discounts == []) is is_over
    if is_over:
        assert told[-1] == "customer.discount.deleted"


def test_once_waits_for_something_to_take_off(shop: Shop, sandbox: Sandbox) -> None:
    shop.give_card("ok")
    once = coupon(sandbox, duration="once")
    started = shop.subscribe(trial_period_days=5, discounts=[{"coupon": once.id}])
    assert len(started.discounts) == 1
    assert renew(shop, started).total == 1_300
    assert renew(shop, started).total == 2_000


def test_a_proration_is_net_of_discounts(shop: Shop, sandbox: Sandbox) -> None:
    """Credits come from what was billed, and debits bear the discount inside their amount."""
    shop.give_card("ok")
    half_price = coupon(sandbox, percent_off=50)
    started = shop.subscribe(discounts=[{"coupon": half_price.id}])
    sandbox.api.subscriptions.update(
        started.id,
        {
            "items": [{"id": item_of(started).id, "quantity": 3}],
            "proration_date": middle_of(started),
        },
    )
    debit, credit = waiting(sandbox, shop.customer)
    assert (credit.amount, debit.amount) == (-500, 1_500)
    assert [e.amount for e in debit.proration_details.discount_amounts] == [1_500]
    renewed = renew(shop, started)
    assert [line.amount for line in renewed.lines.data] == [-500, 1_500, 6_000]
    assert [len(line.discount_amounts) for line in renewed.lines.data] == [1, 1, 1]
    assert renewed.total == -500 + 1_500 + 3_000


def test_an_updates_list_replaces_and_the_empty_string_removes(
    shop: Shop, sandbox: Sandbox
) -> None:
    shop.give_card("ok")
    started = shop.subscribe(discounts=[{"coupon": coupon(sandbox).id}])
    update = sandbox.api.subscriptions.update
    assert update(started.id, {"discounts": []}).discounts == started.discounts
    (kept,) = started.discounts
    other = {"coupon": coupon(sandbox, percent_off=10).id}
    both = update(started.id, {"discounts": [{"discount": kept}, other]})
    assert both.discounts[0] == kept
    assert types(sandbox, kept) == ["customer.discount.created"]
    assert renew(shop, started).total == 1_170
    assert update(started.id, {"discounts": ""}).discounts == []
    assert types(sandbox, kept) == ["customer.discount.deleted"]
    assert renew(shop, started).total == 2_000


def test_promotion_codes_have_conditions(shop: Shop, sandbox: Sandbox) -> None:
    shop.give_card("ok")
    promotion = {"type": "coupon", "coupon": coupon(sandbox).id}
    codes = sandbox.api.promotion_codes
    low = codes.create({"promotion": promotion, "code": "LOW"})
    limits = {"minimum_amount": 5_000, "minimum_amount_currency": "usd"}
    high = codes.create({"promotion": promotion, "code": "HIGH", "restrictions": limits})
    started = shop.subscribe(discounts=[{"promotion_code": low.id}], expand=["discounts"])
    assert started.discounts[0].promotion_code == low.id
    assert codes.retrieve(low.id).times_redeemed == 1
    with pytest.raises(stripe.InvalidRequestError, match="minimum"):
        shop.subscribe(discounts=[{"promotion_code": high.id}])
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.subscribe(discounts=[{"coupon": "none"}])
    assert caught.value.param == "discounts[0][coupon]"


def test_a_coupon_for_one_product_or_item(shop: Shop, sandbox: Sandbox) -> None:
    shop.give_card("ok")
    team = price_of(shop, 1_000)
    product = sandbox.api.prices.retrieve(team).product
    meant = coupon(sandbox, percent_off=50, applies_to={"products": [product]})
    tenth = coupon(sandbox, percent_off=10)
    started = shop.subscribe(
        items=[{"price": shop.price, "discounts": [{"coupon": tenth.id}]}, {"price": team}],
        discounts=[{"coupon": meant.id}],
    )
    lines = error_lines(sandbox, started.latest_invoice)
    assert [[e.amount for e in line.discount_amounts if e.amount] for line in lines] == [
        [200], [500],
    ]  # fmt: skip
    assert sandbox.ledger(subscription=started.id)[0]["amount"] == 2_300


def test_invoices_and_their_items_have_discounts_of_their_own(shop: Shop, sandbox: Sandbox) -> None:
    draft = sandbox.api.invoices.create(
        {"customer": shop.customer, "discounts": [{"coupon": coupon(sandbox).id}]}
    )
    tenth = {"coupon": coupon(sandbox, percent_off=10).id}
    terms = {"customer": shop.customer, "invoice": draft.id, "currency": "usd", "amount": 1_000}
    sandbox.api.invoice_items.create({**terms, "discounts": [tenth]})
    fixed = sandbox.api.invoice_items.create({**terms, "discountable": False})
    filled = sandbox.api.invoices.retrieve(draft.id)
    assert (filled.subtotal, filled.total) == (2_000, 1_200)
    assert filled.lines.data[1].discount_amounts[0].amount == 0
    assert sandbox.api.invoices.update(draft.id, {"discounts": ""}).total == 1_900
    sandbox.api.invoice_items.delete(fixed.id)
    assert sandbox.api.invoices.finalize_invoice(draft.id).amount_due == 900


def test_a_subscriptions_discount_can_be_deleted(shop: Shop, sandbox: Sandbox) -> None:
    shop.give_card("ok")
    started = shop.subscribe(discounts=[{"coupon": coupon(sandbox).id}])
    gone = sandbox.api.subscriptions.delete_discount(started.id)
    assert (gone.id, gone.deleted) == (started.discounts[0], True)
    assert shop.see(started.id).discounts == []
    with pytest.raises(stripe.InvalidRequestError):
        sandbox.api.subscriptions.delete_discount(started.id)


def test_a_preview_can_try_a_coupon(shop: Shop, sandbox: Sandbox) -> None:
    shop.give_card("ok")
    cut = coupon(sandbox)
    wish = {"customer": shop.customer, "discounts": [{"coupon": cut.id}]}
    items = {"items": [{"price": shop.price}]}
    preview = sandbox.api.invoices.create_preview
    assert preview({**wish, "subscription_details": items}).total == 1_300
    started = shop.subscribe()
    assert preview({**wish, "subscription": started.id}).total == 1_300
    assert preview({"subscription": started.id}).total == 2_000
    assert sandbox.api.coupons.retrieve(cut.id).times_redeemed == 0
