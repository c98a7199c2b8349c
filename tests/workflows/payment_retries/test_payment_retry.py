"""Failed renewals over weeks of both clocks: retried, recovered, given up, by the policy."""

from datetime import timedelta
from uuid import uuid4

import pytest
from temporalio.client import WorkflowUpdateFailedError
from temporalio.service import RPCError

from database.payment_retries.models import PaymentRetry
from domain.payment_retries.messages import RetryNow, RetrySnapshot
from domain.payment_retries.policy import LastResort, OlderInvoices, RetryPolicy
from domain.subscriptions.lifecycle import CommandKind
from tests.support.world import Customer, World
from workflows.payment_retries.payment_retry import PaymentRetryWorkflow

DAY = timedelta(days=1)


async def fail_renewal(
    world: World,
    *script: str,
    policy: RetryPolicy | None = None,
    interval: str = "week",
) -> tuple[Customer, PaymentRetry]:
    """Subscribe with a card that pays once and then answers by script, up to the first failure."""
    customer = await world.subscribe("ok", *script, policy=policy, interval=interval)
    while not await customer.retries():
        await world.step(DAY)
    (retry,) = await customer.retries()
    return customer, retry


async def retry_now(customer: Customer, retry: PaymentRetry) -> RetrySnapshot:
    command = RetryNow(command_id=uuid4())
    return await customer.payment_retry_of(retry).execute_update(
        PaymentRetryWorkflow.retry_now,
        command,
        id=str(command.command_id),
    )


async def test_starts_and_renews(world: World) -> None:
    customer = await world.subscribe("ok")
    row = await customer.row()
    assert (row.subscription_status, row.parked_data) == ("active", [])
    assert row.current_period_end is not None
    first_end = row.current_period_end

    await world.step(timedelta(days=32))

    row = await customer.row()
    assert row.subscription_status == "active"
    assert row.current_period_start == first_end
    assert [charge["outcome"] for charge in await customer.charges()] == ["succeeded"] * 2


async def test_a_failed_renewal_is_recovered_by_the_second_retry(world: World) -> None:
    customer, retry = await fail_renewal(world, "insufficient_funds", "insufficient_funds", "ok")
    row = await customer.row()
    assert (row.subscription_status, retry.retry_status) == ("past_due", "waiting")
    assert row.grace_ends_at is not None

    await world.step(4 * DAY + timedelta(hours=1))

    (retry,) = await customer.retries()
    assert (retry.retry_status, retry.attempt_count) == ("recovered", 2)
    row = await customer.row()
    assert (row.subscription_status, row.grace_ends_at) == ("active", None)
    outcomes = [charge["outcome"] for charge in await customer.charges()]
    assert outcomes == ["succeeded", "failed", "failed", "succeeded"]
    kinds = [event.kind for event in await customer.events()]
    assert kinds.count("retry_failed") == 1
    assert kinds.count("retry_paid") == 1


@pytest.mark.parametrize(
    ("last_resort", "afterwards", "status"),
    [
        (LastResort.CANCEL, LastResort.CANCEL, "canceled"),
        (LastResort.PAUSE, LastResort.CANCEL, "paused"),
        (LastResort.MARK_UNCOLLECTIBLE, LastResort.CANCEL, "canceled"),
        (LastResort.MARK_UNCOLLECTIBLE, LastResort.PAUSE, "paused"),
    ],
)
async def test_the_last_resort_comes_at_once_after_the_last_failure(
    world: World,
    last_resort: LastResort,
    afterwards: LastResort,
    status: str,
) -> None:
    policy = RetryPolicy(
        schedules={"default": (DAY, 2 * DAY)},
        last_resort=last_resort,
        after_uncollectible=afterwards,
    )
    customer, retry = await fail_renewal(world, "insufficient_funds", policy=policy)

    await world.step(3 * DAY - timedelta(hours=1))
    assert (await customer.row()).subscription_status == "past_due"
    assert len(await customer.charges()) == 3
    await world.step(timedelta(hours=2))

    (retry,) = await customer.retries()
    assert (retry.retry_status, retry.attempt_count) == ("exhausted", 2)
    row = await customer.row()
    assert (row.subscription_status, row.parked_data) == (status, [])
    assert len(await customer.charges()) == 4
    kinds = [event.kind for event in await customer.events()]
    assert kinds.count("last_resort") == 1


async def test_a_lost_card_is_not_charged_again_and_another_one_is_at_once(world: World) -> None:
    customer, retry = await fail_renewal(world, "lost_card")
    assert retry.retry_status == "waiting_payment_method"
    await world.step(5 * DAY)
    assert len(await customer.charges()) == 2

    await customer.add_card("ok")
    await world.settle()

    (retry,) = await customer.retries()
    assert (retry.retry_status, retry.attempt_count) == ("recovered", 0)
    assert (await customer.row()).subscription_status == "active"
    assert len(await customer.charges()) == 3


async def test_a_soft_decline_of_another_card_resumes_the_schedule(world: World) -> None:
    customer, retry = await fail_renewal(world, "lost_card")
    await customer.add_card("insufficient_funds", "ok")
    await world.settle()
    (retry,) = await customer.retries()
    assert (retry.retry_status, retry.attempt_count) == ("waiting", 0)

    await world.step(DAY + timedelta(hours=1))

    (retry,) = await customer.retries()
    assert (retry.retry_status, retry.attempt_count) == ("recovered", 1)


