"""Nobody gets back what was given back before, what was a present, or what nobody has paid."""

from datetime import timedelta
from typing import Any

import pytest

from domain.subscriptions.lifecycle import CommandKind as K
from domain.subscriptions.messages import CancelRefund
from tests.support.world import Customer, World
from tests.workflows.payment_retries.test_owed_invoices import at_stripe
from tests.workflows.payment_retries.test_payment_retry import fail_renewal
from tests.workflows.subscriptions.test_commands import amounts
from tests.workflows.subscriptions.test_pause_credit import balance

DAY = timedelta(days=1)
PRICE = 3_000


async def two_periods(world: World) -> Customer:
    """Let a customer pay two months; ten days of the second one are used."""
    customer = await world.subscribe("ok", interval="month", amount_cents=PRICE)
    while len(await customer.charges()) < 2:
        await world.step(DAY)
    await world.step(9 * DAY)
    return customer


async def newest_invoice(customer: Customer) -> dict[str, Any]:
    stripe_id = (await customer.row()).stripe_subscription_id
    found = await at_stripe(customer.world, "GET", "invoices", subscription=stripe_id)
    newest: dict[str, Any] = found["data"][0]
    return newest


async def refund(customer: Customer, amount: int) -> None:
    """Refund of the newest charge, in the Dashboard."""
    charge = (await customer.charges())[-1]["charge"]
    await at_stripe(customer.world, "POST", "refunds", charge=charge, amount=amount)
    await customer.world.step(timedelta(hours=1))


async def cancel(customer: Customer) -> list[int]:
    """Cancel with a refund of the unused time; return what the card got of it."""
    before = len(await amounts(customer, "refund"))
    await customer.command(K.CANCEL_NOW, refund=CancelRefund.UNUSED)
    await customer.world.step(DAY)
    assert (await customer.row()).parked_data == []
    return [amount for _, amount in (await amounts(customer, "refund"))[before:]]


@pytest.mark.parametrize(("refunded", "wanted"), [(3_000, []), (2_500, [500])])
async def test_a_refund_of_the_period_is_no_unused_time(
    world: World, refunded: int, wanted: list[int]
) -> None:
    customer = await two_periods(world)
    await refund(customer, refunded)
    assert await cancel(customer) == wanted


@pytest.mark.parametrize(("refunded", "wanted"), [(3_000, 0), (2_500, -500)])
async def test_a_pause_credits_nothing_that_was_refunded(
    world: World, refunded: int, wanted: int
) -> None:
    customer = await two_periods(world)
    await customer.command(K.PAUSE)
    await refund(customer, refunded)
    await customer.command(K.CANCEL_NOW)
    await world.step(DAY)
    assert await balance(customer) == wanted


async def dispute(customer: Customer, outcome: str) -> None:
    """Dispute the newest charge; the bank decides a week later."""
    body = {"charge": (await customer.charges())[-1]["charge"], "outcome": outcome}
    (await customer.world.http.post("/_sandbox/disputes", json=body)).raise_for_status()


@pytest.mark.parametrize("outcome", ["lost", "won"])
async def test_a_disputed_payment_is_not_refunded(world: World, outcome: str) -> None:
    customer = await two_periods(world)
    await dispute(customer, outcome)
    await world.step(timedelta(hours=1))
    assert await cancel(customer) == []


@pytest.mark.parametrize(("outcome", "is_refunded"), [("lost", False), ("won", True)])
async def test_a_payment_is_refunded_after_its_dispute_was_won(
    world: World, outcome: str, is_refunded: bool
) -> None:
    customer = await two_periods(world)
    await dispute(customer, outcome)
    await world.step(8 * DAY)
    assert bool(await cancel(customer)) is is_refunded


async def test_what_was_paid_out_of_band_is_not_refunded_to_a_card(world: World) -> None:
    customer, _ = await fail_renewal(world, "lost_card", interval="month")
    invoice = await newest_invoice(customer)
    path = f"invoices/{invoice['id']}/pay"
    await at_stripe(world, "POST", path, paid_out_of_band="true")
    await world.step(9 * DAY)
    assert (await customer.row()).subscription_status == "active"
    assert await cancel(customer) == []


async def test_a_credit_note_is_given_back_already(world: World) -> None:
    customer = await two_periods(world)
    invoice = await newest_invoice(customer)
    note = {"invoice": invoice["id"], "amount": PRICE, "credit_amount": PRICE}
    await at_stripe(world, "POST", "credit_notes", **note)
    assert await cancel(customer) == []
    assert await balance(customer) == -PRICE


async def test_a_present_on_the_invoice_is_not_paid_out(world: World) -> None:
    customer = await world.subscribe("ok", interval="month", amount_cents=PRICE)
    row = await customer.row()
    gift = {"amount": -2_500, "currency": "usd", "subscription": row.stripe_subscription_id}
    await at_stripe(world, "POST", "invoiceitems", customer=row.stripe_customer_id, **gift)
    while len(await customer.charges()) < 2:
        await world.step(DAY)
    assert (await customer.charges())[-1]["amount"] == 500
    await world.step(9 * DAY)
    assert await cancel(customer) == [500]


async def test_a_present_that_waits_is_not_paid_out(world: World) -> None:
    customer = await two_periods(world)
    row = await customer.row()
    gift = {"amount": -2_500, "currency": "usd", "subscription": row.stripe_subscription_id}
    await at_stripe(world, "POST", "invoiceitems", customer=row.stripe_customer_id, **gift)
    (refunded,) = await cancel(customer)
    assert refunded in range(1_800, 2_200)


@pytest.mark.parametrize("way", ["void", "mark_uncollectible"])
async def test_a_pause_credits_no_period_that_was_given_up(world: World, way: str) -> None:
    customer, _ = await fail_renewal(world, "generic_decline", "ok", interval="month")
    invoice = await newest_invoice(customer)
    await at_stripe(world, "POST", f"invoices/{invoice['id']}/{way}")
    await world.step(DAY)
    assert (await customer.row()).subscription_status == "active"
    await customer.command(K.PAUSE)
    await customer.command(K.RESUME)
    price = (await customer.charges())[0]["amount"]
    assert (await customer.charges())[-1]["amount"] == price
    await customer.leave()
