"""Each kind of POST loses its first answer in each way, and has exactly one effect."""

from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select
from temporalio.client import WorkflowUpdateFailedError

from database.accounts.models import User
from database.payments.models import PaymentMethod
from database.plans.models import Plan
from domain.payment_retries.policy import LastResort, RetryPolicy
from domain.payments.rules import PaymentStatus
from domain.plans import PlanRequest
from domain.stripe_operations import (
    ChangePlan,
    CreateCheckoutSession,
    CreatePortalSession,
    CreateSetupIntent,
    DetachPaymentMethod,
    PreviewChange,
)
from domain.subscriptions.checkouts import WayBack
from domain.subscriptions.lifecycle import CommandKind
from domain.subscriptions.messages import CancelRefund, SubscriptionRequest
from domain.subscriptions.previews import ChangeTerms
from tests.support.payers import start_paying
from tests.support.world import STRIPE_HEADERS, Customer, World

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
POSTS = (
    "POST /v1/products",
    "POST /v1/products/{id}",
    "POST /v1/prices",
    "POST /v1/billing/meters",
    "POST /v1/customers",
    "POST /v1/customers/{id}",
    "POST /v1/payment_methods/{id}/attach",
    "POST /v1/payment_methods/{id}/detach",
    "POST /v1/setup_intents",
    "POST /v1/checkout/sessions",
    "POST /v1/checkout/sessions/{id}/expire",
    "POST /v1/billing_portal/configurations",
    "POST /v1/billing_portal/sessions",
    "POST /v1/subscriptions",
    "POST /v1/subscriptions/{id}",
    "POST /v1/subscriptions/{id}/pause",
    "POST /v1/subscriptions/{id}/resume",
    "POST /v1/subscription_schedules",
    "POST /v1/subscription_schedules/{id}",
    "POST /v1/subscription_schedules/{id}/release",
    "POST /v1/invoices/create_preview",
    "POST /v1/invoices/{id}",
    "POST /v1/invoices/{id}/pay",
    "POST /v1/invoices/{id}/void",
    "POST /v1/invoices/{id}/finalize",
    "POST /v1/invoices/{id}/mark_uncollectible",
    "POST /v1/payment_intents",
    "POST /v1/payment_intents/{id}/cancel",
    "POST /v1/refunds",
    "POST /v1/invoiceitems",
    "POST /v1/customers/{id}/balance_transactions",
)
WAYS: dict[str, dict[str, Any]] = {
    "saved 500, done": {"after": 500},
    "saved 500, not done": {"before": 500, "saved": True},
    "dropped, done": {"drop": True},
    "dropped, not done": {"drop_before": True},
}


OVERAGE = {metric: {"unit_amount_decimal": "0.5"} for metric in ("token_count", "agent_run_count")}


async def check_overage(world: World, customer: Customer) -> None:
    """Check that the plan has one meter and price for each metric, and the subscription uses it."""
    row = await customer.row()
    async with world.sessions() as session:
        plan = await session.get_one(Plan, row.plan_id)
    prices = (await stripe(world, "prices", product=plan.stripe_product_id))["data"]
    metered = {price["recurring"]["meter"] for price in prices} - {None}
    assert (len(prices), len(metered)) == (3, 2)
    names = {price["event_name"] for price in plan.stripe_overage_data.values()}
    meters = (await stripe(world, "billing/meters", status="active", limit=100))["data"]
    assert {each["id"] for each in meters if each["event_name"] in names} == metered
    assert set(row.stripe_meter_ids) == metered
    found = await stripe(world, "subscription_items", subscription=row.stripe_subscription_id)
    assert {item["price"]["id"] for item in found["data"]} == {price["id"] for price in prices}
    assert row.stripe_price_id == plan.stripe_price_id


async def lose_first_answers(world: World, way: dict[str, Any]) -> None:
    """Let the first answer to each kind of POST get lost."""
    api = [{"match": match, "times": 1, "label": match, **way} for match in POSTS]
    (await world.http.post("/_sandbox/faults", json={"api": api})).raise_for_status()


async def stripe(world: World, path: str, **params: Any) -> Any:
    """Read something at Stripe."""
    reply = await world.http.get(f"/v1/{path}", params=params, headers=STRIPE_HEADERS)
    return reply.raise_for_status().json()


async def customer_id(world: World, user_id: UUID) -> str:
    async with world.sessions() as session:
        user = await session.get_one(User, user_id)
    assert user.stripe_customer_id is not None
    return user.stripe_customer_id


