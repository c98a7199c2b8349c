"""The credit that a pause gives: declined and repeated resumes keep it, and ends pay it back."""

from datetime import timedelta
from typing import Any

import pytest

from domain.payment_retries.policy import LastResort, RetryPolicy
from domain.subscriptions.lifecycle import CommandKind
from domain.subscriptions.messages import CancelRefund
from domain.subscriptions.previews import ChangeTerms
from tests.support.world import Customer, World
from tests.workflows.subscriptions.test_commands import amounts, follows, refused, stripe

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
PRICE = 3_000
DECLINED, CHALLENGED = "insufficient_funds", "authentication_required"
K = CommandKind


async def waiting(customer: Customer) -> list[int]:
    """Return the amounts of the invoice items that wait for an invoice at Stripe."""
    stripe_id = (await customer.row()).stripe_customer_id
    page = await stripe(customer.world, "GET", "invoiceitems", customer=stripe_id, pending="true")
    return [item["amount"] for item in page["data"]]


async def balance(customer: Customer) -> int:
    stripe_id = (await customer.row()).stripe_customer_id
    found = await stripe(customer.world, "GET", f"customers/{stripe_id}")
    return int(found["balance"])


async def paused(world: World, days: int, *script: str) -> tuple[Customer, int]:
    """Return a customer who has paid, and has paused after some days; and the credit for that."""
    customer = await world.subscribe("ok", *script, interval="month", amount_cents=PRICE)
    await world.step(days * DAY)
    await customer.command(K.PAUSE)
    (credit,) = await waiting(customer)
    assert -PRICE < credit < 0
    return customer, -credit


async def resume_unpaid(customer: Customer, answer: str) -> None:
    if answer == DECLINED:
        assert (await refused(customer, K.RESUME)).type == "payment_failed"
    else:
        assert (await customer.command(K.RESUME)).subscription_status == "paused"


@pytest.mark.parametrize("answer", [DECLINED, CHALLENGED])
@pytest.mark.parametrize(("days", "later"), [(10, 0), (10, 40), (27, 0)])
async def test_a_cancel_after_an_unpaid_resume_refunds_what_the_pause_credited(
    world: World, days: int, later: int, answer: str
) -> None:
    customer, credit = await paused(world, days, answer)
    await world.step(later * DAY)
    await resume_unpaid(customer, answer)
    await world.settle()
    await customer.command(K.CANCEL_NOW, refund=CancelRefund.UNUSED)
    await follows(customer)
    assert await amounts(customer, "refund") == [("succeeded", credit)]
    assert (await waiting(customer), await balance(customer)) == ([], 0)


@pytest.mark.parametrize("answer", [DECLINED, CHALLENGED])
@pytest.mark.parametrize("days", [10, 27])
async def test_a_resume_that_is_not_paid_keeps_the_credit(
    world: World, days: int, answer: str
) -> None:
    customer, credit = await paused(world, days, answer, answer, "ok")
    await world.step(5 * DAY)
    await resume_unpaid(customer, answer)
    await resume_unpaid(customer, answer)
    if answer == DECLINED:
        assert await waiting(customer) == [-credit]
    state = await customer.command(K.RESUME)
    assert state.subscription_status == "active"
    paid = [amount for outcome, amount in await amounts(customer) if outcome == "succeeded"]
    assert sorted(paid) == sorted([PRICE, PRICE - credit])
    assert await waiting(customer) == []
    await follows(customer)


async def test_a_resume_that_stripe_gave_up_keeps_the_credit(world: World) -> None:
    customer, credit = await paused(world, 10, CHALLENGED, "ok")
    await world.step(HOUR)
    await resume_unpaid(customer, CHALLENGED)
    await world.step(DAY)
    assert await waiting(customer) == []
    await customer.command(K.RESUME)
    paid = [amount for outcome, amount in await amounts(customer) if outcome == "succeeded"]
    assert sorted(paid) == sorted([PRICE, PRICE - credit])
    await follows(customer)


async def test_the_credits_of_a_declined_change_before_the_pause_are_not_given(
    world: World,
) -> None:
    customer = await world.subscribe("ok", DECLINED, "ok", interval="month", amount_cents=PRICE)
    await world.step(10 * DAY)
    error = await refused(customer, K.CHANGE_PLAN, terms=ChangeTerms(quantity=2))
    assert error.type == "payment_failed"
    await world.step(DAY)
    await customer.command(K.PAUSE)
    (credit,) = await waiting(customer)
    await customer.command(K.RESUME)
    assert ("succeeded", PRICE + credit) in await amounts(customer)


@pytest.mark.parametrize("answer", [None, DECLINED, CHALLENGED])
@pytest.mark.parametrize("days", [10, 27])
async def test_a_cancel_while_paused_leaves_the_credit_to_the_customer(
    world: World, days: int, answer: str | None
) -> None:
    customer, credit = await paused(world, days, *([answer] if answer else []))
    if answer is not None:
        await resume_unpaid(customer, answer)
    await customer.command(K.CANCEL_NOW)
    await follows(customer)
    assert await amounts(customer, "refund") == []
    assert (await waiting(customer), await balance(customer)) == ([], -credit)


async def test_a_cancel_with_a_refund_leaves_no_credit(world: World) -> None:
    customer, credit = await paused(world, 10)
    await customer.command(K.CANCEL_NOW, refund=CancelRefund.UNUSED)
    await follows(customer)
    assert await amounts(customer, "refund") == [("succeeded", credit)]
    assert (await waiting(customer), await balance(customer)) == ([], 0)


async def test_a_pause_for_a_debt_credits_nothing_that_was_not_paid(world: World) -> None:
    policy = RetryPolicy(last_resort=LastResort.PAUSE)
    customer = await world.subscribe(
        "ok", "lost_card", interval="month", amount_cents=PRICE, policy=policy
    )
    await world.step(60 * DAY)
    assert (await customer.row()).subscription_status == "paused"
    assert await waiting(customer) == []
    await customer.command(K.CANCEL_NOW)
    await follows(customer)
    assert await balance(customer) == 0
    assert await amounts(customer, "refund") == []


async def test_a_resume_after_a_debt_costs_a_whole_period(world: World) -> None:
    policy = RetryPolicy(schedules={"default": (DAY,)}, last_resort=LastResort.PAUSE)
    customer = await world.subscribe(
        "ok", "insufficient_funds", interval="month", amount_cents=PRICE, policy=policy
    )
    await world.step(40 * DAY)
    assert (await customer.row()).subscription_status == "paused"
    card = await customer.add_card("ok")
    await customer.command(K.CHANGE_PAYMENT_METHOD, card)
    await customer.command(K.RESUME)
    await follows(customer)
    assert (await customer.row()).subscription_status == "active"
    assert (await customer.charges())[-1]["amount"] == PRICE


@pytest.mark.parametrize("fault", [{"before": 403}, {"body": "<html>"}], ids=["403", "garbled"])
async def test_a_credit_that_cannot_be_moved_does_not_hold_up_the_cancel(
    world: World, fault: dict[str, Any]
) -> None:
    customer, _ = await paused(world, 10)
    body = {"api": [{"match": "GET /v1/invoiceitems", "times": 99, **fault}]}
    await world.http.post("/_sandbox/faults", json=body)
    state = await customer.command(K.CANCEL_NOW)
    await world.http.post("/_sandbox/faults", json={})
    assert state.subscription_status == "canceled"
    await follows(customer)
