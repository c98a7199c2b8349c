"""Payment retries follow what is owed, and the last resort asks how things are at present."""

from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from prometheus_client import REGISTRY
from temporalio.client import WorkflowUpdateFailedError

from api.queries.explanations import explain_row
from database.accounts.models import User
from database.payment_retries.models import PaymentRetry
from database.subscriptions.models import Subscription
from domain.errors import ApplicationError
from domain.ids import subscription_workflow_id
from domain.payment_retries.policy import LastResort, OlderInvoices, RetryPolicy
from domain.payments.rules import PaymentStatus
from domain.stripe_operations import AttachPaymentMethod
from domain.subscriptions.lifecycle import CommandKind, SubscriptionStatus, access
from domain.subscriptions.messages import SubscriptionRequest
from domain.subscriptions.state import SubscriptionStart
from domain.workflow_names import BILLING
from tests.support.payers import start_paying
from tests.support.world import STRIPE_HEADERS, Customer, World
from tests.workflows.payment_retries.test_payment_retry import fail_renewal, retry_now
from workflows.subscriptions.subscription import SubscriptionWorkflow

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
ONE_TRY = RetryPolicy(schedules={"default": (DAY,)}, grace=4 * DAY, time_to_respond=DAY)


async def at_stripe(world: World, method: str, path: str, **params: Any) -> Any:
    """Do something at Stripe, as in its Dashboard."""
    is_post = method == "POST"
    reply = await world.http.request(
        method,
        f"/v1/{path}",
        headers=STRIPE_HEADERS,
        data=params if is_post else None,
        params=None if is_post else params,
    )
    return reply.raise_for_status().json()


async def break_down(world: World, *faults: dict[str, Any]) -> None:
    body = {"api": list(faults)}
    (await world.http.post("/_sandbox/faults", json=body)).raise_for_status()


async def card_id(customer: Customer) -> str:
    """Return the customer's default card."""
    async with customer.world.sessions() as session:
        user = await session.get_one(User, customer.user_id)
    found = await at_stripe(customer.world, "GET", f"customers/{user.stripe_customer_id}")
    return str(found["invoice_settings"]["default_payment_method"])


async def access_of(customer: Customer) -> str:
    row = await customer.row()
    now = await customer.world.env.get_current_time()
    status = SubscriptionStatus(row.subscription_status)
    return access(status, row.grace_ends_at, row.is_written_off, row.is_owing, now)


async def outcomes(customer: Customer) -> list[str]:
    return [charge["outcome"] for charge in await customer.charges()]


def by_age(retries: list[PaymentRetry]) -> list[PaymentRetry]:
    return retries[::-1]


async def owe_two(
    world: World, *script: str, policy: RetryPolicy
) -> tuple[Customer, PaymentRetry, PaymentRetry]:
    """Fail two renewals; return the older one's payment retry and the newer one's."""
    customer, _ = await fail_renewal(world, *script, policy=policy)
    while len(await customer.retries()) < 2:
        await world.step(DAY)
    older, newer = by_age(await customer.retries())
    assert (older.retry_status, newer.retry_status) == ("paused", "waiting")
    return customer, older, newer


PATIENT = RetryPolicy(schedules={"default": (30 * DAY,)}, grace=60 * DAY)


async def close_paid(world: World, stripe_invoice_id: str) -> None:
    card = await world.card("ok")
    await world.http.post(f"/i/{stripe_invoice_id}", json={"payment_method": card})


async def close_void(world: World, stripe_invoice_id: str) -> None:
    await at_stripe(world, "POST", f"invoices/{stripe_invoice_id}/void")


async def close_uncollectible(world: World, stripe_invoice_id: str) -> None:
    await at_stripe(world, "POST", f"invoices/{stripe_invoice_id}/mark_uncollectible")


async def close_out_of_band(world: World, stripe_invoice_id: str) -> None:
    await at_stripe(world, "POST", f"invoices/{stripe_invoice_id}/pay", paid_out_of_band="true")