async def pause_in_the_end(world: World) -> Customer:
    """Change the card, fail the renewal and its retry, pause, and let a card be removed."""
    policy = RetryPolicy(schedules={"default": (DAY,)}, last_resort=LastResort.PAUSE)
    customer = await world.subscribe("ok", policy=policy, interval="week")
    card = await customer.add_card("insufficient_funds")
    await customer.command(CommandKind.CHANGE_PAYMENT_METHOD, card)
    await world.settle()
    await world.step(9 * DAY)
    row = await customer.row()
    assert (row.subscription_status, row.parked_data) == ("paused", [])
    (retry,) = await customer.retries()
    assert (retry.retry_status, retry.attempt_count, retry.parked_data) == ("exhausted", 1, [])
    assert [charge["outcome"] for charge in await customer.charges()] == [
        "succeeded",
        "failed",
        "failed",
    ]
    invoice = await stripe(world, f"invoices/{retry.stripe_invoice_id}")
    assert (invoice["status"], invoice["auto_advance"]) == ("void", False)
    await customer.command(CommandKind.CANCEL_NOW)
    async with world.sessions() as session:
        rows = list(
            await session.scalars(
                select(PaymentMethod).where(PaymentMethod.user_id == customer.user_id)
            )
        )
    assert len(rows) == 2
    for known in rows:
        await world.operate(
            DetachPaymentMethod,
            resource_id=known.payment_method_id,
            user_id=customer.user_id,
            stripe_payment_method_id=known.stripe_payment_method_id,
        )
    await world.operate(CreateSetupIntent, user_id=customer.user_id)
    await world.operate(ChangePlan, resource_id=row.plan_id, plan=PlanRequest(name="Better"))
    stripe_id = await customer_id(world, customer.user_id)
    assert (await stripe(world, "payment_methods", customer=stripe_id, type="card"))["data"] == []
    assert len((await stripe(world, "setup_intents", customer=stripe_id))["data"]) == 1
    return customer


async def change_terms(world: World, way: dict[str, Any]) -> Customer:
    """Plan a change, replace it, drop it, make another at once, and apply and remove a discount."""
    customer = await world.subscribe("ok")
    row = await customer.row()
    stripe_id = row.stripe_subscription_id or ""
    coupon = await create_coupon(world)
    for quantity in (4, 5):
        terms = ChangeTerms(quantity=quantity)
        await customer.command(CommandKind.SCHEDULE_CHANGE, terms=terms)
        waiting = (await customer.row()).scheduled_change_data
        assert waiting is not None
        assert waiting["quantity"] == quantity
    await customer.command(CommandKind.CANCEL_SCHEDULED_CHANGE)
    await world.operate(
        PreviewChange,
        resource_id=row.subscription_id,
        stripe_subscription_id=stripe_id,
        terms=ChangeTerms(quantity=2),
    )
    # Reason: the fault is armed again, for the update that charges.
    await lose_first_answers(world, way)
    await customer.command(CommandKind.CHANGE_PLAN, terms=ChangeTerms(quantity=2))
    await customer.command(CommandKind.APPLY_DISCOUNT, coupon=coupon)
    row = await customer.row()
    assert (row.quantity, row.parked_data, row.scheduled_change_data) == (2, [], None)
    assert row.discount_data is not None
    assert row.discount_data["coupon"] == coupon
    await customer.command(CommandKind.REMOVE_DISCOUNT)
    assert (await customer.row()).discount_data is None
    assert [charge["outcome"] for charge in await customer.charges()] == ["succeeded"] * 2
    subscription = await stripe(world, f"subscriptions/{stripe_id}")
    assert (subscription["schedule"], subscription["items"]["data"][0]["quantity"]) == (None, 2)
    schedules = await stripe(world, "subscription_schedules", customer=row.stripe_customer_id)
    assert [schedule["status"] for schedule in schedules["data"]] == ["released"]
    assert (await stripe(world, f"coupons/{coupon}"))["times_redeemed"] == 1
    return customer


async def create_coupon(world: World) -> str:
    made = await world.http.post(
        "/v1/coupons", data={"percent_off": "10", "duration": "forever"}, headers=STRIPE_HEADERS
    )
    return str(made.raise_for_status().json()["id"])


