"""What was unpaid before an import is not touched until an administrator starts it."""

from datetime import timedelta
from typing import Any

import pytest

from domain.ids import payment_retry_workflow_id
from domain.payment_retries.lifecycle import CLOSED
from domain.payment_retries.messages import RetryCommand, RetryCommandKind
from domain.subscriptions.lifecycle import CommandKind
from tests.support.dashboard import adopt, subscribe_in_dashboard
from tests.support.world import Customer, World
from tests.workflows.payment_retries.test_owed_invoices import access_of, at_stripe, outcomes
from tests.workflows.payment_retries.test_payment_retry import retry_now

DAY = timedelta(days=1)


async def posts(world: World) -> list[str]:
    """Return the paths of all POSTs that Stripe got, without those of the tests themselves."""
    items = (await world.http.get("/_sandbox/requests")).json()["items"]
    return [item["path"] for item in items if item["method"] != "GET" and item["idempotency_key"]]


async def past_due(world: World, *script: str, periods: int = 1) -> Customer:
    """Let a Dashboard's subscription fail to renew, before we know of it."""
    customer = await subscribe_in_dashboard(world, "ok", *script)
    await world.step((7 * periods + 1) * DAY)
    return customer


async def release(customer: Customer) -> None:
    for retry in await customer.retries():
        if retry.retry_status in CLOSED:
            continue
        handle: Any = customer.world.env.client.get_workflow_handle(
            payment_retry_workflow_id(retry.stripe_invoice_id)
        )
        await handle.signal("command", RetryCommand(kind=RetryCommandKind.RELEASE))
    await customer.world.settle()


async def test_an_imported_debt_waits_for_its_start_and_is_then_collected(world: World) -> None:
    customer = await past_due(world, "insufficient_funds", "ok")
    before = await posts(world)
    await adopt(customer, is_imported=True)
    row = await customer.row()
    assert (row.subscription_status, row.plan_id, row.parked_data) == ("past_due", None, [])
    assert await access_of(customer) == "grace"
    (retry,) = await customer.retries()
    assert (retry.retry_status, retry.paused_reason) == ("paused", "imported")
    await world.step(5 * DAY)
    assert await posts(world) == before
    assert await outcomes(customer) == ["succeeded", "failed"]
    with pytest.raises(Exception, match=r"rejected|failed"):
        await retry_now(customer, retry)

    await release(customer)
    (retry,) = await customer.retries()
    assert (retry.retry_status, retry.paused_reason) == ("waiting", None)
    assert retry.next_attempt_at is not None
    assert retry.next_attempt_at - await world.env.get_current_time() > DAY / 2
    assert await outcomes(customer) == ["succeeded", "failed"]
    invoice = await at_stripe(world, "GET", f"invoices/{retry.stripe_invoice_id}")
    assert invoice["auto_advance"] is False
    await world.step(DAY + timedelta(hours=1))
    (retry,) = await customer.retries()
    assert retry.retry_status == "recovered"
    assert (await customer.row()).subscription_status == "active"


async def test_without_an_import_a_debt_is_collected_as_ever(world: World) -> None:
    """A subscription of the Dashboard that an event made ours: nobody has to start anything."""
    customer = await past_due(world, "insufficient_funds", "ok")
    await adopt(customer, is_imported=False)
    (retry,) = await customer.retries()
    assert (retry.retry_status, retry.paused_reason) == ("waiting", None)


async def test_a_renewal_after_the_import_is_collected_and_the_debt_still_waits(
    world: World,
) -> None:
    customer = await past_due(world, "insufficient_funds", "insufficient_funds", "ok")
    await adopt(customer, is_imported=True)
    (old,) = await customer.retries()
    await world.step(7 * DAY)
    await world.hint(customer.subscription_id, ["evt_failed"])
    await world.settle()
    await world.step(DAY + timedelta(hours=1))
    new, old = await customer.retries()
    assert (new.retry_status, old.paused_reason) == ("recovered", "imported")
    assert old.retry_status == "paused"
    await world.step(3 * DAY)
    _, old = await customer.retries()
    assert (old.retry_status, old.paused_reason) == ("paused", "imported")
    await release(customer)
    await world.step(DAY + timedelta(hours=1))
    assert [retry.retry_status for retry in await customer.retries()] == ["recovered"] * 2


async def test_two_imported_debts_are_started_newest_first(world: World) -> None:
    customer = await past_due(world, "insufficient_funds", "insufficient_funds", "ok", periods=2)
    await adopt(customer, is_imported=True)
    assert [retry.paused_reason for retry in await customer.retries()] == ["imported"] * 2
    await release(customer)
    # Reason: both payment retries are made at once, so their own order tells nothing.
    retries = {retry.stripe_invoice_id: retry for retry in await customer.retries()}
    stripe_id = (await customer.row()).stripe_subscription_id
    invoices = (await at_stripe(world, "GET", "invoices", subscription=stripe_id))["data"]
    newer, older = [retries[each["id"]] for each in invoices if each["id"] in retries]
    assert newer.retry_status == "waiting"
    assert (older.retry_status, older.paused_reason) == ("paused", "newer_invoice")


async def test_a_cancel_ends_an_imported_debt_too(world: World) -> None:
    customer = await past_due(world, "insufficient_funds")
    await adopt(customer, is_imported=True)
    await customer.command(CommandKind.CANCEL_NOW)
    await world.settle()
    (retry,) = await customer.retries()
    assert (retry.retry_status, retry.paused_reason) == ("canceled", None)


async def test_an_imported_debt_that_is_paid_elsewhere_is_recovered(world: World) -> None:
    customer = await past_due(world, "insufficient_funds", "ok")
    await adopt(customer, is_imported=True)
    (retry,) = await customer.retries()
    await at_stripe(world, "POST", f"invoices/{retry.stripe_invoice_id}/pay")
    await world.hint(customer.subscription_id, ["evt_paid"])
    await world.settle()
    (retry,) = await customer.retries()
    assert (retry.retry_status, retry.paused_reason) == ("recovered", None)
