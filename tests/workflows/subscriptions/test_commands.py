"""Commands to a subscription: how they end, what Stripe has then, and what is charged."""

import asyncio
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from domain.subscriptions.lifecycle import CommandKind
from domain.subscriptions.messages import CancelRefund, SubscriptionCommand
from domain.subscriptions.state import SubscriptionState
from tests.support.world import STRIPE_HEADERS, Customer, World

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
K = CommandKind


async def stripe(world: World, method: str, path: str, **params: Any) -> dict[str, Any]:
    """Read or change something at Stripe, as the Dashboard does."""
    query, form = (params, None) if method == "GET" else (None, params)
    reply = await world.http.request(
        method, f"/v1/{path}", params=query, data=form, headers=STRIPE_HEADERS
    )
    found: dict[str, Any] = reply.raise_for_status().json()
    return found


async def at_stripe(customer: Customer) -> dict[str, Any]:
    stripe_id = (await customer.row()).stripe_subscription_id
    return await stripe(customer.world, "GET", f"subscriptions/{stripe_id}")


async def follows(customer: Customer) -> dict[str, Any]:
    """Check that the view shows what Stripe has, and return Stripe's subscription."""
    await customer.world.settle()
    row, found = await customer.row(), await at_stripe(customer)
    assert row.subscription_status == found["status"]
    for name in ("cancel_at", "canceled_at", "trial_end"):
        ours = getattr(row, name)
        assert (ours and int(ours.timestamp())) == found[name], name
    assert row.parked_data == []
    return found


async def refused(customer: Customer, kind: CommandKind, **fields: Any) -> ApplicationError:
    """Return the refusal of a command."""
    with pytest.raises(WorkflowUpdateFailedError) as caught:
        await customer.command(kind, **fields)
    cause = caught.value.cause
    assert isinstance(cause, ApplicationError)
    return cause


async def kinds(customer: Customer) -> list[str]:
    return [event.kind for event in await customer.events()]


async def amounts(customer: Customer, kind: str = "charge") -> list[tuple[str, int]]:
    return [
        (row["outcome"], row["amount"]) for row in await customer.ledger() if row["kind"] == kind
    ]


async def test_a_cancel_at_the_end_and_its_opposite(world: World) -> None:
    customer = await world.subscribe("ok", interval="week")
    state = await customer.command(K.CANCEL_AT_PERIOD_END)
    row = await customer.row()
    assert state.subscription_status == "active"
    assert row.cancel_at == row.current_period_end
    assert (await follows(customer))["cancel_at_period_end"]

    await customer.command(K.UNCANCEL)
    assert (await customer.row()).cancel_at is None
    assert not (await follows(customer))["cancel_at_period_end"]
    await world.step(8 * DAY)
    assert await amounts(customer) == [("succeeded", 2_900)] * 2

    await customer.command(K.CANCEL_AT_PERIOD_END)
    await world.step(8 * DAY)
    assert (await follows(customer))["status"] == "canceled"
    assert await amounts(customer) == [("succeeded", 2_900)] * 2


async def test_an_end_at_a_date_of_the_dashboard_is_taken_back(world: World) -> None:
    customer = await world.subscribe("ok", interval="month")
    row = await customer.row()
    assert row.current_period_end is not None
    ends_at = int((row.current_period_end - 10 * DAY).timestamp())
    await stripe(
        world, "POST", f"subscriptions/{row.stripe_subscription_id}",
        cancel_at=ends_at, proration_behavior="none",
    )  # fmt: skip
    assert (await follows(customer))["cancel_at"] == ends_at
    await customer.command(K.UNCANCEL)
    assert (await follows(customer))["cancel_at"] is None


async def test_the_last_of_two_commands_in_one_second_wins_and_both_are_told(world: World) -> None:
    customer = await world.subscribe("ok", interval="week")
    first = customer.command(K.CANCEL_AT_PERIOD_END)
    second = customer.command(K.UNCANCEL)
    states = await asyncio.gather(first, second)
    assert {state.subscription_status for state in states} == {"active"}
    told = [kind for kind in await kinds(customer) if kind in {"uncancel", "cancel_at_period_end"}]
    assert sorted(told) == ["cancel_at_period_end", "uncancel"]
    is_ending = (await follows(customer))["cancel_at"] is not None
    assert is_ending is (told[-1] == "cancel_at_period_end")


