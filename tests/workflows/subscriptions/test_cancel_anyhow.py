"""A cancel arrives in every phase, whatever Stripe did; and what is owed is not forgotten."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import func, select
from temporalio.client import WorkflowUpdateFailedError
from temporalio.service import RPCError, RPCStatusCode

from database.accounts.models import User
from database.payment_retries.models import PaymentAttempt
from domain.payment_retries.policy import CARD_ATTEMPT_LIMIT, RetryPolicy
from domain.stripe_operations import AttachPaymentMethod
from domain.subscriptions.lifecycle import CommandKind
from domain.subscriptions.messages import SubscriptionCommand
from tests.support.world import Customer, World
from tests.workflows.payment_retries.test_owed_invoices import (
    ONE_TRY,
    at_stripe,
    break_down,
    outcomes,
    start_another,
    wait_for_call,
)
from tests.workflows.payment_retries.test_payment_retry import fail_renewal, retry_now
from workflows.subscriptions.subscription import SubscriptionWorkflow

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
CANCEL_SECONDS = 20
TROUBLE: dict[str, dict[str, Any]] = {
    "an outage": {"before": 503},
    "a wrong key": {"before": 401},
    "refusals": {"before": 400},
    "other words": {"before": 404, "body": "<html>not Stripe</html>"},
    "broken lines": {"drop_before": True},
}
# One outage and one defect are tried in every run; the others in `make soak`.
SAMPLE = ("a wrong key", "other words")


async def cancel_in_time(customer: Customer) -> None:
    """Cancel; whoever waits longer than the API does fails with the hang that this would be."""
    command = SubscriptionCommand(command_id=uuid4(), kind=CommandKind.CANCEL_NOW)
    # Reason: ten times what it may take, as the machine may be busy; a mailbox that is held up
    # never answers.
    with customer.world.env.auto_time_skipping_disabled():
        async with asyncio.timeout(10 * CANCEL_SECONDS):
            while True:
                try:
                    state = await customer.mailbox.execute_update(
                        SubscriptionWorkflow.command, command, id=str(command.command_id)
                    )
                    break
                except RPCError as error:  # the test server ends a call that waits for long
                    if error.status is not RPCStatusCode.CANCELLED:
                        raise
    assert state.subscription_status == "canceled"


async def invoices_of(customer: Customer) -> list[str]:
    stripe_id = (await customer.row()).stripe_subscription_id
    found = await at_stripe(customer.world, "GET", "invoices", subscription=stripe_id)
    return [invoice["status"] for invoice in found["data"]]


@pytest.mark.parametrize("trouble", TROUBLE.values(), ids=TROUBLE.keys())
async def test_a_cancel_does_not_queue_behind_a_look_in_trouble(
    world: World, trouble: dict[str, Any]
) -> None:
    customer, _ = await fail_renewal(world, "generic_decline", policy=ONE_TRY)
    await break_down(world, {"match": "* /v1/*", **trouble})
    await customer.mailbox.signal(SubscriptionWorkflow.hint, ["evt_1"])
    await asyncio.sleep(1)
    await break_down(world)
    await cancel_in_time(customer)
    assert await invoices_of(customer) == ["void", "paid"]
    await world.step(2 * DAY)
    assert await outcomes(customer) == ["succeeded", "failed"]
    (retry,) = await customer.retries()
    assert retry.retry_status == "canceled"
    assert (await customer.row()).parked_data == []


async def test_a_charge_in_flight_when_the_cancel_comes_is_paid_back(world: World) -> None:
    customer, retry = await fail_renewal(world, "insufficient_funds", "ok", policy=ONE_TRY)
    path = f"/v1/invoices/{retry.stripe_invoice_id}/pay"
    slow = {"delay_seconds": 1, "delay_after_seconds": 1}
    await break_down(world, {"match": f"POST {path}", **slow})
    with world.env.auto_time_skipping_disabled():
        charging = asyncio.create_task(retry_now(customer, retry))
        await wait_for_call(world, "POST", path, None)
        await cancel_in_time(customer)
        with suppress(WorkflowUpdateFailedError):
            await charging
    await break_down(world)
    await world.step(HOUR)
    rows = [(row["kind"], row["outcome"], row["amount"]) for row in await customer.charges()]
    assert rows[-2:] == [("charge", "succeeded", 2_900), ("refund", "succeeded", 2_900)]
    assert (await customer.row()).parked_data == []


@pytest.mark.parametrize(
    ("call", "trouble", "parked"),
    [
        ("POST /v1/invoices/*/void", "refusals", ["void_all_invoices"]),
        ("POST /v1/invoices/*/void", "an outage", []),
        ("GET /v1/invoices", "other words", []),
    ],
)
async def test_what_a_cancel_leaves_open_is_voided_later(
    world: World, call: str, trouble: str, parked: list[str]
) -> None:
    """Stripe cancels, and then does not void: the cancel is answered, and the rest is owed."""
    customer, _ = await fail_renewal(world, "lost_card", policy=ONE_TRY)
    await break_down(world, {"match": call, **TROUBLE[trouble]})
    await cancel_in_time(customer)
    await asyncio.sleep(1)
    rows = (await customer.row()).parked_data
    assert [step["parked"]["step"] for step in rows] == parked
    if not call.startswith("GET"):
        assert await invoices_of(customer) == ["open", "paid"]
    await break_down(world)
    await world.step(HOUR)
    assert (await customer.row()).parked_data == []
    assert await invoices_of(customer) == ["void", "paid"]


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param(trouble, id=name, marks=[] if name in SAMPLE else pytest.mark.soak)
        for name, trouble in TROUBLE.items()
    ],
)
async def test_a_retry_in_trouble_is_taken_up_again(world: World, trouble: dict[str, Any]) -> None:
    """The invoice cannot be taken over from Stripe at first: no word of a decline, and it heals."""
    script = ("insufficient_funds", "ok")
    customer = await world.subscribe("ok", *script, policy=ONE_TRY, interval="week")
    await break_down(
        world,
        {"match": "POST /v1/invoices/*", "times": 2, **trouble},
        {"match": "GET /v1/invoices/*", "times": 2, **trouble},
    )
    while not await customer.retries():
        await world.step(DAY)
    await world.step(2 * DAY)
    (retry,) = await customer.retries()
    assert (retry.retry_status, retry.attempt_count) == ("recovered", 1)
    assert retry.parked_data == []
    assert await outcomes(customer) == ["succeeded", "failed", "succeeded"]


async def test_a_cancel_in_the_waits_of_a_last_resort(world: World) -> None:
    customer, _ = await fail_renewal(world, "generic_decline", policy=ONE_TRY)
    await break_down(world, {"match": "DELETE /v1/subscriptions/*", "before": 400})
    await world.env.sleep(DAY + HOUR / 60)
    for _ in range(300):
        if (await customer.row()).parked_data:
            break
        await asyncio.sleep(0.1)
    (step,) = (await customer.row()).parked_data
    assert step["parked"]["step"] == "last_resort"
    await break_down(world)
    await cancel_in_time(customer)
    await world.settle()
    assert (await customer.row()).parked_data == []
    assert await invoices_of(customer) == ["void", "paid"]


async def test_a_last_resort_is_not_forgotten_with_its_mailbox(world: World) -> None:
    customer, retry = await fail_renewal(world, "generic_decline", policy=ONE_TRY)
    await break_down(world, {"match": "DELETE /v1/subscriptions/*", "before": 400})
    await world.env.sleep(DAY + HOUR / 60)
    for _ in range(300):
        if (await customer.row()).parked_data:
            break
        await asyncio.sleep(0.1)
    assert (await customer.row()).parked_data
    await break_down(world)
    await customer.mailbox.terminate("as an operator may do")
    await world.hint(customer.subscription_id, ["evt_1"])
    await world.step(HOUR)
    row = await customer.row()
    assert (row.subscription_status, row.parked_data) == ("canceled", [])
    (retry,) = await customer.retries()
    assert retry.retry_status == "exhausted"
    assert await invoices_of(customer) == ["void", "paid"]


async def test_a_recovery_that_was_terminated_is_begun_again(world: World) -> None:
    customer, retry = await fail_renewal(world, "insufficient_funds", "ok", policy=ONE_TRY)
    await customer.payment_retry_of(retry).terminate("as an operator may do")
    await customer.mailbox.terminate("as an operator may do")
    await world.hint(customer.subscription_id, ["evt_1"])
    await world.settle()
    await world.step(DAY + HOUR)
    (retry,) = await customer.retries()
    assert retry.retry_status == "recovered"
    assert (await customer.row()).subscription_status == "active"


async def test_limits_are_those_of_the_card_s_number(world: World) -> None:
    """The same number attached again is the same card to the networks."""
    policy = RetryPolicy(schedules={"default": (60 * DAY,)}, grace=90 * DAY)
    customer, retry = await fail_renewal(world, "insufficient_funds", policy=policy)

    async def attach() -> None:
        await world.operate(
            AttachPaymentMethod,
            user_id=customer.user_id,
            stripe_payment_method_id="pm_card_chargeCustomerFail",
            is_default=True,
        )
        card = await default_card(customer)
        await customer.command(CommandKind.CHANGE_PAYMENT_METHOD, card)
        await world.settle()

    await attach()
    for _ in range(CARD_ATTEMPT_LIMIT + 1):
        await retry_now(customer, retry)
    charged = len(await outcomes(customer))
    async with world.sessions() as session:
        counts = await session.execute(
            select(PaymentAttempt.card_fingerprint, func.count()).group_by(
                PaymentAttempt.card_fingerprint
            )
        )
    assert max(count for _, count in counts) <= CARD_ATTEMPT_LIMIT
    await attach()
    assert len(await outcomes(customer)) == charged


async def default_card(customer: Customer) -> str:
    async with customer.world.sessions() as session:
        user = await session.get_one(User, customer.user_id)
    found = await at_stripe(customer.world, "GET", f"customers/{user.stripe_customer_id}")
    return str(found["invoice_settings"]["default_payment_method"])


@pytest.mark.soak
@pytest.mark.parametrize("delay_seconds", [3, 17])
async def test_created_after_its_cancel_was_answered(world: World, delay_seconds: int) -> None:
    """Stripe commits late: the cancel is answered, and what is made all the same is undone."""
    first = await world.subscribe("ok")
    late = {"match": "POST /v1/subscriptions", "times": 1, "delay_seconds": delay_seconds}
    await break_down(world, late)
    customer = await start_another(first)
    world.customers.append(customer)
    await wait_for_call(world, "POST", "/v1/subscriptions", None)
    await cancel_in_time(customer)
    await asyncio.sleep(max(0, delay_seconds - 10))
    for _ in range(4):
        await world.step(HOUR)
    async with world.sessions() as session:
        user = await session.get_one(User, customer.user_id)
    made = await at_stripe(
        world, "GET", "subscriptions", customer=user.stripe_customer_id, status="all"
    )
    by_status = sorted(each["status"] for each in made["data"])
    assert by_status in (["active"], ["active", "canceled"])
    ledger = (await world.http.get("/_sandbox/ledger")).json()["items"]
    mine = {each["id"] for each in made["data"] if each["status"] == "canceled"}
    charged = [row for row in ledger if row["subscription"] in mine and row["kind"] == "charge"]
    intents = {row["payment_intent"] for row in charged if row["outcome"] == "succeeded"}
    refunds = [r for r in ledger if r["kind"] == "refund" and r["payment_intent"] in intents]
    assert sum(row["amount"] for row in charged) == sum(row["amount"] for row in refunds)
