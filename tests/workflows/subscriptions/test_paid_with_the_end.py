"""What is paid in the very second in which a subscription ends: Stripe's times tell no order."""

import asyncio
from datetime import timedelta

import pytest

from domain.payment_retries.policy import LastResort, RetryPolicy
from domain.subscriptions.lifecycle import CommandKind
from tests.api.support import eventually
from tests.support.world import Customer, World
from tests.workflows.payment_retries.test_owed_invoices import at_stripe, break_down
from tests.workflows.payment_retries.test_payment_retry import fail_renewal

DAY = timedelta(days=1)


async def pay_by_authentication(customer: Customer) -> None:
    """Confirm the charge that the bank asks about, for the invoice of the renewal."""
    stripe_id = (await customer.row()).stripe_subscription_id
    invoices = await at_stripe(
        customer.world,
        "GET",
        "invoices",
        subscription=stripe_id,
        **{"expand[]": "data.payments"},
    )
    intent_id = invoices["data"][0]["payments"]["data"][0]["payment"]["payment_intent"]
    answer = await customer.world.http.post(
        f"/_sandbox/3ds/{intent_id}", json={"outcome": "succeeded"}
    )
    assert answer.status_code == 200, answer.text


async def money(customer: Customer) -> list[tuple[str, str, int]]:
    return [
        (entry["kind"], entry["outcome"], entry["amount"])
        for entry in await customer.ledger()
        if entry["outcome"] == "succeeded"
    ]


@pytest.mark.parametrize("match", ["GET /v1/invoices/{id}", "POST /v1/invoices/{id}/void"])
async def test_what_is_paid_before_the_invoice_is_void_is_given_back(
    world: World, match: str
) -> None:
    customer, _ = await fail_renewal(world, "authentication_required")
    await break_down(world, {"match": match, "before": 502})
    await customer.command(CommandKind.CANCEL_NOW)
    await pay_by_authentication(customer)
    await break_down(world)
    await world.step(DAY)
    assert [kind for kind, *_ in await money(customer)] == ["charge", "charge", "refund"]
    assert (await customer.row()).parked_data == []


async def test_what_was_paid_before_the_cancel_stays_paid(world: World) -> None:
    customer, _ = await fail_renewal(world, "authentication_required")
    await pay_by_authentication(customer)
    await world.settle()
    assert (await customer.row()).subscription_status == "active"
    await customer.command(CommandKind.CANCEL_NOW)
    await world.step(DAY)
    assert [kind for kind, *_ in await money(customer)] == ["charge", "charge"]


async def test_what_is_paid_with_the_last_resort_is_given_back(world: World) -> None:
    policy = RetryPolicy(schedules={"default": (DAY,)}, last_resort=LastResort.CANCEL)
    customer, _ = await fail_renewal(world, "insufficient_funds", policy=policy)
    await break_down(world, {"match": "POST /v1/invoices/{id}/void", "before": 502})
    stripe_id = (await customer.row()).stripe_subscription_id
    step = asyncio.create_task(world.step(DAY + timedelta(hours=1)))

    async def is_canceled() -> bool:
        found = await at_stripe(world, "GET", f"subscriptions/{stripe_id}")
        return bool(found["status"] == "canceled")

    await eventually(is_canceled)
    (invoice, *_) = (await at_stripe(world, "GET", "invoices", subscription=stripe_id))["data"]
    await customer.add_card("ok")
    await at_stripe(world, "POST", f"invoices/{invoice['id']}/pay")
    await break_down(world)
    await step
    await world.step(DAY)
    assert [kind for kind, *_ in await money(customer)] == ["charge", "charge", "refund"]