async def test_a_pause_credits_the_unused_time_to_the_next_period(world: World) -> None:
    customer = await world.subscribe("ok", interval="week", amount_cents=7_000)
    await world.step(3 * DAY)
    state = await customer.command(K.PAUSE)
    assert state.subscription_status == "paused"
    await follows(customer)
    await world.step(9 * DAY)
    assert await amounts(customer) == [("succeeded", 7_000)]

    state = await customer.command(K.RESUME)
    assert state.subscription_status == "active"
    found = await follows(customer)
    second = (await amounts(customer))[1]
    assert second[0] == "succeeded"
    assert abs(second[1] - 3_000) <= 10  # four of seven days were credited
    period = found["items"]["data"][0]
    now = (await world.env.get_current_time()).timestamp()
    assert abs(period["current_period_start"] - now) < 60
    assert {"pause", "resume"} <= set(await kinds(customer))


async def test_a_pause_until_a_date_ends_by_itself(world: World) -> None:
    customer = await world.subscribe("ok", interval="month")
    resume_at = await world.env.get_current_time() + 5 * DAY
    await customer.command(K.PAUSE, resume_at=resume_at)
    assert (await customer.row()).resume_at == resume_at
    await world.step(4 * DAY)
    assert (await customer.row()).subscription_status == "paused"
    await world.step(1 * DAY + HOUR)
    assert (await follows(customer))["status"] == "active"
    assert (await customer.row()).resume_at is None


async def test_a_declined_resume_changes_nothing(world: World) -> None:
    customer = await world.subscribe("ok", "insufficient_funds", "ok", interval="week")
    await world.step(5 * DAY)
    await customer.command(K.PAUSE)
    await world.step(8 * DAY)
    error = await refused(customer, K.RESUME)
    assert (error.type, error.details[0]["decline_code"]) == (
        "payment_failed",
        "insufficient_funds",
    )
    found = await follows(customer)
    assert found["status"] == "paused"
    invoice = await stripe(world, "GET", f"invoices/{found['latest_invoice']}")
    assert invoice["status"] == "void"
    assert await customer.retries() == []
    assert "resume" not in await kinds(customer)

    state = await customer.command(K.RESUME)
    assert state.subscription_status == "active"
    assert [outcome for outcome, _ in await amounts(customer)] == [
        "succeeded",
        "failed",
        "succeeded",
    ]


async def test_a_resume_that_needs_authentication_waits_for_the_customer(world: World) -> None:
    customer = await world.subscribe("ok", "authentication_required", interval="week")
    await world.step(5 * DAY)
    await customer.command(K.PAUSE)
    await world.step(8 * DAY)
    state = await customer.command(K.RESUME)
    row = await customer.row()
    assert state.subscription_status == row.subscription_status == "paused"
    assert row.next_action_url is not None
    assert await customer.retries() == []
    card = await world.card("ok")
    invoice_id = (await at_stripe(customer))["latest_invoice"]
    await world.http.post(f"/i/{invoice_id}", json={"payment_method": card})
    assert (await follows(customer))["status"] == "active"


async def test_a_pause_whose_end_cannot_be_paid_goes_on(world: World) -> None:
    customer = await world.subscribe("ok", "lost_card", interval="week")
    await world.step(5 * DAY)
    resume_at = await world.env.get_current_time() + 8 * DAY
    await customer.command(K.PAUSE, resume_at=resume_at)
    await world.step(8 * DAY + HOUR)
    row = await customer.row()
    assert (row.subscription_status, row.resume_at, row.parked_data) == ("paused", None, [])
    (failed,) = [event for event in await customer.events() if event.kind == "resume_failed"]
    assert failed.event_data == {"decline_code": "lost_card"}
    assert await customer.retries() == []
    await follows(customer)


