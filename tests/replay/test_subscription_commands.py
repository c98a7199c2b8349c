"""Commands to subscriptions, recorded and replayed; with `--record` the committed histories."""

from datetime import timedelta
from pathlib import Path

from domain.subscriptions.lifecycle import CommandKind
from domain.subscriptions.messages import CancelRefund
from tests.support.histories import keep
from tests.support.world import World

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
K = CommandKind


async def test_a_subscription_that_is_paused_resumed_and_refunded(
    world: World, histories: Path
) -> None:
    customer = await world.subscribe("ok", interval="week")
    await customer.command(K.CANCEL_AT_PERIOD_END)
    await customer.command(K.UNCANCEL)
    await customer.command(K.PAUSE)
    await customer.command(K.RESUME)
    resume_at = await world.env.get_current_time() + 2 * DAY
    await customer.command(K.PAUSE, resume_at=resume_at)
    await world.step(2 * DAY + HOUR)
    assert (await customer.row()).subscription_status == "active"
    await customer.command(K.CANCEL_NOW, refund=CancelRefund.UNUSED)
    await world.settle()
    names = (
        *("cancel_at_period_end", "uncancel_subscription", "pause_subscription"),
        *("resume_subscription", "price_unused_time", "refund_unused_time"),
    )
    await keep(customer.first_mailbox, histories / "subscription-paused-refunded.json", *names)


async def test_a_trial_that_is_announced_extended_and_ended(world: World, histories: Path) -> None:
    customer = await world.subscribe("ok", trial_days=4, interval="week")
    trial_end = (await customer.row()).trial_end
    assert trial_end is not None
    await world.step(2 * DAY)
    await customer.command(K.EXTEND_TRIAL, trial_end=trial_end + 4 * DAY)
    await customer.command(K.END_TRIAL)
    assert (await customer.row()).subscription_status == "active"
    path = histories / "subscription-trial.json"
    await keep(customer.first_mailbox, path, "extend_trial", "end_trial")


async def test_a_first_payment_that_is_confirmed(world: World, histories: Path) -> None:
    customer = await world.subscribe("authentication_required", interval="week")
    await customer.command(K.CONFIRM)
    path = histories / "subscription-confirmed.json"
    await keep(customer.first_mailbox, path, "confirm_subscription")