async def test_waiting_for_a_card_ends_with_grace(world: World) -> None:
    policy = RetryPolicy(schedules={"default": (DAY,)}, grace=4 * DAY)
    customer, _ = await fail_renewal(world, "stolen_card", policy=policy)

    await world.step(3 * DAY)
    assert (await customer.row()).subscription_status == "past_due"
    await world.step(2 * DAY)

    (retry,) = await customer.retries()
    assert (retry.retry_status, retry.attempt_count) == ("exhausted", 0)
    assert (await customer.row()).subscription_status == "canceled"
    assert len(await customer.charges()) == 2
    kinds = [event.kind for event in await customer.events()]
    assert "last_resort" in kinds
    assert "grace_ended" not in kinds  # the payment retry spoke first, and nothing was left to end


async def test_grace_ends_while_retries_go_on(world: World) -> None:
    policy = RetryPolicy(schedules={"default": (DAY, 5 * DAY)}, grace=2 * DAY)
    customer, _ = await fail_renewal(
        world, *["insufficient_funds"] * 2, "ok", policy=policy, interval="month"
    )

    await world.step(3 * DAY)

    assert "grace_ended" in [event.kind for event in await customer.events()]
    assert (await customer.row()).subscription_status == "past_due"
    await world.step(4 * DAY)
    assert (await customer.row()).subscription_status == "active"


async def test_authentication_is_asked_for_and_not_retried(world: World) -> None:
    customer, retry = await fail_renewal(world, "authentication_required")
    assert retry.retry_status == "waiting_authentication"
    await world.step(3 * DAY)
    assert len([c for c in await customer.charges() if c["outcome"] == "succeeded"]) == 1


async def test_retry_now_neither_uses_up_nor_moves_a_scheduled_try(world: World) -> None:
    customer, retry = await fail_renewal(world, *["insufficient_funds"] * 3, "ok")
    planned = retry.next_attempt_at

    snapshot = await retry_now(customer, retry)
    await world.settle()

    assert (snapshot.retry_status, snapshot.attempt_count) == ("waiting", 0)
    (retry,) = await customer.retries()
    assert (retry.attempt_count, retry.next_attempt_at) == (0, planned)
    assert len(await customer.charges()) == 3


async def test_retry_now_is_refused_once_the_recovery_has_ended(world: World) -> None:
    customer, retry = await fail_renewal(world, "insufficient_funds", "ok")
    assert (await retry_now(customer, retry)).retry_status == "recovered"
    with pytest.raises((WorkflowUpdateFailedError, RPCError)):
        await retry_now(customer, retry)


async def test_somebody_else_pays(world: World) -> None:
    customer, retry = await fail_renewal(world, "insufficient_funds", "ok")
    paid = await world.http.post(
        f"/v1/invoices/{retry.stripe_invoice_id}/pay",
        headers={"Authorization": "Bearer sk_test_x"},
    )
    assert paid.status_code == 200

    await world.settle()

    (retry,) = await customer.retries()
    assert (retry.retry_status, retry.attempt_count) == ("recovered", 0)
    assert (await customer.row()).subscription_status == "active"


@pytest.mark.parametrize("older", [OlderInvoices.COLLECT, OlderInvoices.VOID])
async def test_the_newer_invoice_goes_first(world: World, older: OlderInvoices) -> None:
    policy = RetryPolicy(
        schedules={"default": (5 * DAY, 10 * DAY)},
        grace=30 * DAY,
        older_invoices=older,
    )
    script = ["insufficient_funds"] * 3 + ["ok"]
    customer, _ = await fail_renewal(world, *script, policy=policy)
    while len(await customer.retries()) < 2:
        await world.step(DAY)
    newer, first = await customer.retries()
    assert (newer.retry_status, first.retry_status) == ("waiting", "paused")

    await world.step(5 * DAY + timedelta(hours=1))

    newer, first = await customer.retries()
    assert newer.retry_status == "recovered"
    assert first.retry_status == ("waiting" if older is OlderInvoices.COLLECT else "canceled")
    await world.step(5 * DAY)
    *_, first = await customer.retries()
    assert first.retry_status == ("recovered" if older is OlderInvoices.COLLECT else "canceled")


async def test_a_card_is_charged_no_more_often_than_the_networks_allow(world: World) -> None:
    policy = RetryPolicy(schedules={"default": (30 * DAY,)}, grace=60 * DAY)
    customer, retry = await fail_renewal(world, "insufficient_funds", policy=policy)
    for _ in range(14):
        assert (await retry_now(customer, retry)).retry_status == "waiting"
    charged = len(await customer.charges())

    snapshot = await retry_now(customer, retry)
    await world.settle()

    assert len(await customer.charges()) == charged
    assert snapshot.retry_status == "waiting_payment_method"
    (retry,) = await customer.retries()
    assert retry.retry_status == "waiting_payment_method"


async def test_cancel_stops_the_recovery_first(world: World) -> None:
    customer, retry = await fail_renewal(world, "insufficient_funds", "ok")

    state = await customer.command(CommandKind.CANCEL_NOW)

    assert state.subscription_status == "canceled"
    await world.step(5 * DAY)
    (retry,) = await customer.retries()
    assert retry.retry_status == "canceled"
    assert len(await customer.charges()) == 2
    with pytest.raises((WorkflowUpdateFailedError, RPCError)):
        await customer.command(CommandKind.CANCEL_NOW)


async def test_a_card_of_the_subscription_itself_is_replaced_there(world: World) -> None:
    customer, retry = await fail_renewal(world, "lost_card")
    card = await customer.add_card("ok")
    await world.settle()
    state = await customer.command(CommandKind.CHANGE_PAYMENT_METHOD, card)
    assert state.subscription_status == "active"
    assert len(await customer.charges()) == 3
    (retry,) = await customer.retries()
    assert retry.retry_status == "recovered"
