"""A change credits nothing of a period whose invoice was given up."""

from datetime import timedelta
from typing import Any

import pytest
from temporalio.client import WorkflowFailureError

from domain.stripe_operations import PreviewChange
from domain.subscriptions.lifecycle import CommandKind as K
from domain.subscriptions.previews import ChangePreview, ChangeTerms
from tests.support.world import Customer, World
from tests.workflows.payment_retries.test_owed_invoices import at_stripe
from tests.workflows.subscriptions.test_commands import refused
from tests.workflows.subscriptions.test_given_back_before import newest_invoice
from tests.workflows.subscriptions.test_pause_credit import balance

DAY = timedelta(days=1)
FEWER = ChangeTerms(quantity=1)
LATER = ChangeTerms(quantity=1, is_at_period_end=True)
GIVE_UP = pytest.mark.parametrize("way", ["void", "mark_uncollectible"])


async def preview(customer: Customer, terms: ChangeTerms) -> ChangePreview:
    row = await customer.row()
    result = await customer.world.operate(
        PreviewChange,
        resource_id=row.subscription_id,
        stripe_subscription_id=row.stripe_subscription_id,
        terms=terms,
    )
    assert result.preview is not None
    return result.preview


async def give_up(customer: Customer, way: str) -> None:
    """Give the newest invoice up, in the Dashboard; the subscription goes on."""
    invoice: dict[str, Any] = await newest_invoice(customer)
    assert invoice["status"] == "open"
    await at_stripe(customer.world, "POST", f"invoices/{invoice['id']}/{way}")
    await customer.world.step(timedelta(hours=1))
    assert (await customer.row()).subscription_status == "active"


@GIVE_UP
async def test_a_change_credits_no_renewal_that_was_given_up(world: World, way: str) -> None:
    customer = await world.subscribe("ok", "ok", "generic_decline", "ok", interval="month")
    await customer.command(K.CHANGE_PLAN, terms=ChangeTerms(quantity=3))
    while not await customer.retries():
        await world.step(DAY)
    await give_up(customer, way)
    assert (await refused(customer, K.CHANGE_PLAN, terms=FEWER)).type == "period_not_paid"
    with pytest.raises(WorkflowFailureError) as caught:
        await preview(customer, FEWER)
    assert getattr(caught.value.cause.__cause__, "type", None) == "period_not_paid"
    assert ((await customer.row()).quantity, await balance(customer)) == (3, 0)


@GIVE_UP
async def test_what_costs_more_and_what_waits_are_not_refused(world: World, way: str) -> None:
    customer = await world.subscribe("ok", "generic_decline", "ok", interval="month")
    while not await customer.retries():
        await world.step(DAY)
    await give_up(customer, way)
    charge_count = len(await customer.charges())
    await preview(customer, ChangeTerms(quantity=2))
    await customer.command(K.CHANGE_PLAN, terms=ChangeTerms(quantity=2))
    assert len(await customer.charges()) == charge_count + 1
    await preview(customer, LATER)
    await customer.command(K.SCHEDULE_CHANGE, terms=LATER)
    assert await balance(customer) == 0


async def test_neither_a_pause_nor_a_change_credits_a_resume_that_was_given_up(
    world: World,
) -> None:
    customer = await world.subscribe("ok", "ok", "generic_decline", "ok", interval="month")
    await customer.command(K.CHANGE_PLAN, terms=ChangeTerms(quantity=3))
    await world.step(10 * DAY)
    await customer.command(K.PAUSE)
    await world.step(40 * DAY)
    stripe_id = (await customer.row()).stripe_subscription_id
    await at_stripe(world, "POST", f"subscriptions/{stripe_id}/resume")
    await give_up(customer, "mark_uncollectible")
    assert (await refused(customer, K.CHANGE_PLAN, terms=FEWER)).type == "period_not_paid"
    before = await balance(customer)
    await customer.command(K.PAUSE)
    row = await customer.row()
    found = await at_stripe(
        world, "GET", "invoiceitems", customer=row.stripe_customer_id, pending="true"
    )
    assert (found["data"], await balance(customer)) == ([], before)