async def mark_uncollectible(world: World) -> Customer:
    policy = RetryPolicy(schedules={"default": (DAY,)}, last_resort=LastResort.MARK_UNCOLLECTIBLE)
    customer = await world.subscribe("ok", "generic_decline", policy=policy, interval="week")
    await world.step(9 * DAY)
    row = await customer.row()
    assert (row.subscription_status, row.parked_data) == ("canceled", [])
    (retry,) = await customer.retries()
    invoice = await stripe(world, f"invoices/{retry.stripe_invoice_id}")
    assert invoice["status"] == "uncollectible"
    return customer


async def cancel_with_a_draft(world: World) -> Customer:
    customer = await world.subscribe("ok", interval="week", overage=OVERAGE)
    await check_overage(world, customer)
    end = (await customer.row()).current_period_end
    while (await customer.row()).current_period_end == end:
        await world.step(HOUR / 2 if end is None else 7 * DAY + HOUR / 2)
    state = await customer.command(CommandKind.CANCEL_NOW)
    assert state.subscription_status == "canceled"
    await world.step(HOUR)
    assert (await customer.row()).parked_data == []
    stripe_id = (await customer.row()).stripe_subscription_id
    invoices = (await stripe(world, "invoices", subscription=stripe_id))["data"]
    assert [invoice["status"] for invoice in invoices] == ["void", "paid"]
    assert [charge["outcome"] for charge in await customer.charges()] == ["succeeded"]
    return customer


async def change_ones_mind(world: World, way: dict[str, Any]) -> Customer:
    """Plan the end and take it back, pause and resume, and cancel with a refund."""
    customer = await world.subscribe("ok", interval="week", amount_cents=7_000)
    await world.step(3 * DAY)
    for kind, status in (
        (CommandKind.CANCEL_AT_PERIOD_END, "active"),
        (CommandKind.UNCANCEL, "active"),
        (CommandKind.PAUSE, "paused"),
        (CommandKind.RESUME, "active"),
    ):
        await lose_first_answers(world, way)
        state = await customer.command(kind)
        assert state.subscription_status == status
        found = await stripe(world, f"subscriptions/{state.stripe_subscription_id}")
        assert found["status"] == status
        is_ending = kind is CommandKind.CANCEL_AT_PERIOD_END
        assert (found["cancel_at"] is not None) is is_ending
    paid = [charge["amount"] for charge in await customer.charges()]
    assert (len(paid), paid[0]) == (2, 7_000)
    assert abs(paid[1] - 3_000) <= 10
    await lose_first_answers(world, way)
    await customer.command(CommandKind.CANCEL_NOW, refund=CancelRefund.UNUSED)
    await world.settle()
    refunds = [row["amount"] for row in await customer.ledger() if row["kind"] == "refund"]
    assert refunds[0] == paid[1]  # of the newest payment all, and the credit from the first one
    assert abs(sum(refunds) - 7_000) <= 10
    assert (await customer.row()).parked_data == []
    return customer


async def keep_a_credit(world: World, way: dict[str, Any]) -> Customer:
    """Pause, resume in vain, and cancel: the credit of the pause is given once."""
    customer = await world.subscribe("ok", "insufficient_funds", interval="week")
    await world.step(3 * DAY)
    await customer.command(CommandKind.PAUSE)
    stripe_id = await customer_id(world, customer.user_id)
    waits = {"customer": stripe_id, "pending": "true"}
    (credit,) = [each["amount"] for each in (await stripe(world, "invoiceitems", **waits))["data"]]
    await lose_first_answers(world, way)
    with pytest.raises(WorkflowUpdateFailedError):
        await customer.command(CommandKind.RESUME)
    kept = (await stripe(world, "invoiceitems", **waits))["data"]
    assert [each["amount"] for each in kept] == [credit]
    await lose_first_answers(world, way)
    await customer.command(CommandKind.CANCEL_NOW)
    assert (await stripe(world, f"customers/{stripe_id}"))["balance"] == credit
    assert (await stripe(world, "invoiceitems", **waits))["data"] == []
    return customer


async def move_a_trial(world: World, way: dict[str, Any]) -> Customer:
    """Extend a trial, and end it early."""
    customer = await world.subscribe("ok", interval="week", trial_days=5)
    trial_end = (await customer.row()).trial_end
    assert trial_end is not None
    await lose_first_answers(world, way)
    await customer.command(CommandKind.EXTEND_TRIAL, trial_end=trial_end + 5 * DAY)
    assert (await customer.row()).trial_end == trial_end + 5 * DAY
    await lose_first_answers(world, way)
    state = await customer.command(CommandKind.END_TRIAL)
    assert state.subscription_status == "active"
    assert [charge["outcome"] for charge in await customer.charges()] == ["succeeded"]
    await customer.command(CommandKind.CANCEL_NOW)  # or it would renew in the next stories
    return customer


