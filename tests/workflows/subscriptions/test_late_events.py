"""What Stripe tells late is no new fact: a card that has failed since is not offered anew."""

import json

import pytest

from database.accounts.models import User
from database.webhooks.models import WebhookEvent
from database.webhooks.webhook_events import packed
from domain.payment_retries.policy import RetryPolicy
from domain.stripe_operations import SyncCustomer
from tests.support.world import DAY, Customer, World
from tests.workflows.payment_retries.test_owed_invoices import (
    at_stripe,
    break_down,
    card_id,
    outcomes,
)
from tests.workflows.payment_retries.test_payment_retry import fail_renewal

PATIENT = RetryPolicy(schedules={"default": (30 * DAY,)}, grace=60 * DAY)


async def follow(customer: Customer) -> None:
    """Do what the dispatcher does about the latest `customer.updated` with a default card."""
    world = customer.world
    async with world.sessions() as session:
        known = (await session.get_one(User, customer.user_id)).stripe_customer_id
    listed = await at_stripe(world, "GET", "events", type="customer.updated", limit=100)
    told = next(
        event
        for event in listed["data"]
        if event["data"]["object"]["id"] == known
        and "invoice_settings" in event["data"]["previous_attributes"]
    )
    async with world.sessions.begin() as session:
        body = packed(json.dumps(told).encode())
        session.add(
            WebhookEvent(stripe_event_id=told["id"], event_type="customer.updated", body=body)
        )
    await world.operate(
        SyncCustomer,
        user_id=customer.user_id,
        resource_id=customer.user_id,
        stripe_customer_id=known,
        stripe_event_ids=(told["id"],),
    )
    await world.settle()


async def refuse_reads(world: World, stripe_invoice_id: str, count: int = 1) -> None:
    """Let Stripe refuse the next reads of an invoice."""
    path = f"GET /v1/invoices/{stripe_invoice_id}"
    await break_down(world, {"match": path, "times": count, "before": 400})


@pytest.mark.parametrize(
    ("decline_code", "refused_count", "status"),
    [
        ("authentication_required", 0, "waiting_authentication"),
        ("authentication_required", 1, "waiting_authentication"),
        ("insufficient_funds", 2, "waiting"),
    ],
)
async def test_the_card_that_failed_is_not_charged_because_its_event_is_late(
    world: World, decline_code: str, refused_count: int, status: str
) -> None:
    customer, retry = await fail_renewal(world, decline_code, "ok", policy=PATIENT)
    if refused_count:
        await refuse_reads(world, retry.stripe_invoice_id, refused_count)
    await follow(customer)
    assert await outcomes(customer) == ["succeeded", "failed"]
    (retry,) = await customer.retries()
    assert retry.retry_status == status


@pytest.mark.parametrize("is_refused", [False, True])
async def test_another_card_that_was_set_at_stripe_is_charged_once(
    world: World, is_refused: bool
) -> None:
    customer, retry = await fail_renewal(world, "authentication_required", "ok", policy=PATIENT)
    failed = await card_id(customer)
    async with world.sessions() as session:
        known = (await session.get_one(User, customer.user_id)).stripe_customer_id
    other = await world.card("ok")
    await at_stripe(world, "POST", f"payment_methods/{other}/attach", customer=known)
    default = {"invoice_settings[default_payment_method]": other}
    await at_stripe(world, "POST", f"customers/{known}", **default)
    if is_refused:
        await refuse_reads(world, retry.stripe_invoice_id)
    await follow(customer)
    assert await outcomes(customer) == ["succeeded", "failed", "succeeded"]
    (retry,) = await customer.retries()
    assert retry.retry_status == "recovered"
    assert await card_id(customer) == other != failed