async def test_a_trial_that_paused_without_a_card_is_resumed_with_one(world: World) -> None:
    customer = await world.subscribe(trial_days=7, interval="week")
    await world.step(8 * DAY)
    assert (await customer.row()).subscription_status == "paused"
    error = await refused(customer, K.RESUME)
    assert (error.type, error.details[0]["decline_code"]) == (
        "payment_failed",
        "no_payment_method",
    )
    await customer.add_card("ok")
    assert (await customer.row()).subscription_status == "paused"
    state = await customer.command(K.RESUME)
    assert state.subscription_status == "active"
    assert await amounts(customer) == [("succeeded", 2_900)]
    await follows(customer)


async def test_a_cancel_at_once_refunds_what_stripe_calls_unused(world: World) -> None:
    customer = await world.subscribe("ok", interval="week", amount_cents=7_000)
    await world.step(2 * DAY)
    stripe_id = (await customer.row()).stripe_subscription_id
    preview = await stripe(
        world, "POST", "invoices/create_preview",
        subscription=stripe_id, **{"subscription_details[cancel_now]": "true"},
    )  # fmt: skip
    state = await customer.command(K.CANCEL_NOW, refund=CancelRefund.UNUSED)
    assert state.subscription_status == "canceled"
    await follows(customer)
    ((outcome, amount),) = await amounts(customer, "refund")
    assert outcome == "succeeded"
    assert abs(amount + preview["total"]) <= 10  # the preview was some seconds earlier
    assert abs(amount - 5_000) <= 10
    (told,) = [event for event in await customer.events() if event.kind == "unused_time_refunded"]
    assert told.event_data == {"amount_cents": amount, "currency_code": "usd"}


async def test_a_paused_credit_is_refunded_with_the_cancel(world: World) -> None:
    customer = await world.subscribe("ok", interval="week", amount_cents=7_000)
    await world.step(2 * DAY)
    await customer.command(K.PAUSE)
    await world.step(3 * DAY)
    await customer.command(K.CANCEL_NOW, refund=CancelRefund.UNUSED)
    await follows(customer)
    ((_, amount),) = await amounts(customer, "refund")
    assert abs(amount - 5_000) <= 10


@pytest.mark.parametrize("script", [("ok", "insufficient_funds"), ()])
async def test_nothing_is_refunded_for_what_was_not_paid(
    world: World, script: tuple[str, ...]
) -> None:
    customer = await world.subscribe(*script, interval="week", trial_days=0 if script else 30)
    await world.step(8 * DAY)
    await customer.command(K.CANCEL_NOW, refund=CancelRefund.UNUSED)
    await follows(customer)
    assert await amounts(customer, "refund") == []
    assert "unused_time_refunded" not in await kinds(customer)


async def test_a_schedule_of_the_dashboard_leaves_only_the_cancel(world: World) -> None:
    customer = await world.subscribe("ok", interval="week")
    stripe_id = (await customer.row()).stripe_subscription_id
    await stripe(world, "POST", "subscription_schedules", from_subscription=stripe_id)
    await world.settle()
    for kind in (K.PAUSE, K.CANCEL_AT_PERIOD_END, K.UNCANCEL):
        error = await refused(customer, kind)
        assert (error.type, error.details[0]["subscription_status"]) == (
            "managed_at_stripe",
            "active",
        )
    state = await customer.command(K.CANCEL_NOW)
    assert state.subscription_status == "canceled"


async def test_what_only_stripe_knows_yet_refuses_by_its_status(world: World) -> None:
    customer = await world.subscribe("ok", interval="week")
    stripe_id = (await customer.row()).stripe_subscription_id
    await stripe(world, "DELETE", f"subscriptions/{stripe_id}")
    for kind in (K.PAUSE, K.CANCEL_AT_PERIOD_END):
        error = await refused(customer, kind)
        assert (error.type, error.details[0]["subscription_status"]) == (
            "illegal_command",
            "canceled",
        )
    assert (await follows(customer))["status"] == "canceled"


async def test_the_end_of_a_trial_is_announced_once_and_three_days_ahead(world: World) -> None:
    customer = await world.subscribe("ok", trial_days=7, interval="week")
    trial_end = (await customer.row()).trial_end
    assert trial_end is not None
    await world.step(3 * DAY)
    assert "trial_will_end" not in await kinds(customer)
    await world.step(1 * DAY + HOUR)
    await world.step(1 * DAY)
    (told,) = [event for event in await customer.events() if event.kind == "trial_will_end"]
    assert datetime.fromisoformat(told.event_data["trial_end"]) == trial_end


