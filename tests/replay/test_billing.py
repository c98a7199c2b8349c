"""Subscriptions, payment retries and Stripe operations, recorded and replayed.

With `--record` their histories replace the committed ones.
"""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from temporalio.client import WorkflowHandle

from database.accounts.users import UserRepository
from database.payment_retries.models import PaymentRetry
from database.plans.models import Plan
from domain.ids import stripe_operation_workflow_id
from domain.payment_retries.messages import RetryNow
from domain.payment_retries.policy import LastResort, OlderInvoices, RetryPolicy
from domain.plans import PlanRequest
from domain.stripe_operations import (
    AdoptSubscription,
    AttachPaymentMethod,
    ChangePlan,
    CloseCheckoutSessions,
    CreateCheckoutSession,
    CreatePlan,
    CreatePortalSession,
    CreateSetupIntent,
    DetachPaymentMethod,
    PreviewChange,
    PreviewStart,
    ReadMeterErrors,
    SetDefaultPaymentMethod,
    StripeOperation,
    StripeOperationKind,
    StripeOperationResult,
    SyncCustomer,
)
from domain.subscriptions.adoption.imports import StripeImportStart
from domain.subscriptions.checkouts import WayBack
from domain.subscriptions.lifecycle import CommandKind
from domain.subscriptions.messages import SubscriptionRequest
from domain.subscriptions.previews import ChangeTerms, NewTerms
from domain.workflow_names import BILLING
from tests.support.dashboard import subscribe_in_dashboard
from tests.support.histories import current_run, keep
from tests.support.world import STRIPE_HEADERS, Customer, World
from tests.workflows.payment_retries.test_owed_invoices import (
    PATIENT,
    at_stripe,
    break_down,
    close_paid,
    owe_two,
)
from workflows.payment_retries.payment_retry import PaymentRetryWorkflow
from workflows.stripe_operation import StripeOperationWorkflow

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
SHORT = RetryPolicy(schedules={"default": (DAY, DAY)}, grace=5 * DAY)
ONE_TRY = RetryPolicy(schedules={"default": (DAY,)}, grace=4 * DAY, time_to_respond=DAY)
Run = WorkflowHandle[Any, Any]


@pytest.fixture
async def faults(world: World) -> AsyncIterator[None]:
    yield
    await break_down(world)


async def fail(
    world: World, *script: str, policy: RetryPolicy
) -> tuple[Customer, PaymentRetry, Run]:
    """Fail a renewal; return the payment retry's row and its run."""
    customer = await world.subscribe("ok", *script, policy=policy, interval="week")
    while not await customer.retries():
        await world.step(DAY)
    (retry,) = await customer.retries()
    return customer, retry, await current_run(customer.payment_retry_of(retry))


async def test_a_payment_retry_that_recovers(world: World, histories: Path) -> None:
    customer, _, run = await fail(world, "insufficient_funds", "ok", policy=SHORT)
    await world.step(2 * DAY)
    await keep(run, histories / "payment-retry-recovered.json", "charge_invoice")
    await customer.command(CommandKind.CANCEL_NOW)
    path = histories / "subscription-recovered-canceled.json"
    await keep(customer.first_mailbox, path, "command", "cancel_subscription")


async def test_a_payment_retry_that_gets_a_new_card(world: World, histories: Path) -> None:
    customer, _, run = await fail(world, "lost_card", policy=SHORT)
    await customer.add_card("ok")
    await world.settle()
    await keep(run, histories / "payment-retry-new-card.json", "command")


async def test_a_payment_retry_that_is_exhausted(world: World, histories: Path) -> None:
    customer, _, run = await fail(world, "insufficient_funds", policy=SHORT)
    await world.step(3 * DAY)
    # Reason: the first one, whose mails are sent by activities of their own, is kept as it is.
    await keep(run, histories / "payment-retry-exhausted-2.json", "save_retry")
    path = histories / "subscription-last-resort.json"
    await keep(customer.first_mailbox, path, "report", "execute_last_resort")


@pytest.mark.usefixtures("faults")
async def test_a_payment_retry_that_is_parked(world: World, histories: Path) -> None:
    customer, retry, run = await fail(world, "insufficient_funds", "ok", policy=SHORT)
    await break_down(world, {"match": "POST /v1/invoices/*/pay", "before": 400})
    await world.step(DAY + HOUR)
    (retry,) = await customer.retries()
    assert retry.parked_data
    for update in (PaymentRetryWorkflow.retry_parked, PaymentRetryWorkflow.retry_now):
        command = RetryNow(command_id=uuid4())
        await run.execute_update(update, command, id=str(command.command_id))
        await break_down(world)
    await world.settle()
    (retry,) = await customer.retries()
    assert retry.retry_status == "recovered"
    await keep(run, histories / "payment-retry-parked.json", "retry_parked", "retry_now")


