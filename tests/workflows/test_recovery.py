"""Failed renewals over weeks of both clocks: retried, recovered, given up, by the policy."""

from datetime import timedelta

from tests.workflows.conftest import World

MONTH = timedelta(days=32)


async def test_starts_and_renews(world: World) -> None:
    customer = await world.subscribe("ok")
    row = await customer.row()
    assert (row.subscription_status, row.parked_reason) == ("active", None)
    assert row.current_period_end is not None
    first_end = row.current_period_end

    await world.step(MONTH)

    row = await customer.row()
    assert row.subscription_status == "active"
    assert row.current_period_start == first_end
    assert [charge["outcome"] for charge in await customer.charges()] == ["succeeded"] * 2


async def test_a_failed_renewal_is_recovered_by_the_second_retry(world: World) -> None:
    customer = await world.subscribe("ok", "insufficient_funds", "insufficient_funds", "ok")
    await world.step(MONTH)
    row = await customer.row()
    assert row.subscription_status == "past_due"
    assert row.grace_ends_at is not None

    await world.step(timedelta(days=5))

    (retry,) = await customer.retries()
    assert (retry.retry_status, retry.attempt_count) == ("recovered", 2)
    assert (await customer.row()).subscription_status == "active"
    assert (await customer.row()).grace_ends_at is None
    outcomes = [charge["outcome"] for charge in await customer.charges()]
    assert outcomes == ["succeeded", "failed", "failed", "succeeded"]