@pytest.mark.parametrize(
    ("older_invoices", "close"),
    [
        (OlderInvoices.COLLECT, close_paid),
        (OlderInvoices.COLLECT, close_void),
        (OlderInvoices.VOID, close_uncollectible),
        pytest.param(OlderInvoices.COLLECT, close_uncollectible, marks=pytest.mark.soak),
        pytest.param(OlderInvoices.COLLECT, close_out_of_band, marks=pytest.mark.soak),
        pytest.param(OlderInvoices.VOID, close_paid, marks=pytest.mark.soak),
        pytest.param(OlderInvoices.VOID, close_void, marks=pytest.mark.soak),
        pytest.param(OlderInvoices.VOID, close_out_of_band, marks=pytest.mark.soak),
    ],
)
async def test_the_older_invoice_is_woken_however_the_newer_is_closed(
    world: World, close: Any, older_invoices: OlderInvoices
) -> None:
    policy = PATIENT.model_copy(update={"older_invoices": older_invoices})
    script = ["insufficient_funds"] * 2 + ["ok"]
    customer, older, newer = await owe_two(world, *script, policy=policy)

    await close(world, newer.stripe_invoice_id)
    await world.settle()
    await world.step(HOUR)

    older, newer = by_age(await customer.retries())
    assert newer.retry_status in {"recovered", "canceled", "written_off"}
    is_auto_charged = older_invoices is OlderInvoices.COLLECT
    assert older.retry_status == ("waiting" if is_auto_charged else "canceled")
    invoice = await at_stripe(world, "GET", f"invoices/{older.stripe_invoice_id}")
    assert invoice["status"] == ("open" if is_auto_charged else "void")


async def test_an_old_debt_ends_nobody_who_is_paid_up(world: World) -> None:
    policy = RetryPolicy(schedules={"default": (2 * DAY,)}, grace=20 * DAY)
    script = ["insufficient_funds", "ok", "insufficient_funds", "ok"]
    customer = await world.subscribe("ok", *script, policy=policy, interval="day")
    first: PaymentRetry | None = None
    for _ in range(5):
        await world.step(DAY)
        first = first or next(iter(by_age(await customer.retries())), None)
    assert first is not None
    row = await customer.row()
    assert (row.subscription_status, row.parked_data) == ("active", [])
    ended = next(
        retry
        for retry in await customer.retries()
        if retry.stripe_invoice_id == first.stripe_invoice_id
    )
    assert ended.retry_status == "exhausted"
    invoice = await at_stripe(world, "GET", f"invoices/{first.stripe_invoice_id}")
    assert invoice["status"] == "void"
    assert await access_of(customer) == "full"


async def test_an_unpaid_invoice_that_is_not_the_latest_is_collected(world: World) -> None:
    customer = await world.subscribe("ok", "insufficient_funds", "ok", interval="day")
    await world.http.post("/_sandbox/clock/advance", json={"seconds": 50 * 3_600})
    assert await outcomes(customer) == ["succeeded", "failed", "succeeded"]

    await world.settle()
    await world.step(HOUR)

    (retry,) = await customer.retries()
    assert retry.retry_status == "waiting"
    assert (await customer.row()).subscription_status == "active"


@pytest.mark.parametrize("decline", ["authentication_required", "lost_card"])
async def test_without_grace_there_is_time_to_respond(world: World, decline: str) -> None:
    policy = RetryPolicy(grace=timedelta(), time_to_respond=3 * DAY)
    customer, _ = await fail_renewal(world, decline, policy=policy)
    await world.step(2 * DAY)
    assert (await customer.row()).subscription_status == "past_due"
    assert await access_of(customer) == "none"
    await world.step(2 * DAY)
    assert (await customer.row()).subscription_status == "canceled"


async def test_a_lost_card_is_charged_neither_by_retry_now_nor_as_default_again(
    world: World,
) -> None:
    customer, retry = await fail_renewal(world, "lost_card", "ok")
    snapshot = await retry_now(customer, retry)
    await world.settle()
    assert snapshot.retry_status == "waiting_payment_method"
    assert await outcomes(customer) == ["succeeded", "failed"]
    result = await world.operate(
        AttachPaymentMethod,
        user_id=customer.user_id,
        stripe_payment_method_id=await card_id(customer),
        is_default=True,
    )
    await customer.command(CommandKind.CHANGE_PAYMENT_METHOD, result.stripe_payment_method_id)
    await world.settle()
    assert await outcomes(customer) == ["succeeded", "failed"]
    (retry,) = await customer.retries()
    assert (retry.retry_status, retry.decline_code) == ("waiting_payment_method", "lost_card")


