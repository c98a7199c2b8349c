"""A 404 for what Stripe has made says that the key is another account's: nothing is forgotten."""

from typing import Any

import pytest
from sqlalchemy import select
from temporalio.client import WorkflowFailureError, WorkflowUpdateFailedError

from database.accounts.models import User
from database.payments.models import PaymentMethod
from domain.stripe_operations import AttachPaymentMethod, SyncCustomer
from domain.subscriptions.lifecycle import CommandKind
from tests.support.world import DAY, Customer, World
from tests.workflows.payment_retries.test_owed_invoices import (
    HOUR,
    ONE_TRY,
    at_stripe,
    break_down,
    card_id,
    outcomes,
)
from tests.workflows.payment_retries.test_payment_retry import fail_renewal


async def user_of(customer: Customer) -> User:
    async with customer.world.sessions() as session:
        return await session.get_one(User, customer.user_id)


async def cards_of(customer: Customer) -> list[tuple[str, Any]]:
    """Return the cards that are shown."""
    wanted = select(PaymentMethod).where(PaymentMethod.user_id == customer.user_id)
    async with customer.world.sessions() as session:
        rows = (await session.scalars(wanted)).all()
    return [(row.stripe_payment_method_id, row.detached_at) for row in rows]


async def test_a_customer_that_is_not_found_keeps_their_cards(world: World) -> None:
    customer = await world.subscribe("ok")
    card = await customer.add_card("ok")
    before = await cards_of(customer)
    known = (await user_of(customer)).stripe_customer_id
    await break_down(world, {"match": f"GET /v1/customers/{known}", "times": 1, "before": 404})
    with pytest.raises(WorkflowFailureError):
        await world.operate(
            SyncCustomer,
            user_id=customer.user_id,
            resource_id=customer.user_id,
            stripe_customer_id=known,
        )
    assert card in {name for name, _ in before}
    assert await cards_of(customer) == before
    assert (await user_of(customer)).stripe_customer_id == known


async def test_a_customer_that_is_not_found_is_not_made_anew(world: World) -> None:
    customer = await world.subscribe("ok")
    known = (await user_of(customer)).stripe_customer_id
    await break_down(
        world,
        {"match": "POST /v1/payment_methods/*/attach", "times": 1, "before": 404},
        {"match": "GET /v1/payment_methods/*", "times": 1, "before": 404},
        {"match": f"GET /v1/customers/{known}", "times": 1, "before": 404},
    )
    with pytest.raises(WorkflowFailureError):
        await world.operate(
            AttachPaymentMethod,
            user_id=customer.user_id,
            stripe_payment_method_id=await world.card("ok"),
        )
    assert (await user_of(customer)).stripe_customer_id == known
    found = await at_stripe(world, "GET", "customers", email=(await user_of(customer)).email)
    assert len(found["data"]) == 1


async def test_a_card_that_is_not_found_is_charged_later(world: World) -> None:
    """Nobody is asked for a card because of one odd answer, and no attempt is used."""
    customer, _ = await fail_renewal(world, "insufficient_funds", "ok", policy=ONE_TRY)
    path = f"/v1/payment_methods/{await card_id(customer)}"
    await break_down(world, {"match": f"GET {path}", "times": 1, "before": 404})
    await world.step(DAY + HOUR)
    await world.step(HOUR)
    (retry,) = await customer.retries()
    assert (retry.retry_status, retry.attempt_count) == ("recovered", 1)
    assert await outcomes(customer) == ["succeeded", "failed", "succeeded"]


@pytest.mark.parametrize("is_asked", [True, False], ids=["by the customer", "as last resort"])
async def test_a_subscription_that_is_not_found_is_not_canceled(
    world: World, is_asked: bool
) -> None:
    """It is shown as canceled, and its invoice is void, only once it has ended at Stripe."""
    customer, _ = await fail_renewal(world, "insufficient_funds", policy=ONE_TRY)
    await break_down(world, {"match": "DELETE /v1/subscriptions/*", "times": 1, "before": 404})
    if is_asked:
        with pytest.raises(WorkflowUpdateFailedError):
            await customer.command(CommandKind.CANCEL_NOW)
        assert (await customer.row()).subscription_status == "past_due"
        await customer.command(CommandKind.CANCEL_NOW)
    await world.step(DAY + HOUR)
    await world.step(HOUR)
    stripe_id = (await customer.row()).stripe_subscription_id
    found = await at_stripe(world, "GET", f"subscriptions/{stripe_id}")
    assert found["status"] == (await customer.row()).subscription_status == "canceled"
    assert (await customer.row()).parked_data == []
    listed = await at_stripe(world, "GET", "invoices", subscription=stripe_id)
    assert [invoice["status"] for invoice in listed["data"]] == ["void", "paid"]
