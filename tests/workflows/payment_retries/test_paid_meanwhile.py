"""What the customer pays or is refused while our charge is on its way is no attempt of ours."""

import asyncio

import pytest

from database.payment_retries.payment_retries import PaymentRetryRepository
from tests.support.world import World
from tests.workflows.payment_retries.test_owed_invoices import break_down
from tests.workflows.payment_retries.test_payment_retry import fail_renewal, retry_now


@pytest.mark.parametrize("is_dropped", [False, True])
async def test_paid_on_stripes_page_while_our_charge_is_on_its_way(
    world: World, is_dropped: bool
) -> None:
    customer, retry = await fail_renewal(world, "insufficient_funds", "ok")
    path = f"POST /v1/invoices/{retry.stripe_invoice_id}/pay"
    await break_down(
        world, {"match": path, "times": 1, "delay_seconds": 2, "drop_before": is_dropped}
    )
    charging = asyncio.create_task(retry_now(customer, retry))
    await asyncio.sleep(1)
    paid = await world.http.post(
        f"/i/{retry.stripe_invoice_id}", json={"payment_method": await world.card("ok")}
    )
    assert paid.status_code == 200, paid.text
    await charging
    await world.settle()
    (retry,) = await customer.retries()
    assert retry.retry_status == "recovered"
    async with world.sessions() as session:
        attempts = await PaymentRetryRepository(session).attempts([retry.payment_retry_id])
    made = attempts.get(retry.payment_retry_id, ())
    assert [(each.attempt, each.trigger, each.outcome) for each in made] == []
    outcomes = [charge["outcome"] for charge in await customer.charges()]
    assert outcomes == ["succeeded", "failed", "succeeded"]
