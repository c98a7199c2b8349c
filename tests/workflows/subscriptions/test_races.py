"""Commands that meet a renewal, and changes at Stripe that meet a change of ours that waits."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from domain.subscriptions.lifecycle import CommandKind
from domain.subscriptions.previews import ChangeTerms
from tests.support.world import Customer, World
from tests.workflows.payment_retries.test_owed_invoices import at_stripe
from tests.workflows.subscriptions.test_changes import renew

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
WEEK = timedelta(days=7)


async def advance_stripe(world: World, length: timedelta) -> None:
    """Let time pass at Stripe alone: what happens there is not known here yet."""
    seconds = int(length.total_seconds())
    await world.http.post("/_sandbox/clock/advance", json={"seconds": seconds})


async def after_a_draft(customer: Customer) -> None:
    await advance_stripe(customer.world, WEEK + MINUTE)
    await customer.command(CommandKind.CANCEL_NOW)


async def after_a_charge(customer: Customer) -> None:
    await advance_stripe(customer.world, WEEK + 2 * HOUR)
    await customer.command(CommandKind.CANCEL_NOW)


async def meanwhile(customer: Customer) -> None:
    canceling = customer.command(CommandKind.CANCEL_NOW)
    await asyncio.gather(advance_stripe(customer.world, WEEK + 2 * HOUR), canceling)


@pytest.mark.parametrize("race", [after_a_draft, after_a_charge, meanwhile])
@pytest.mark.parametrize("renewal", ["ok", "insufficient_funds"])
async def test_a_cancel_that_meets_a_renewal_leaves_nothing_to_pay(
    world: World, race: Callable[[Customer], Awaitable[None]], renewal: str
) -> None:
    customer = await world.subscribe("ok", renewal, interval="week")
    await race(customer)
    charges = await customer.charges()
    await world.settle()
    await world.step(2 * DAY)
    row = await customer.row()
    assert (row.subscription_status, row.parked_data) == ("canceled", [])
    assert await customer.charges() == charges, "charged after the answer to the cancel"
    assert len(charges) <= 2
    path = f"invoices?subscription={row.stripe_subscription_id}"
    invoices = (await at_stripe(world, "GET", path))["data"]
    assert {each["status"] for each in invoices} <= {"paid", "void"}
    assert {each.retry_status for each in await customer.retries()} <= {"canceled"}


async def test_a_change_in_the_portal_and_the_change_that_waits_both_hold(world: World) -> None:
    customer = await world.subscribe("ok", interval="week")
    await customer.command(CommandKind.SCHEDULE_CHANGE, terms=ChangeTerms(quantity=4))
    path = f"subscriptions/{(await customer.row()).stripe_subscription_id}"
    item = (await at_stripe(world, "GET", path))["items"]["data"][0]
    changed = {"items[0][id]": item["id"], "items[0][quantity]": 7}
    await at_stripe(world, "POST", path, **changed)
    await world.settle()
    row = await customer.row()
    assert (row.quantity, row.parked_data) == (7, [])
    assert row.scheduled_change_data is not None
    assert row.scheduled_change_data["quantity"] == 4

    await renew(customer)

    row = await customer.row()
    found = (await at_stripe(world, "GET", path))["items"]["data"][0]
    assert (row.quantity, row.scheduled_change_data) == (found["quantity"], None)
    assert found["quantity"] == 4
    # A command of ours drops nothing that the portal has changed since.
    await customer.command(CommandKind.SCHEDULE_CHANGE, terms=ChangeTerms(quantity=9))
    changed["items[0][quantity]"] = 2
    await at_stripe(world, "POST", path, **changed)
    await customer.command(CommandKind.CANCEL_SCHEDULED_CHANGE)
    assert (await at_stripe(world, "GET", path))["items"]["data"][0]["quantity"] == 2
    assert (await customer.row()).quantity == 2
