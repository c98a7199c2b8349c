"""A change that waits for the end of a trial or a period waits for it wherever that moves."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from domain.stripe_operations import CreatePlan
from domain.subscriptions.lifecycle import CommandKind
from domain.subscriptions.previews import ChangeTerms
from tests.support.world import Customer, World, make_plan_request
from tests.workflows.payment_retries.test_owed_invoices import at_stripe, break_down
from tests.workflows.subscriptions.test_changes import price_of, renew
from tests.workflows.subscriptions.test_commands import amounts, refused
from tests.workflows.test_lost_answers import WAYS

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
K = CommandKind
POSTS = (
    "POST /v1/subscriptions/{id}",
    "POST /v1/subscription_schedules",
    "POST /v1/subscription_schedules/{id}",
    "POST /v1/subscription_schedules/{id}/release",
)


async def plan_change(world: World, *script: str) -> tuple[Customer, UUID]:
    """Begin a trial of seven days, and plan three of another plan: 3 times 7.00 a week."""
    customer = await world.subscribe(*script, interval="week", trial_days=7)
    other = await world.operate(
        CreatePlan, plan=make_plan_request("default", amount_cents=700, interval="week")
    )
    price = await price_of(world, other.resource_id)
    terms = ChangeTerms(plan_id=other.resource_id, stripe_price_id=price, quantity=3)
    await customer.command(K.SCHEDULE_CHANGE, terms=terms)
    return customer, other.resource_id


async def at_stripe_now(customer: Customer) -> dict[str, Any]:
    stripe_id = (await customer.row()).stripe_subscription_id
    found: dict[str, Any] = await at_stripe(customer.world, "GET", f"subscriptions/{stripe_id}")
    return found


async def waits_for_the_end(customer: Customer, plan_id: UUID) -> datetime:
    """Check that the change waits for the end of the period, and return when that is."""
    await customer.world.settle()
    row, found = await customer.row(), await at_stripe_now(customer)
    waiting = row.scheduled_change_data
    assert waiting is not None
    assert (waiting["plan_id"], waiting["quantity"]) == (str(plan_id), 3)
    at = datetime.fromisoformat(waiting["at"])
    assert at == row.current_period_end
    assert at.timestamp() == found["items"]["data"][0]["current_period_end"]
    schedules = await at_stripe(
        customer.world, "GET", "subscription_schedules", customer=row.stripe_customer_id
    )
    running = [each for each in schedules["data"] if each["status"] == "active"]
    assert [each["id"] for each in running] == [found["schedule"]]
    assert len(running[0]["phases"]) == 2
    assert (row.quantity, row.parked_data, row.is_managed_at_stripe) == (1, [], False)
    return at


async def test_a_change_waits_for_the_end_of_the_period_that_an_ended_trial_begins(
    world: World,
) -> None:
    customer, plan_id = await plan_change(world, "ok")
    await world.step(2 * DAY)
    await customer.command(K.END_TRIAL)
    now = await world.env.get_current_time()
    at = await waits_for_the_end(customer, plan_id)
    assert abs(at - now - 7 * DAY) < HOUR
    await world.step(6 * DAY)
    assert (await customer.row()).quantity == 1
    assert await amounts(customer) == [("succeeded", 2_900)]

    await renew(customer)

    row = await customer.row()
    assert (row.plan_id, row.quantity, row.scheduled_change_data) == (plan_id, 3, None)
    assert await amounts(customer) == [("succeeded", 2_900), ("succeeded", 2_100)]


async def test_a_change_waits_for_the_end_of_an_extended_trial(world: World) -> None:
    customer, plan_id = await plan_change(world, "ok")
    first = (await customer.row()).trial_end
    assert first is not None
    await customer.command(K.EXTEND_TRIAL, trial_end=first + 5 * DAY)
    assert await waits_for_the_end(customer, plan_id) == first + 5 * DAY
    await world.step(10 * DAY)
    row = await customer.row()
    assert (row.subscription_status, row.quantity) == ("trialing", 1)
    await world.step(2 * DAY + 2 * HOUR)
    row = await customer.row()
    assert (row.subscription_status, row.plan_id, row.quantity) == ("active", plan_id, 3)
    assert await amounts(customer) == [("succeeded", 2_100)]
    # The next change waits for the end of the next period.
    await customer.command(K.SCHEDULE_CHANGE, terms=ChangeTerms(quantity=2))
    row = await customer.row()
    assert row.scheduled_change_data is not None
    assert datetime.fromisoformat(row.scheduled_change_data["at"]) == row.current_period_end


async def test_a_trial_that_is_not_ended_keeps_the_change_that_waits(world: World) -> None:
    customer, plan_id = await plan_change(world, "insufficient_funds", "ok")
    trial_end = (await customer.row()).trial_end
    await world.step(2 * DAY)
    assert (await refused(customer, K.END_TRIAL)).type == "payment_failed"
    assert (await customer.row()).subscription_status == "trialing"
    assert await waits_for_the_end(customer, plan_id) == trial_end
    await renew(customer)
    row = await customer.row()
    assert (row.plan_id, row.quantity, row.scheduled_change_data) == (plan_id, 3, None)
    assert await amounts(customer) == [("failed", 2_900), ("succeeded", 2_100)]


async def test_a_trial_that_ends_in_a_pause_drops_the_change_that_waits(world: World) -> None:
    customer, _ = await plan_change(world)
    await customer.command(K.END_TRIAL)
    await world.settle()
    row = await customer.row()
    assert (row.subscription_status, row.scheduled_change_data) == ("paused", None)
    assert (await at_stripe_now(customer))["schedule"] is None


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("script", [("ok",), ("insufficient_funds",)])
async def test_a_change_that_waits_survives_whatever_answer_is_lost(
    world: World, way: str, script: tuple[str, ...]
) -> None:
    customer, plan_id = await plan_change(world, *script)
    faults = [{"match": match, "times": 1, "label": match, **WAYS[way]} for match in POSTS]
    first = (await customer.row()).trial_end
    assert first is not None
    await break_down(world, *faults)
    await customer.command(K.EXTEND_TRIAL, trial_end=first + 5 * DAY)
    await break_down(world)
    assert await waits_for_the_end(customer, plan_id) == first + 5 * DAY
    await world.step(DAY)
    await break_down(world, *faults)
    if script == ("ok",):
        await customer.command(K.END_TRIAL)
    else:
        assert (await refused(customer, K.END_TRIAL)).type == "payment_failed"
    await break_down(world)
    await waits_for_the_end(customer, plan_id)
    charged = await amounts(customer)
    if script == ("ok",):
        assert charged == [("succeeded", 2_900)]
    else:  # a decline whose answer is lost is tried once more
        assert set(charged) == {("failed", 2_900)}


async def test_a_trial_that_a_schedule_of_the_dashboard_manages_is_left_alone(world: World) -> None:
    customer = await world.subscribe("ok", interval="week", trial_days=7)
    row = await customer.row()
    assert row.trial_end is not None
    await at_stripe(
        world, "POST", "subscription_schedules", from_subscription=row.stripe_subscription_id
    )
    # Our view does not know of the schedule yet.
    later = row.trial_end + DAY
    assert (await refused(customer, K.EXTEND_TRIAL, trial_end=later)).type == "managed_at_stripe"
    assert (await refused(customer, K.END_TRIAL)).type == "managed_at_stripe"
    assert (await at_stripe_now(customer))["trial_end"] == row.trial_end.timestamp()
    assert await amounts(customer) == []


@pytest.mark.parametrize("moved", ["trial_end", "billing_cycle_anchor"])
async def test_a_change_is_put_at_the_end_to_which_the_dashboard_has_moved_the_period(
    world: World, moved: str
) -> None:
    is_trial = moved == "trial_end"
    customer = await world.subscribe("ok", interval="week", trial_days=7 if is_trial else 0)
    await customer.command(K.SCHEDULE_CHANGE, terms=ChangeTerms(quantity=2))
    old_end = (await customer.row()).current_period_end
    await world.step(2 * DAY)
    wish = {"trial_end": int((await world.env.get_current_time() + 9 * DAY).timestamp())}
    anchor = {"billing_cycle_anchor": "now", "proration_behavior": "none"}
    path = f"subscriptions/{(await customer.row()).stripe_subscription_id}"
    await at_stripe(world, "POST", path, **(wish if is_trial else anchor))
    await customer.command(K.SCHEDULE_CHANGE, terms=ChangeTerms(quantity=3))
    row = await customer.row()
    waiting = row.scheduled_change_data
    assert old_end is not None
    assert row.current_period_end is not None
    assert row.current_period_end > old_end
    assert waiting is not None
    assert waiting["quantity"] == 3
    assert datetime.fromisoformat(waiting["at"]) == row.current_period_end
    before = await amounts(customer)
    await renew(customer)
    assert (await customer.row()).quantity == 3
    assert (await amounts(customer))[len(before) :] == [("succeeded", 3 * 2_900)]