async def pay_and_pay_back(world: World) -> None:
    payer = await start_paying(world, "ok")
    await payer.reaches(PaymentStatus.SUCCEEDED)
    await payer.ends()
    await payer.commands.refund(payer.refund_input(400))
    row = await payer.reaches(PaymentStatus.PARTIALLY_REFUNDED)
    assert row.refunded_cents == 400
    assert await payer.ledger("charge") == [("succeeded", 2_500)]
    assert await payer.ledger("refund") == [("succeeded", 400)]
    await payer.ends()
    waiting = await start_paying(world, "authentication_required")
    await waiting.reaches(PaymentStatus.REQUIRES_ACTION)
    await waiting.commands.cancel(waiting.payment_id, waiting.payment_id)
    row = await waiting.reaches(PaymentStatus.CANCELED)
    intent = await stripe(world, f"payment_intents/{row.stripe_payment_intent_id}")
    assert intent["status"] == "canceled"
    await waiting.ends()
    for one in (payer, waiting):
        paid = await one.row()
        assert paid is not None
        stripe_id = await customer_id(world, paid.user_id)
        intents = (await stripe(world, "payment_intents", customer=stripe_id))["data"]
        assert len(intents) == 1


async def open_pages(world: World, customer: Customer) -> None:
    """Open two Checkout pages, of which the second one closes the first, and the portal."""
    row = await customer.row()
    assert row.plan_id is not None
    request = SubscriptionRequest(
        user_id=customer.user_id, plan_id=row.plan_id, stripe_price_id=row.stripe_price_id or ""
    )
    for old in (await stripe(world, "billing_portal/configurations"))["data"]:
        path = f"/v1/billing_portal/configurations/{old['id']}"
        await world.http.post(path, data={"active": "false"}, headers=STRIPE_HEADERS)
    way_back = WayBack(success_url="https://app.example/ok", cancel_url="https://app.example")
    for _ in range(2):
        await world.operate(CreateCheckoutSession, request=request, way_back=way_back)
    user_id = customer.user_id
    await world.operate(CreatePortalSession, user_id=user_id, return_url="https://app.example")
    stripe_id = await customer_id(world, user_id)
    pages = (await stripe(world, "checkout/sessions", customer=stripe_id))["data"]
    assert [page["status"] for page in pages] == ["open", "expired"]


async def requests(world: World) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await world.http.get("/_sandbox/requests")).json()["items"]
    return items


@pytest.mark.parametrize(
    "way",
    [
        pytest.param(way, id=name, marks=[] if "500" in name else pytest.mark.soak)
        for name, way in WAYS.items()
    ],
)
async def test_each_post_has_one_effect_whatever_is_lost(world: World, way: dict[str, Any]) -> None:
    before = (await requests(world))[-1:]
    await lose_first_answers(world, way)
    customers = [await cancel_with_a_draft(world)]
    customers += [await change_ones_mind(world, way), await move_a_trial(world, way)]
    customers += [await keep_a_credit(world, way)]
    await lose_first_answers(world, way)
    customers += [await pause_in_the_end(world), await mark_uncollectible(world)]
    await lose_first_answers(world, way)
    customers += [await change_terms(world, way)]
    await lose_first_answers(world, way)
    await pay_and_pay_back(world)
    await open_pages(world, customers[0])
    await world.http.post("/_sandbox/faults", json={})

    new = [row for row in await requests(world) if not before or row["seq"] > before[0]["seq"]]
    assert {row["fault"] for row in new} >= set(POSTS), "each kind of POST has lost an answer"
    for customer in customers:
        stripe_id = await customer_id(world, customer.user_id)
        made = await stripe(world, "subscriptions", customer=stripe_id, status="all")
        assert len(made["data"]) == 1
        tries = Counter(charge["idempotency_key"] for charge in await customer.charges())
        assert set(tries.values()) == {1}
        email = f"{customer.user_id.hex}@example.com"
        assert len((await stripe(world, "customers", email=email))["data"]) == 1
    by_us = [row for row in new if row["method"] == "POST" and row["path"].startswith("/v1/")]
    keys = [row["idempotency_key"] for row in by_us if row["idempotency_key"] is not None]
    assert keys
    assert all(key.rpartition(":")[2].isdigit() for key in keys)
