"""A long life: years of renewals, with no long history and no drift from Stripe."""

import time
from datetime import timedelta

import pytest
from temporalio.api.enums.v1 import EventType

from domain.stripe_operations import CreatePlan
from domain.subscriptions.lifecycle import CommandKind
from domain.subscriptions.previews import ChangeTerms
from domain.workflow_names import CONTINUE_AS_NEW_AFTER
from tests.conftest import Measure
from tests.support.world import Customer, World, make_plan_request
from tests.workflows.subscriptions.test_changes import price_of

HOUR = timedelta(hours=1)
LONGEST_HISTORY = 2_000
CONTINUED = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW


async def renew(customer: Customer) -> None:
    """Advance both clocks until the next invoice is finalized and paid."""
    end = (await customer.row()).current_period_end
    assert end is not None
    world = customer.world
    while (ahead := end - await world.env.get_current_time()) > timedelta():
        await world.env.sleep(ahead)
    await world.settle()
    # Reason: Stripe finalizes the invoice of a renewal an hour after it made the draft.
    await world.step(HOUR + timedelta(minutes=1))


async def history_lengths(customer: Customer) -> list[int]:
    """Return the number of events of each run of the mailbox, oldest first."""
    lengths, run_id = [], customer.first_run_id
    while run_id:
        handle = customer.world.env.client.get_workflow_handle(customer.mailbox.id, run_id=run_id)
        events = (await handle.fetch_history()).events
        lengths.append(len(events))
        last = events[-1]
        continued = last.workflow_execution_continued_as_new_event_attributes
        run_id = continued.new_execution_run_id if last.event_type == CONTINUED else None
    return lengths


@pytest.mark.parametrize(
    ("interval", "renewal_count", "continue_as_new_after"),
    [
        ("year", 10, 60),
        pytest.param("month", 120, CONTINUE_AS_NEW_AFTER, marks=pytest.mark.soak),
    ],
)
async def test_ten_years(
    world: World, measure: Measure, interval: str, renewal_count: int, continue_as_new_after: int
) -> None:
    customer = await world.subscribe(
        "ok", interval=interval, continue_as_new_after=continue_as_new_after
    )
    first = (await customer.row()).current_period_start
    assert first is not None
    for number in range(renewal_count):
        # Reason: a card expires within these years, and its owner gets another one.
        if number == renewal_count // 4:
            await customer.add_card("ok")
        await renew(customer)

    row = await customer.row()
    assert (row.subscription_status, row.parked_data) == ("active", [])
    assert row.current_period_start is not None
    # Reason: also in leap years and shorter months the day of the first period is kept.
    assert row.current_period_start == first.replace(year=first.year + 10)
    outcomes = [charge["outcome"] for charge in await customer.charges()]
    assert outcomes == ["succeeded"] * (renewal_count + 1)
    lengths = await history_lengths(customer)
    assert len(lengths) > 1
    assert max(lengths) <= LONGEST_HISTORY
    measure(f"ten years, by the {interval}: {len(lengths)} runs, {max(lengths)} events at most")


async def test_a_year_with_a_failure_and_a_change(world: World, measure: Measure) -> None:
    started, cpu = time.monotonic(), time.process_time()
    customer = await world.subscribe("ok", "ok", "ok", "insufficient_funds", "ok", interval="month")
    for _ in range(3):
        await renew(customer)
    await world.step(timedelta(days=3))
    for _ in range(3):
        await renew(customer)
    await customer.command(CommandKind.CHANGE_PLAN, terms=await other_plan(world))
    for _ in range(6):
        await renew(customer)
    await customer.command(CommandKind.CANCEL_NOW)

    took, used = time.monotonic() - started, time.process_time() - cpu
    measure(f"a subscription-year, full stack: {took:.1f} s, {used:.1f} s CPU of this process")
    charges = await customer.charges()
    outcomes = [charge["outcome"] for charge in charges]
    assert outcomes == ["succeeded"] * 3 + ["failed"] + ["succeeded"] * 11
    assert [charge["amount"] for charge in charges[-6:]] == [9_000] * 6
    assert [retry.retry_status for retry in await customer.retries()] == ["recovered"]
    assert (await customer.row()).subscription_status == "canceled"


async def other_plan(world: World) -> ChangeTerms:
    """Make a plan that costs more, and return the change to it."""
    plan = make_plan_request("default", amount_cents=9_000)
    made = await world.operate(CreatePlan, plan=plan)
    price = await price_of(world, made.resource_id)
    return ChangeTerms(plan_id=made.resource_id, stripe_price_id=price)