@pytest.mark.parametrize("last_resort", [LastResort.CANCEL, LastResort.PAUSE])
async def test_the_last_resort_voids_the_invoice(world: World, last_resort: LastResort) -> None:
    policy = ONE_TRY.model_copy(update={"last_resort": last_resort})
    customer, retry = await fail_renewal(world, "insufficient_funds", policy=policy)
    await world.step(DAY + HOUR)
    invoice = await at_stripe(world, "GET", f"invoices/{retry.stripe_invoice_id}")
    assert invoice["status"] == "void"
    (retry,) = await customer.retries()
    assert retry.retry_status == "exhausted"


async def test_what_is_paid_after_the_last_resort_is_paid_back(world: World) -> None:
    policy = ONE_TRY.model_copy(update={"last_resort": LastResort.MARK_UNCOLLECTIBLE})
    customer, retry = await fail_renewal(world, "insufficient_funds", policy=policy)
    await world.step(DAY + HOUR)
    row = await customer.row()
    assert (row.subscription_status, await access_of(customer)) == ("canceled", "none")

    await close_paid(world, retry.stripe_invoice_id)
    assert (await outcomes(customer))[-1] == "succeeded"
    await world.settle()
    await world.settle()

    paid = (await customer.charges())[-1]["payment_intent"]
    refunds = await at_stripe(world, "GET", "refunds", payment_intent=paid)
    assert [refund["amount"] for refund in refunds["data"]] == [2_900]


async def test_uncollectible_by_us_gives_no_access(world: World) -> None:
    policy = ONE_TRY.model_copy(
        update={
            "last_resort": LastResort.MARK_UNCOLLECTIBLE,
            "after_uncollectible": LastResort.PAUSE,
        },
    )
    customer, _ = await fail_renewal(world, "insufficient_funds", policy=policy)
    await break_down(world, {"match": "POST /v1/subscriptions/*/pause", "times": 2, "before": 500})
    await world.step(DAY + HOUR)
    row = await customer.row()
    assert (row.subscription_status, row.is_written_off) == ("paused", True)
    changes = [event for event in await customer.events() if event.kind == "status_changed"]
    assert await access_of(customer) == "none"
    assert changes


async def test_a_wrong_key_is_no_decline(world: World) -> None:
    customer, retry = await fail_renewal(world, "insufficient_funds", "ok", policy=ONE_TRY)
    refused = REGISTRY.get_sample_value("stripe_errors_total", {"error_class": "key_refused"})
    calls = "/v1/invoices*"
    await break_down(
        world,
        {"match": f"GET {calls}", "times": 1, "before": 401},
        {"match": f"POST {calls}", "times": 2, "before": 403},
    )
    await world.step(DAY + HOUR)
    (retry,) = await customer.retries()
    assert (retry.retry_status, retry.attempt_count) == ("recovered", 1)
    assert (await customer.row()).subscription_status == "active"
    assert await outcomes(customer) == ["succeeded", "failed", "succeeded"]
    after = REGISTRY.get_sample_value("stripe_errors_total", {"error_class": "key_refused"})
    assert (after or 0) == (refused or 0) + 3


@pytest.mark.parametrize(
    "status",
    [403, 400, *(pytest.param(status, marks=pytest.mark.soak) for status in (401, 500))],
)
async def test_a_last_resort_that_is_refused_is_done_later(world: World, status: int) -> None:
    customer, retry = await fail_renewal(world, "insufficient_funds", policy=ONE_TRY)
    await break_down(world, {"match": "DELETE /v1/subscriptions/*", "times": 2, "before": status})
    await world.step(DAY + HOUR)
    await world.step(HOUR)
    row = await customer.row()
    assert (row.subscription_status, row.parked_data) == ("canceled", [])
    kinds = [event.kind for event in await customer.events()]
    assert kinds.count("last_resort") == 1
    (retry,) = await customer.retries()
    assert retry.retry_status == "exhausted"


