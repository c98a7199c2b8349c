"""What waits for the next invoice of a subscription outlives a change that nobody has paid."""

from datetime import timedelta
from typing import Any

import pytest
from temporalio.client import WorkflowUpdateFailedError

from domain.subscriptions.lifecycle import CommandKind
from domain.subscriptions.previews import ChangeTerms
from tests.support.world import Customer, World
from tests.workflows.payment_retries.test_owed_invoices import at_stripe, break_down

HOUR = timedelta(hours=1)
PRICE, CREDIT, FEE = 3_000, -500, 700


async def waiting(customer: Customer) -> list[int]:
    """Return the amounts of the items that wait at Stripe, smallest first."""
    stripe_customer = (await customer.row()).stripe_customer_id
    found = await at_stripe(
        customer.world, "GET", "invoiceitems", customer=stripe_customer, pending="true"
    )
    return sorted(item["amount"] for item in found["data"])


async def put_items(customer: Customer) -> None:
    """Let support credit something for the subscription, and charge something for the customer."""
    row, world = await customer.row(), customer.world
    credit: dict[str, Any] = {"amount": CREDIT, "subscription": row.stripe_subscription_id}
    for params in (credit, {"amount": FEE, "description": "a fee"}):
        await at_stripe(
            world, "POST", "invoiceitems", customer=row.stripe_customer_id, currency="usd", **params
        )
    await world.step(HOUR)


@pytest.mark.parametrize("fault", [None, "POST /v1/invoiceitems", "POST /v1/invoices/{id}/void"])
async def test_a_declined_change_leaves_what_waited(world: World, fault: str | None) -> None:
    customer = await world.subscribe(
        "ok", "generic_decline", "ok", interval="month", amount_cents=PRICE
    )
    await put_items(customer)
    if fault is not None:
        await break_down(world, {"match": fault, "times": 1, "drop": True})
    with pytest.raises(WorkflowUpdateFailedError):
        await customer.command(CommandKind.CHANGE_PLAN, terms=ChangeTerms(quantity=2))
    assert await waiting(customer) == [CREDIT, FEE]
    await world.step(HOUR)
    await customer.command(CommandKind.CHANGE_PLAN, terms=ChangeTerms(quantity=2))
    assert await waiting(customer) == []
    outcomes = [(each["outcome"], each["amount"]) for each in await customer.charges()]
    (_, declined), (last, paid) = outcomes[-2:]
    assert last == "succeeded"
    assert declined - paid in range(20), outcomes  # the unused time of some hours more
    await customer.leave()