async def test_a_payment_retry_whose_invoice_is_paid_elsewhere(
    world: World, histories: Path
) -> None:
    customer, retry, run = await fail(world, "insufficient_funds", "ok", policy=SHORT)
    await at_stripe(world, "POST", f"invoices/{retry.stripe_invoice_id}/pay")
    await world.settle()
    (retry,) = await customer.retries()
    assert retry.retry_status == "recovered"
    await keep(run, histories / "payment-retry-paid-elsewhere.json", "refresh_invoice")


async def test_a_subscription_whose_grace_ends(world: World, histories: Path) -> None:
    longer_than_grace = RetryPolicy(schedules={"default": (DAY, 5 * DAY)}, grace=2 * DAY)
    customer, *_ = await fail(world, "insufficient_funds", policy=longer_than_grace)
    await world.step(3 * DAY)
    await keep(customer.first_mailbox, histories / "subscription-grace-ended.json", "hint")


async def test_a_subscription_whose_older_invoice_is_voided(world: World, histories: Path) -> None:
    policy = PATIENT.model_copy(update={"older_invoices": OlderInvoices.VOID})
    customer, _, newer = await owe_two(world, "insufficient_funds", policy=policy)
    await close_paid(world, newer.stripe_invoice_id)
    await world.settle()
    await world.step(HOUR)
    card = await customer.add_card("ok")
    await customer.command(CommandKind.CHANGE_PAYMENT_METHOD, card)
    path = histories / "subscription-older-voided.json"
    await keep(customer.first_mailbox, path, "void_invoices", "change_payment_method")


@pytest.mark.usefixtures("faults")
async def test_a_subscription_that_is_canceled_with_an_open_invoice(
    world: World, histories: Path
) -> None:
    customer, *_ = await fail(world, "lost_card", policy=ONE_TRY)
    await break_down(world, {"match": "POST /v1/invoices/*/void", "before": 400})
    await customer.command(CommandKind.CANCEL_NOW)
    await world.settle()
    (step,) = (await customer.row()).parked_data
    assert step["parked"]["step"] == "void_all_invoices"
    await break_down(world)
    await customer.command(CommandKind.RETRY_PARKED)
    await world.settle()
    assert (await customer.row()).parked_data == []
    path = histories / "subscription-canceled-parked.json"
    await keep(customer.first_mailbox, path, "park_subscription", "void_all_invoices")


async def test_a_subscription_that_is_paid_too_late(world: World, histories: Path) -> None:
    policy = ONE_TRY.model_copy(update={"last_resort": LastResort.MARK_UNCOLLECTIBLE})
    customer, retry, _ = await fail(world, "insufficient_funds", policy=policy)
    await world.step(DAY + HOUR)
    assert (await customer.row()).subscription_status == "canceled"
    await close_paid(world, retry.stripe_invoice_id)
    await world.settle()
    run = await current_run(customer.mailbox)
    await world.settle()
    await keep(run, histories / "subscription-paid-late.json", "hint", "refund_payments")


async def test_a_subscription_that_is_changed(world: World, histories: Path) -> None:
    customer = await world.subscribe("ok", "ok")
    coupon = await at_stripe(world, "POST", "coupons", percent_off=10, duration="forever")
    await customer.command(CommandKind.APPLY_DISCOUNT, coupon=coupon["id"])
    for kind, quantity in (
        (CommandKind.SCHEDULE_CHANGE, 2),
        (CommandKind.CHANGE_PLAN, 3),
        (CommandKind.SCHEDULE_CHANGE, 4),
    ):
        await customer.command(kind, terms=ChangeTerms(quantity=quantity))
    await customer.command(CommandKind.CANCEL_SCHEDULED_CHANGE)
    await customer.command(CommandKind.REMOVE_DISCOUNT)
    assert (await customer.row()).quantity == 3
    await keep(
        customer.first_mailbox,
        histories / "subscription-changed.json",
        "change_discount",
        "schedule_change",
        "change_subscription_plan",
        "cancel_scheduled_change",
    )


async def operate(world: World, operation: Any, folder: Path) -> StripeOperationResult:
    """Run an operation, and record its history under the name of its kind."""
    handle = await world.env.client.start_workflow(
        StripeOperationWorkflow.run,
        operation,
        id=stripe_operation_workflow_id(operation.operation_id),
        task_queue=BILLING,
    )
    with world.env.auto_time_skipping_disabled():
        result = await handle.result()
    name = operation.kind.replace("_", "-")
    await keep(handle, folder / f"stripe-operation-{name}.json", operation.kind)
    return result


PLAN = PlanRequest(
    code="recorded",
    name="Pro",
    amount_cents=2_900,
    currency_code="usd",
    interval="month",
    interval_count=1,
    trial_days=0,
    features={},
    limits={},
    retry_policy="default",
)


