"""What ends is not paused, and a pause whose subscription shall end is not ended by a charge."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from domain.subscriptions.lifecycle import CommandKind
from tests.support.world import STRIPE_HEADERS, Customer, World
from tests.workflows.payment_retries.test_owed_invoices import at_stripe
from tests.workflows.subscriptions.test_commands import amounts, follows, refused

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
K = CommandKind
WAYS = ("cancel_at_period_end", "cancel_at")


async def plan_end(customer: Customer, way: str) -> None:
    """Plan the end at Stripe, as support does in the Dashboard."""
    row = await customer.row()
    assert row.current_period_end is not None
    end = int((row.current_period_end + 10 * DAY).timestamp())
    wish: dict[str, Any] = {"cancel_at": end, "proration_behavior": "none"}
    if way == "cancel_at_period_end":
        wish = {way: "true"}
    path = f"subscriptions/{row.stripe_subscription_id}"
    await at_stripe(customer.world, "POST", path, **wish)


async def pause(world: World, *script: str, resume_at: datetime | None = None) -> Customer:
    customer = await world.subscribe(*script, interval="month")
    await world.step(3 * DAY)
    await customer.command(K.PAUSE, resume_at=resume_at)
    return customer


async def test_what_ends_is_not_paused_until_the_end_is_taken_back(world: World) -> None:
    customer = await world.subscribe("ok", interval="week")
    await customer.command(K.CANCEL_AT_PERIOD_END)
    cancel_at = (await customer.row()).cancel_at
    assert cancel_at is not None
    error = await refused(customer, K.PAUSE)
    assert error.type == "illegal_command"
    assert f"{cancel_at:%Y-%m-%d %H:%M}" in error.message
    assert error.details[0]["subscription_status"] == "active"
    assert (await follows(customer))["status"] == "active"
    await customer.command(K.UNCANCEL)
    assert (await customer.command(K.PAUSE)).subscription_status == "paused"


@pytest.mark.parametrize("way", WAYS)
async def test_an_end_that_only_stripe_knows_of_forbids_the_pause(world: World, way: str) -> None:
    customer = await world.subscribe("ok", interval="week")
    await plan_end(customer, way)
    assert (await refused(customer, K.PAUSE)).type == "illegal_command"
    assert (await follows(customer))["status"] == "active"


@pytest.mark.parametrize("way", WAYS)
async def test_resuming_takes_back_an_end_that_was_planned_meanwhile(
    world: World, way: str
) -> None:
    customer = await pause(world, "ok")
    await plan_end(customer, way)
    state = await customer.command(K.RESUME)
    assert state.subscription_status == "active"
    found = await follows(customer)
    assert (found["cancel_at"], found["cancel_at_period_end"]) == (None, False)
    assert len(await amounts(customer)) == 2
    await world.step(33 * DAY)
    assert (await follows(customer))["status"] == "active"
    assert len(await amounts(customer)) == 3


async def test_the_end_is_taken_back_before_the_charge(world: World) -> None:
    customer = await pause(world, "ok", "insufficient_funds")
    await plan_end(customer, "cancel_at_period_end")
    assert (await refused(customer, K.RESUME)).type == "payment_failed"
    found = await follows(customer)
    assert (found["status"], found["cancel_at"]) == ("paused", None)


async def test_nobody_whose_end_is_planned_is_resumed_and_charged_by_itself(world: World) -> None:
    resume_at = await world.env.get_current_time() + 8 * DAY
    customer = await pause(world, "ok", resume_at=resume_at)
    await plan_end(customer, "cancel_at_period_end")
    ends_at = (await follows(customer))["cancel_at"]
    await world.step(6 * DAY)
    row = await customer.row()
    assert (row.subscription_status, row.resume_at, row.parked_data) == ("paused", None, [])
    assert (await follows(customer))["cancel_at"] == ends_at
    await world.step(25 * DAY)
    assert (await follows(customer))["status"] == "canceled"
    assert len(await amounts(customer)) == 1


async def test_an_end_that_comes_after_a_resume_that_waits_voids_its_invoice(world: World) -> None:
    resume_at = await world.env.get_current_time() + 3 * DAY + 5 * HOUR
    customer = await pause(world, "ok", "authentication_required", resume_at=resume_at)
    await customer.command(K.RESUME)
    waiting = (await follows(customer))["latest_invoice"]
    await plan_end(customer, "cancel_at_period_end")
    await world.step(6 * HOUR)
    found = await world.http.get(f"/v1/invoices/{waiting}", headers=STRIPE_HEADERS)
    assert found.json()["status"] == "void"
    assert (await follows(customer))["status"] == "paused"
    assert [outcome for outcome, _ in await amounts(customer)] == ["succeeded", "failed"]
