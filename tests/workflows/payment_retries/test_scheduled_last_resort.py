"""The last resort of a subscription whose planned change has just come into force."""

from datetime import timedelta

import pytest

from domain.payment_retries.policy import LastResort, RetryPolicy
from domain.subscriptions.lifecycle import CommandKind
from domain.subscriptions.previews import ChangeTerms
from tests.support.world import World

DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("last_resort", "status"), [(LastResort.CANCEL, "canceled"), (LastResort.PAUSE, "paused")]
)
async def test_our_schedule_does_not_hold_up_the_last_resort(
    world: World, last_resort: LastResort, status: str
) -> None:
    policy = RetryPolicy(schedules={"default": (DAY,)}, last_resort=last_resort)
    customer = await world.subscribe("ok", "insufficient_funds", policy=policy, interval="week")
    terms = ChangeTerms(quantity=3)
    await customer.command(CommandKind.SCHEDULE_CHANGE, terms=terms)
    while not await customer.retries():
        await world.step(DAY)
    assert (await customer.row()).quantity == 3

    await world.step(DAY + timedelta(hours=1))

    row = await customer.row()
    assert (row.subscription_status, row.parked_data) == (status, [])
    (retry,) = await customer.retries()
    assert retry.retry_status == "exhausted"
    await customer.leave()