@pytest.mark.parametrize("last_resort", [LastResort.CANCEL, LastResort.PAUSE])
async def test_what_support_writes_off_meanwhile_ends_nobody(
    world: World, last_resort: LastResort
) -> None:
    """A last resort was refused at first; before its next try support gives the invoice up."""
    policy = ONE_TRY.model_copy(update={"last_resort": last_resort})
    customer, retry = await fail_renewal(world, "insufficient_funds", policy=policy)
    await break_down(
        world,
        {"match": "DELETE /v1/subscriptions/*", "before": 400},
        {"match": "POST /v1/subscriptions/*/pause", "before": 400},
    )
    await world.step(DAY + HOUR)
    assert (await customer.row()).parked_data
    await close_uncollectible(world, retry.stripe_invoice_id)
    await break_down(world)
    await world.step(3 * HOUR)
    row = await customer.row()
    assert (row.subscription_status, row.parked_data) == ("active", [])
    found = await at_stripe(world, "GET", f"subscriptions/{row.stripe_subscription_id}")
    assert found["status"] == "active"


async def test_retries_go_on_when_stripe_refuses_the_cancel(world: World) -> None:
    customer, _ = await fail_renewal(world, "insufficient_funds", "ok", policy=ONE_TRY)
    await break_down(world, {"match": "DELETE /v1/subscriptions/*", "times": 1, "before": 400})
    with pytest.raises(WorkflowUpdateFailedError):
        await customer.command(CommandKind.CANCEL_NOW)
    await world.settle()
    (retry,) = await customer.retries()
    assert retry.retry_status == "waiting"
    await world.step(2 * DAY)
    (retry,) = await customer.retries()
    assert retry.retry_status == "recovered"
    assert (await customer.row()).subscription_status == "active"


async def test_a_draft_takes_nobody_s_access(world: World) -> None:
    """The first invoice is paid while the next one is a draft: nothing is owed any more."""
    policy = RetryPolicy(schedules={"default": (30 * DAY,)}, grace=2 * DAY)
    customer, retry = await fail_renewal(world, "insufficient_funds", "ok", policy=policy)
    end = (await customer.row()).current_period_end
    assert end is not None
    await world.step(end - await world.env.get_current_time() - HOUR)
    while (await customer.row()).current_period_end == end:
        await world.step(HOUR / 2)
    assert await access_of(customer) == "none"
    await close_paid(world, retry.stripe_invoice_id)
    await world.settle()
    assert await access_of(customer) in {"full", "grace"}


async def test_what_is_sent_is_never_charged(world: World) -> None:
    customer = await world.subscribe("ok", "insufficient_funds", "ok", interval="week")
    stripe_id = (await customer.row()).stripe_subscription_id
    await at_stripe(
        world,
        "POST",
        f"subscriptions/{stripe_id}",
        collection_method="send_invoice",
        days_until_due=1,
    )
    await world.step(12 * DAY)
    assert await outcomes(customer) == ["succeeded"]
    assert await customer.retries() == []
    row = await customer.row()
    assert row.parked_data == []
    told = await explain_row(world.sessions, row, is_for_admin=False)
    said = " ".join([*told.because, *[coming.what for coming in told.next]])
    assert "An invoice is not paid." in told.because
    assert "The open invoice can be paid at" in said
    assert "charge" not in said
    assert "tried" not in said
    await customer.add_card("ok")
    await world.settle()
    assert await outcomes(customer) == ["succeeded"]


async def test_a_price_changed_at_stripe_is_followed(world: World) -> None:
    customer, other = await world.subscribe("ok"), await world.subscribe("ok")
    mine, theirs = await customer.row(), await other.row()
    stripe_id = mine.stripe_subscription_id
    found = await at_stripe(world, "GET", f"subscriptions/{stripe_id}")
    item = found["items"]["data"][0]["id"]

    async def change(price: str) -> Subscription:
        await at_stripe(
            world,
            "POST",
            f"subscriptions/{stripe_id}",
            **{"items[0][id]": item, "items[0][price]": price},
        )
        await world.settle()
        return await customer.row()

    row = await change(str(theirs.stripe_price_id))
    assert (row.plan_id, row.stripe_price_id) == (theirs.plan_id, theirs.stripe_price_id)
    product = await at_stripe(world, "POST", "products", name="Not ours")
    params = {"product": product["id"], "currency": "usd", "unit_amount": 100}
    price = await at_stripe(world, "POST", "prices", **params, **{"recurring[interval]": "month"})
    row = await change(str(price["id"]))
    assert (row.plan_id, row.stripe_price_id) == (theirs.plan_id, price["id"])
    assert row.parked_data == []


