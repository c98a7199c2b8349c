"""The mailbox: starts, commands, hints and rotation, in any order and any number."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.service import RPCError

from domain.ids import subscription_workflow_id
from domain.subscriptions.lifecycle import CommandKind
from domain.subscriptions.messages import SubscriptionCommand, SubscriptionRequest
from domain.subscriptions.previews import CouponSnapshot
from domain.subscriptions.state import SubscriptionStart, SubscriptionState
from domain.workflow_names import BILLING
from tests.support.world import Customer, World
from tests.workflows.payment_retries.test_owed_invoices import at_stripe
from workflows.subscriptions.subscription import SubscriptionWorkflow


async def start_by_hint(customer: Customer, *event_ids: str) -> SubscriptionState | None:
    """Do what the dispatcher does for a workflow that has ended; wait for its end."""
    client = customer.world.env.client
    handle: WorkflowHandle[
        SubscriptionWorkflow, SubscriptionState | None
    ] = await client.start_workflow(
        SubscriptionWorkflow.run,
        SubscriptionStart.new(customer.subscription_id),
        id=subscription_workflow_id(customer.subscription_id),
        task_queue=BILLING,
        start_signal="hint",
        start_signal_args=[list(event_ids)],
    )
    with customer.world.env.auto_time_skipping_disabled():
        return await handle.result()


async def test_a_declined_first_charge_leaves_it_incomplete_and_unretried(world: World) -> None:
    customer = await world.subscribe("insufficient_funds")
    row = await customer.row()
    assert row.subscription_status == "incomplete"
    assert row.next_action_url is not None

    await world.step(timedelta(days=2))

    assert (await customer.row()).subscription_status == "incomplete_expired"
    assert await customer.retries() == []
    assert len(await customer.charges()) == 1


async def test_without_a_card_it_waits_for_one(world: World) -> None:
    customer = await world.subscribe()
    row = await customer.row()
    assert (row.subscription_status, row.parked_data) == ("incomplete", [])
    assert row.next_action_url is not None


async def test_a_trial_without_a_card_ends_paused(world: World) -> None:
    customer = await world.subscribe(trial_days=7)
    assert (await customer.row()).subscription_status == "trialing"
    await world.step(timedelta(days=8))
    assert (await customer.row()).subscription_status == "paused"


async def test_what_stripe_refuses_for_good_is_parked_and_can_be_canceled(world: World) -> None:
    customer = await world.subscribe("ok")
    broken = Customer(world, customer.user_id, uuid4())
    plan_id = (await customer.row()).plan_id
    request = SubscriptionRequest(
        user_id=customer.user_id,
        plan_id=plan_id,
        stripe_price_id="price_that_never_was",
        is_stackable=True,
    )
    await world.env.client.start_workflow(
        SubscriptionWorkflow.run,
        SubscriptionStart.new(broken.subscription_id, request),
        id=subscription_workflow_id(broken.subscription_id),
        task_queue=BILLING,
    )
    world.customers.append(broken)
    await world.settle()

    row = await broken.row()
    assert row.subscription_status == "incomplete"
    (parked,) = row.parked_data
    assert "price_that_never_was" in parked["parked"]["message"]
    assert (await broken.events())[-1].kind == "parked"
    state = await broken.command(CommandKind.CANCEL_NOW)
    assert state.subscription_status == "canceled"


@pytest.mark.parametrize("is_deleted", [False, True], ids=["used up", "deleted"])
async def test_a_start_whose_discount_is_gone_meanwhile_ends(
    world: World, is_deleted: bool
) -> None:
    coupon = (await at_stripe(world, "POST", "coupons", percent_off="50", duration="once"))["id"]
    given = {"promotion[type]": "coupon", "promotion[coupon]": coupon}
    code = await at_stripe(world, "POST", "promotion_codes", **given)
    await at_stripe(world, "POST", f"promotion_codes/{code['id']}", active="false")
    if is_deleted:
        await at_stripe(world, "DELETE", f"coupons/{coupon}")
    name = None if is_deleted else code["id"]
    discount = CouponSnapshot(coupon=coupon, stripe_promotion_code_id=name)
    customer = await world.subscribe("ok", discount=discount, trial_days=7)
    row = await customer.row()
    assert (row.subscription_status, row.parked_data) == ("incomplete_expired", [])
    assert (row.stripe_subscription_id, row.trial_days) == (None, 0)
    told = [event.kind for event in await customer.events()]
    assert told == ["discount_refused", "status_changed"]
    described = await customer.mailbox.describe()
    assert described.status is WorkflowExecutionStatus.COMPLETED


async def test_a_repeated_command_is_done_once_and_answered_twice(world: World) -> None:
    customer = await world.subscribe("ok")
    command = SubscriptionCommand(command_id=uuid4(), kind=CommandKind.CANCEL_NOW)
    answers = await asyncio.gather(
        *(
            customer.mailbox.execute_update(SubscriptionWorkflow.command, command, id=f"{number}")
            for number in range(3)
        ),
    )
    assert {answer.subscription_status for answer in answers} == {"canceled"}
    kinds = [event.kind for event in await customer.events()]
    assert kinds.count("cancel_now") == 1


async def test_a_late_hint_on_an_ended_subscription_looks_once_and_ends(world: World) -> None:
    customer = await world.subscribe("ok")
    await customer.command(CommandKind.CANCEL_NOW)
    await world.settle()
    before = len(await customer.events())

    state = await start_by_hint(customer, "evt_late")

    assert state is not None
    assert state.subscription_status == "canceled"
    assert [event.source_key for event in (await customer.events())[before:]] == ["evt_late"]
    assert await start_by_hint(customer, "evt_late") == state
    assert len(await customer.events()) == before + 1


async def test_a_hint_for_nobody_ends_without_a_trace(world: World) -> None:
    nobody = Customer(world, uuid4(), uuid4())
    assert await start_by_hint(nobody, "evt_of_nobody") is None


async def change_card(customer: Customer, card: str, number: int) -> SubscriptionState:
    """Hint at an event and change the card, again as long as the mailbox is busy rotating."""
    command = SubscriptionCommand(
        command_id=uuid4(),
        kind=CommandKind.CHANGE_PAYMENT_METHOD,
        stripe_payment_method_id=card,
    )
    await customer.mailbox.signal(SubscriptionWorkflow.hint, [f"evt_{number}"])
    for _ in range(100):
        try:
            return await customer.mailbox.execute_update(
                SubscriptionWorkflow.command,
                command,
                id=str(command.command_id),
            )
        except (WorkflowUpdateFailedError, RPCError):
            await asyncio.sleep(0.05)
    raise TimeoutError(number)


async def test_rotation_loses_neither_commands_nor_hints(world: World) -> None:
    """Interleave commands and hints with a rotation every few events; all are answered."""
    customer = await world.subscribe("ok")
    card = await customer.add_card("ok")
    await world.settle()
    state = await customer.mailbox.query(SubscriptionWorkflow.view)
    await customer.mailbox.terminate("started again with a small history")
    start = SubscriptionStart(
        subscription_id=customer.subscription_id,
        state=state,
        continue_as_new_after=60,
    )
    first = await world.env.client.start_workflow(
        SubscriptionWorkflow.run,
        start,
        id=subscription_workflow_id(customer.subscription_id),
        task_queue=BILLING,
    )

    answers = [
        answer
        for batch in range(5)
        for answer in await asyncio.gather(
            *(change_card(customer, card, batch * 4 + number) for number in range(4))
        )
    ]

    assert {answer.subscription_status for answer in answers} == {"active"}
    await world.settle()
    described = await customer.mailbox.describe()
    assert described.run_id != first.first_execution_run_id
    events = await customer.events()
    assert sum(event.kind == "change_payment_method" for event in events) == 20
    assert {f"evt_{number}" for number in range(20)} <= {event.source_key for event in events}
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