@pytest.mark.parametrize(
    ("script", "status", "code"),
    [
        (("insufficient_funds",), "incomplete", "illegal_command"),
        (("ok", "insufficient_funds"), "past_due", "payment_due"),
    ],
)
async def test_illegal_commands_are_refused_by_the_table(
    world: World, script: tuple[str, ...], status: str, code: str
) -> None:
    customer = await world.subscribe(*script, interval="week")
    if status == "past_due":
        await world.step(8 * DAY)
    error = await refused(customer, K.PAUSE)
    assert (error.type, error.details[0]["subscription_status"]) == (code, status)
    assert (await refused(customer, K.RESUME)).type == "illegal_command"


async def test_one_command_is_carried_out_once_however_often_it_is_sent(world: World) -> None:
    customer = await world.subscribe("ok", interval="week")
    command = SubscriptionCommand(command_id=uuid4(), kind=K.PAUSE)

    async def send(update_id: str) -> SubscriptionState:
        state: SubscriptionState = await customer.mailbox.execute_update(
            "command", command, id=update_id, result_type=SubscriptionState
        )
        return state

    states = await asyncio.gather(*(send(f"{number}") for number in range(3)))
    assert {state.subscription_status for state in states} == {"paused"}
    assert (await kinds(customer)).count("pause") == 1


async def test_an_extended_trial_ends_later_and_is_announced_again(world: World) -> None:
    customer = await world.subscribe("ok", trial_days=7, interval="week")
    first = (await customer.row()).trial_end
    assert first is not None
    await world.step(5 * DAY)
    later = first + 7 * DAY
    await customer.command(K.EXTEND_TRIAL, trial_end=later)
    assert (await follows(customer))["status"] == "trialing"
    assert (await customer.row()).trial_end == later
    error = await refused(customer, K.EXTEND_TRIAL, trial_end=first)
    assert error.type == "trial_end_not_later"
    await world.step(8 * DAY)
    told = [event for event in await customer.events() if event.kind == "trial_will_end"]
    ends = [datetime.fromisoformat(event.event_data["trial_end"]) for event in told]
    assert ends == [first, later]
    await world.step(2 * DAY)
    assert (await follows(customer))["status"] == "active"
    assert await amounts(customer) == [("succeeded", 2_900)]


async def test_a_trial_that_is_ended_early_is_charged_at_once(world: World) -> None:
    customer = await world.subscribe("insufficient_funds", "ok", trial_days=7, interval="week")
    error = await refused(customer, K.END_TRIAL)
    assert (error.type, error.details[0]["decline_code"]) == (
        "payment_failed",
        "insufficient_funds",
    )
    assert (await follows(customer))["status"] == "trialing"
    assert await customer.retries() == []
    state = await customer.command(K.END_TRIAL)
    assert state.subscription_status == "active"
    assert (await follows(customer))["status"] == "active"
    assert [outcome for outcome, _ in await amounts(customer)] == ["failed", "succeeded"]


async def test_a_trial_that_is_ended_early_without_a_card_is_paused(world: World) -> None:
    customer = await world.subscribe(trial_days=7, interval="week")
    state = await customer.command(K.END_TRIAL)
    assert state.subscription_status == "paused"
    await follows(customer)


async def test_a_first_payment_is_confirmed_after_its_authentication(world: World) -> None:
    customer = await world.subscribe("authentication_required", interval="week")
    state = await customer.command(K.CONFIRM)
    assert state.subscription_status == "incomplete"
    assert (await customer.row()).next_action_url is not None
    card = await world.card("ok")
    invoice_id = (await at_stripe(customer))["latest_invoice"]
    await world.http.post(f"/i/{invoice_id}", json={"payment_method": card})
    state = await customer.command(K.CONFIRM)
    assert state.subscription_status == "active"
    await follows(customer)


async def test_a_first_payment_that_was_declined_is_not_confirmed(world: World) -> None:
    customer = await world.subscribe("insufficient_funds", interval="week")
    error = await refused(customer, K.CONFIRM)
    assert (error.type, error.details[0]["decline_code"]) == (
        "payment_failed",
        "insufficient_funds",
    )
    assert "confirm" not in await kinds(customer)