async def test_more_than_twelve_invoices(world: World) -> None:
    customer = await world.subscribe("ok", interval="day")
    await world.http.post("/_sandbox/clock/advance", json={"seconds": 20 * 86_400})
    await world.settle()
    assert len(await outcomes(customer)) == 20 or len(await outcomes(customer)) == 21
    row = await customer.row()
    assert (row.subscription_status, row.parked_data) == ("active", [])


async def start_another(first: Customer) -> Customer:
    """Start another subscription of a customer's plan, and do not wait for it."""
    another, row = Customer(first.world, first.user_id, uuid4()), await first.row()
    request = SubscriptionRequest(
        user_id=first.user_id,
        plan_id=row.plan_id,
        stripe_price_id=str(row.stripe_price_id),
        has_card=True,
        is_stackable=True,
    )
    await first.world.env.client.start_workflow(
        SubscriptionWorkflow.run,
        SubscriptionStart.new(another.subscription_id, request),
        id=subscription_workflow_id(another.subscription_id),
        task_queue=BILLING,
    )
    return another


async def test_canceled_while_it_could_not_be_created(world: World) -> None:
    customer = await world.subscribe("ok")
    await break_down(world, {"match": "POST /v1/subscriptions", "before": 503})
    broken = await start_another(customer)
    await wait_for_call(world, "POST", "/v1/subscriptions", 503)
    with world.env.auto_time_skipping_disabled():
        state = await broken.command(CommandKind.CANCEL_NOW)
    assert state.subscription_status == "canceled"
    await break_down(world)
    await world.step(HOUR)
    async with world.sessions() as session:
        user = await session.get_one(User, customer.user_id)
    made = await at_stripe(
        world, "GET", "subscriptions", customer=user.stripe_customer_id, status="all"
    )
    assert len(made["data"]) == 1, "the first one's only"


async def wait_for_call(world: World, method: str, path: str, status: int | None) -> None:
    for _ in range(1_000):
        rows = (await world.http.get("/_sandbox/requests")).json()["items"]
        if (method, path, status) in {(r["method"], r["path"], r["status"]) for r in rows[-50:]}:
            return
    raise TimeoutError(path)


async def test_a_payment_canceled_while_it_could_not_be_made(world: World) -> None:
    await break_down(world, {"match": "POST /v1/payment_intents", "before": 503})
    payer = await start_paying(world, "ok")
    await wait_for_call(world, "POST", "/v1/payment_intents", 503)
    with world.env.auto_time_skipping_disabled():
        await payer.commands.cancel(payer.payment_id, payer.payment_id)
    await break_down(world)
    row = await payer.reaches(PaymentStatus.CANCELED)
    await payer.ends()
    async with world.sessions() as session:
        user = await session.get_one(User, row.user_id)
    made = await at_stripe(world, "GET", "payment_intents", customer=user.stripe_customer_id)
    assert made["data"] == []


async def test_a_payment_canceled_while_its_answer_is_late(world: World) -> None:
    await break_down(world, {"match": "POST /v1/payment_intents", "times": 1, "delay_seconds": 3})
    payer = await start_paying(world, "ok")
    await wait_for_call(world, "POST", "/v1/payment_intents", None)
    # Whatever is answered: the money comes back.
    with world.env.auto_time_skipping_disabled(), suppress(ApplicationError):
        await payer.commands.cancel(payer.payment_id, payer.payment_id)
    await payer.ends()
    charges, refunds = await payer.ledger("charge"), await payer.ledger("refund")
    charged = sum(amount for outcome, amount in charges if outcome == "succeeded")
    assert charged == sum(amount for _, amount in refunds)