async def report_badly(world: World) -> str:
    """Report usage of a customer who does not exist, and return Stripe's event about it."""
    name = f"calls_{uuid4().hex}"
    meter = {"event_name": name, "display_name": "x", "default_aggregation[formula]": "sum"}
    bad = {"event_name": name, "payload[stripe_customer_id]": "cus_none", "payload[value]": "1"}
    for path, form in (("billing/meters", meter), ("billing/meter_events", bad)):
        reply = await world.http.post(f"/v1/{path}", data=form, headers=STRIPE_HEADERS)
        reply.raise_for_status()
    errors = (await world.http.get("/_sandbox/meter-errors")).json()["items"]
    return next(str(error["event_id"]) for error in errors if error["event_name"] == name)


async def test_all_stripe_operations(world: World, histories: Path, tmp_path: Path) -> None:
    user_id, plan_id = uuid4(), uuid4()
    async with world.sessions.begin() as session:
        await UserRepository(session).add(user_id, f"{user_id.hex}@example.com")

    def ids(resource_id: UUID | None = None) -> dict[str, UUID]:
        return {"operation_id": uuid4(), "resource_id": resource_id or uuid4()}

    cards = [
        await operate(
            world,
            AttachPaymentMethod(
                **ids(),
                user_id=user_id,
                stripe_payment_method_id=await world.card("ok"),
                is_default=is_default,
            ),
            histories if is_default else tmp_path,
        )
        for is_default in (True, False)
    ]
    card_id, stripe_id = cards[1].resource_id, cards[1].stripe_payment_method_id or ""
    async with world.sessions() as session:
        user = await UserRepository(session).get(user_id)
    assert user is not None
    subscriber = await world.subscribe("ok")
    subscription = await subscriber.row()
    terms = NewTerms(
        plan_id=subscription.plan_id, stripe_price_id=subscription.stripe_price_id or ""
    )
    operations: list[StripeOperation] = [
        CreatePlan(**ids(plan_id), plan=PLAN.model_copy(update={"code": f"plan-{plan_id.hex}"})),
        ChangePlan(**ids(plan_id), plan=PlanRequest(amount_cents=3_900)),
        SetDefaultPaymentMethod(
            **ids(card_id), user_id=user_id, stripe_payment_method_id=stripe_id
        ),
        DetachPaymentMethod(**ids(card_id), stripe_payment_method_id=stripe_id),
        CreateSetupIntent(**ids(), user_id=user_id),
        ReadMeterErrors(**ids(plan_id), stripe_event_ids=(await report_badly(world),)),
        SyncCustomer(
            **ids(user_id),
            user_id=user_id,
            stripe_customer_id=user.stripe_customer_id or "",
            stripe_event_ids=("evt_1",),
        ),
        AdoptSubscription(**ids(), stripe_subscription_id="sub_of_somebody_else"),
        PreviewChange(
            **ids(subscription.subscription_id),
            stripe_subscription_id=subscription.stripe_subscription_id or "",
            terms=ChangeTerms(quantity=3),
        ),
        PreviewStart(**ids(subscription.plan_id), user_id=user_id, terms=terms),
    ]
    for operation in operations:
        await operate(world, operation, histories)
    async with world.sessions() as session:
        plan = await session.get_one(Plan, plan_id)
    request = SubscriptionRequest(
        user_id=user_id, plan_id=plan_id, stripe_price_id=plan.stripe_price_id
    )
    way_back = WayBack(success_url="https://app.example/ok", cancel_url="https://app.example")
    pages: list[StripeOperation] = [
        CreateCheckoutSession(**ids(), request=request, way_back=way_back),
        CloseCheckoutSessions(**ids(), user_id=user_id, plan_id=plan_id),
        CreatePortalSession(**ids(), user_id=user_id, return_url="https://app.example"),
    ]
    for operation in pages:
        await operate(world, operation, histories)
    operations += pages
    kinds = {StripeOperationKind.ATTACH_PAYMENT_METHOD, *(each.kind for each in operations)}  # type: ignore[attr-defined]
    assert kinds == set(StripeOperationKind)


async def test_an_import(world: World, histories: Path) -> None:
    customer = await subscribe_in_dashboard(world, "ok")
    handle: Run = await world.env.client.start_workflow(
        "StripeImportWorkflow",
        StripeImportStart(),
        id=f"stripe-import-{uuid4().hex}",
        task_queue=BILLING,
    )
    with world.env.auto_time_skipping_disabled():
        await handle.result()
    world.customers.append(customer)
    await world.settle()
    assert (await customer.row()).subscription_status == "active"
    await keep(handle, histories / "stripe-import.json", "adopt_page", "finish_import")
