"""What a payment's workflow does with time, with hints, and with whoever wants to end it."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError

from domain.payments.rules import ACTION_PERIOD, PaymentStatus
from domain.workflow_names import PAYMENT_HINT
from tests.support.payers import Payer, start_paying
from tests.support.world import World

HOUR = timedelta(hours=1)


async def scheduled(payer: Payer, activity_type: str) -> int:
    """Count how often an activity was ordered in the present run."""
    count = 0
    async for event in payer.handle.fetch_history_events():
        if event.HasField("activity_task_scheduled_event_attributes"):
            attributes = event.activity_task_scheduled_event_attributes
            count += attributes.activity_type.name == activity_type
    return count


async def break_down(world: World, **fault: Any) -> None:
    body = {"api": [fault] if fault else []}
    (await world.http.post("/_sandbox/faults", json=body)).raise_for_status()


async def is_under_way(world: World, path: str) -> bool:
    """Say whether a request is being answered."""
    log = (await world.http.get("/_sandbox/requests")).raise_for_status().json()["items"]
    return any(row["path"] == path and row["status"] is None for row in log)


async def test_what_nobody_authenticates_is_called_off_after_23_hours(world: World) -> None:
    payer = await start_paying(world, "authentication_required")
    waiting = await payer.reaches(PaymentStatus.REQUIRES_ACTION)
    assert waiting.next_action_url is not None
    await world.env.sleep(ACTION_PERIOD - HOUR)
    assert (await payer.reaches(PaymentStatus.REQUIRES_ACTION)).decline_code is None
    await world.env.sleep(2 * HOUR)
    row = await payer.reaches(PaymentStatus.CANCELED)
    assert row.next_action_url is None
    await payer.ends()
    assert await payer.ledger("charge") == [("failed", 2_500)]


async def test_any_number_of_hints_is_one_look(world: World) -> None:
    payer = await start_paying(world, "authentication_required")
    await payer.reaches(PaymentStatus.REQUIRES_ACTION)
    await break_down(world, match="GET /v1/payment_intents/*", times=1, delay_seconds=2)
    for number in range(6):
        await payer.handle.signal(PAYMENT_HINT, [f"evt_{number}"])
    async with asyncio.timeout(100):
        while await scheduled(payer, "refresh_payment") < 2:  # noqa: ASYNC110 - no event tells it
            await asyncio.sleep(0.05)
    await asyncio.sleep(0.2)
    assert await scheduled(payer, "refresh_payment") == 2  # the first, and one for all others
    await payer.commands.cancel(payer.payment_id, payer.payment_id)
    await payer.ends()


async def test_a_long_wait_goes_on_in_a_new_run_and_keeps_its_end(world: World) -> None:
    payer = await start_paying(world, "authentication_required", continue_as_new_after=10)
    await payer.reaches(PaymentStatus.REQUIRES_ACTION)
    first = (await payer.handle.describe()).run_id
    await world.env.sleep(ACTION_PERIOD - HOUR)
    await payer.handle.signal(PAYMENT_HINT, ["evt_1"])
    async with asyncio.timeout(100):
        while (await payer.handle.describe()).run_id == first:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    await world.env.sleep(2 * HOUR)
    await payer.reaches(PaymentStatus.CANCELED)
    await payer.ends()


async def test_whoever_cancels_the_workflow_leaves_no_refund_without_its_record(
    world: World,
) -> None:
    payer = await start_paying(world, "ok")
    await payer.reaches(PaymentStatus.SUCCEEDED)
    await payer.ends()
    await break_down(world, match="POST /v1/refunds", times=1, delay_seconds=3)
    order = payer.refund_input(400)
    asked = asyncio.create_task(payer.commands.refund(order))
    while not await is_under_way(world, "/v1/refunds"):  # noqa: ASYNC110 - another process
        await asyncio.sleep(0.05)
    await payer.handle.cancel()
    made = await asked
    assert (made.refund_id, made.amount_cents) == (order.refund_id, 400)
    with pytest.raises(WorkflowFailureError):
        await payer.ends()
    described = await payer.handle.describe()
    assert described.status is WorkflowExecutionStatus.CANCELED
    row = await payer.reaches(PaymentStatus.PARTIALLY_REFUNDED)
    assert row.refunded_cents == 400
    assert await payer.ledger("refund") == [("succeeded", 400)]
