"""One-off payments and refunds; Stripe's own ledger is the referee of what moved."""

import asyncio
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from api.app import build_app
from api.auth.tokens import make_token
from config import Settings
from database.open_work import open_work, recently_active_workflow_ids
from database.payments.models import Payment
from database.payments.refunds import RefundRepository
from database.session import Sessions
from domain.errors import (
    ConflictError,
    IllegalCommandError,
    InvalidInputError,
    NotFoundError,
    OutcomePendingError,
    ProviderRejectedError,
)
from domain.ids import payment_workflow_id
from domain.payments.messages import RefundInput
from domain.payments.rules import PaymentStatus, RefundStatus
from services.payments.commands import PaymentCommands
from tests.api.conftest import API, MakeCard, Person, client, problem, until
from tests.api.payments.conftest import Stripe, attach, paid, pay, see
from tests.api.support import send_event
from tests.conftest import free_port

pytestmark = pytest.mark.usefixtures("workers")


@pytest.fixture
def desk(workers: Client) -> PaymentCommands:
    return PaymentCommands(workers, answer_within=timedelta(seconds=15))


async def ended(temporal: Client, payment: dict[str, Any]) -> None:
    handle = temporal.get_workflow_handle(payment_workflow_id(payment["payment_id"]))
    await handle.result()


def order(payment: dict[str, Any], amount_cents: int | None = None) -> RefundInput:
    return RefundInput(
        payment_id=UUID(payment["payment_id"]),
        refund_id=uuid4(),
        amount_cents=amount_cents,
        reason="requested_by_customer",
    )


async def test_a_payment_is_made(user: Person, card: MakeCard, stripe: Stripe) -> None:
    body: dict[str, Any] = {
        "amount_cents": 2_500,
        "currency_code": "usd",
        "payment_method_id": await attach(user, await card("ok")),
        "description": "ten credits",
    }
    replies = await asyncio.gather(*[user.post("payments", key="k", **body) for _ in range(3)])
    assert {reply.status_code for reply in replies} == {202}
    (payment_id,) = {reply.json()["payment_id"] for reply in replies}
    assert replies[0].headers["location"] == f"{API}/payments/{payment_id}"
    seen = await see(user, replies[0].json(), "succeeded")
    assert seen["workflow_id"] == f"payment-{payment_id}"
    assert (seen["amount_cents"], seen["currency_code"]) == (2_500, "usd")
    assert (seen["refunded_cents"], seen["refunds"]) == (0, [])
    assert seen["invoice_id"] is None
    assert await stripe.charges(seen) == [("succeeded", 2_500)]
    sent = await stripe.requests("/v1/payment_intents")
    (params,) = [row["params"] for row in sent if row["params"]["metadata"] == only(payment_id)]
    assert params["description"] == "ten credits"
    problem(await user.post("payments", key="k", **body | {"amount_cents": 1}), 409, REUSED)


REUSED = "idempotency_key_reused"


def only(payment_id: str) -> dict[str, str]:
    return {"payment_id": payment_id}


async def test_a_declined_payment_has_failed(user: Person, card: MakeCard, stripe: Stripe) -> None:
    made = await pay(user, await card("insufficient_funds"))
    seen = await see(user, made, "failed")
    assert seen["decline_code"] == "insufficient_funds"
    assert await stripe.charges(seen) == [("failed", 2_500)]
    reply = await user.post(f"payments/{made['payment_id']}/cancel")
    refused = problem(reply, 409, "illegal_command")
    assert refused["details"] == {"payment_status": "failed"}


async def test_what_stripe_refuses_without_a_reason_is_parked_and_paid_later(
    admin: Person, user: Person, card: MakeCard, stripe: Stripe
) -> None:
    await stripe.break_down(match="POST /v1/payment_intents", before=400)
    made = await pay(user, await card("ok"))

    async def parked() -> Any:
        seen = await user.get(f"payments/{made['payment_id']}")
        return seen if seen["is_parked"] else None

    seen = await until(parked)
    assert (seen["payment_status"], seen["parked"][0]["step"]) == ("pending", "pay")
    await stripe.break_down()
    path = f"payments/{made['payment_id']}/retry-parked"
    problem(await user.post(path), 403, "admin_required")
    reply = await admin.post(path)
    assert (reply.status_code, reply.json()["payment_status"]) == (200, "succeeded"), reply.text
    assert reply.json()["parked"] == []


async def test_an_amount_that_stripe_never_takes_has_failed(
    user: Person, card: MakeCard, stripe: Stripe
) -> None:
    refusal = {"times": 1, "before": 400, "code": "amount_too_small"}
    await stripe.break_down(match="POST /v1/payment_intents", **refusal)
    seen = await see(user, await pay(user, await card("ok")), "failed")
    assert seen["decline_code"] == "amount_too_small"


async def test_an_authenticated_payment_succeeds_by_a_webhook(
    user: Person,
    card: MakeCard,
    stripe: Stripe,
    stranger: httpx.AsyncClient,
    settings: Settings,
) -> None:
    made = await pay(user, await card("authentication_required", "ok"))
    waiting = await see(user, made, "requires_action")
    assert waiting["next_action_url"].startswith("http")
    intent_id = waiting["stripe_payment_intent_id"]
    await stripe.call(f"payment_intents/{intent_id}/confirm")
    event = await stripe.event("payment_intent.succeeded", intent_id)
    assert (await send_event(stranger, settings, event)).status_code == 200
    seen = await see(user, made, "succeeded")
    assert seen["next_action_url"] is None


async def test_a_payment_that_waits_can_be_called_off(
    user: Person,
    other: Person,
    card: MakeCard,
    stripe: Stripe,
) -> None:
    made = await pay(user, await card("authentication_required"))
    await see(user, made, "requires_action")
    path = f"payments/{made['payment_id']}"
    problem(await other.post(f"{path}/cancel"), 404, "not_found")
    await stripe.break_down(match="POST /v1/payment_intents/*/cancel", times=1, after=500)
    reply = await user.post(f"{path}/cancel", key="k")
    assert reply.status_code == 200, reply.text
    assert reply.json()["payment_status"] == "canceled"
    again = await user.post(f"{path}/cancel", key="k")
    assert again.json() == reply.json()
    problem(await user.post(f"{path}/cancel"), 409, "illegal_command")


async def test_a_cancel_that_comes_too_late_is_refused(
    user: Person,
    card: MakeCard,
    stripe: Stripe,
) -> None:
    made = await pay(user, await card("authentication_required", "ok"))
    waiting = await see(user, made, "requires_action")
    await stripe.call(f"payment_intents/{waiting['stripe_payment_intent_id']}/confirm")
    reply = await user.post(f"payments/{made['payment_id']}/cancel")
    refused = problem(reply, 409, "illegal_command")
    assert refused["details"] == {"payment_status": "succeeded"}
    await see(user, made, "succeeded")


@pytest.mark.parametrize("fault", [{"before": 500}, {"after": 500}, {"drop": True}])
async def test_a_lost_answer_charges_once(
    user: Person,
    card: MakeCard,
    stripe: Stripe,
    fault: dict[str, Any],
) -> None:
    await stripe.break_down(match="POST /v1/payment_intents", times=1, **fault)
    made = await pay(user, await card("ok"))
    seen = await see(user, made, "succeeded")
    assert await stripe.charges(seen) == [("succeeded", 2_500)]


async def test_a_payment_is_refunded_in_parts_and_then_in_full(
    user: Person,
    admin: Person,
    card: MakeCard,
    stripe: Stripe,
) -> None:
    payment = await paid(user, card)
    path = f"payments/{payment['payment_id']}"
    first = await admin.post(f"{path}/refund", key="1", amount_cents=500, reason="late delivery")
    assert first.status_code == 200, first.text
    seen = first.json()
    assert (seen["payment_status"], seen["refunded_cents"]) == ("partially_refunded", 500)
    (refund,) = seen["refunds"]
    assert (refund["amount_cents"], refund["refund_status"]) == (500, "succeeded")
    assert (refund["reason"], refund["currency_code"]) == ("late delivery", "usd")
    assert refund["completed_at"] is not None
    again = await admin.post(f"{path}/refund", key="1", amount_cents=500, reason="late delivery")
    assert again.json() == seen

    much = await admin.post(f"{path}/refund", key="2", amount_cents=2_001, reason="more")
    refused = problem(much, 422, "refund_exceeds_payment")
    assert refused["details"] == {"refundable_cents": 2_000}

    rest = await admin.post(f"{path}/refund", reason="duplicate")
    assert rest.json()["payment_status"] == "refunded"
    assert [each["amount_cents"] for each in rest.json()["refunds"]] == [500, 2_000]
    over = await admin.post(f"{path}/refund", reason="once more")
    refused = problem(over, 409, "illegal_command")
    assert refused["details"] == {"payment_status": "refunded"}
    assert await stripe.refunds(payment) == [("succeeded", 500), ("succeeded", 2_000)]
    assert await user.get(path) == rest.json()


async def test_only_an_administrator_refunds(user: Person, other: Person, card: MakeCard) -> None:
    payment = await paid(user, card)
    path = f"payments/{payment['payment_id']}"
    problem(await user.post(f"{path}/refund", reason="please"), 403, "admin_required")
    problem(await other.http.get(f"{API}/{path}"), 404, "not_found")


async def test_bad_input_is_refused(user: Person, admin: Person, card: MakeCard) -> None:
    method = await attach(user, await card("ok"))
    body: dict[str, Any] = {"amount_cents": 100, "currency_code": "usd"}
    body["payment_method_id"] = method
    for change in (
        {"amount_cents": 0},
        {"currency_code": "dollars"},
        {"currency_code": "xxx"},
        {"colour": "red"},
    ):
        problem(await user.post("payments", **body | change), 422, "invalid_input")
    problem(await user.post("payments", **body | {"payment_method_id": str(uuid4())}), 404, NONE)
    problem(await user.post("payments", **body | {"user_id": str(uuid4())}), 404, NONE)
    problem(await admin.post(f"payments/{uuid4()}/refund", reason="x"), 404, NONE)
    payment = await paid(user, card)
    for bad in ({}, {"reason": ""}, {"reason": "x", "amount_cents": 0}):
        reply = await admin.post(f"payments/{payment['payment_id']}/refund", **bad)
        problem(reply, 422, "invalid_input")


NONE = "not_found"


async def test_an_administrator_pays_for_a_user(
    user: Person,
    admin: Person,
    card: MakeCard,
) -> None:
    method = await attach(user, await card("ok"))
    body: dict[str, Any] = {"amount_cents": 100, "currency_code": "usd"}
    body["payment_method_id"] = method
    problem(await admin.post("payments", **body), 404, NONE)
    reply = await admin.post("payments", **body, user_id=str(user.user_id))
    assert reply.json()["user_id"] == str(user.user_id)
    await see(user, reply.json(), "succeeded")


async def test_twins_with_one_refund_id_are_one_refund(
    user: Person,
    card: MakeCard,
    stripe: Stripe,
    desk: PaymentCommands,
    workers: Client,
) -> None:
    payment = await paid(user, card)
    await ended(workers, payment)
    wanted = order(payment, 700)
    results = await asyncio.gather(*[desk.refund(wanted) for _ in range(5)])
    assert len(set(results)) == 1
    assert (results[0].amount_cents, results[0].refund_status) == (700, RefundStatus.SUCCEEDED)
    await ended(workers, payment)
    assert await desk.refund(wanted) == results[0]  # by a run that knows nothing of the first
    assert await stripe.refunds(payment) == [("succeeded", 700)]


async def test_refunds_in_parallel_never_exceed_the_payment(
    user: Person,
    card: MakeCard,
    stripe: Stripe,
    desk: PaymentCommands,
) -> None:
    payment = await paid(user, card)
    wanted = [order(payment, 1_000) for _ in range(4)]
    ends = await asyncio.gather(*map(desk.refund, wanted), return_exceptions=True)
    refused = [end for end in ends if isinstance(end, InvalidInputError)]
    assert [error.error_code for error in refused] == ["refund_exceeds_payment"] * 2
    assert refused[0].details == {"refundable_cents": 500}
    assert await stripe.refunds(payment) == [("succeeded", 1_000)] * 2


@pytest.mark.parametrize("fault", [{"before": 500}, {"after": 500}, {"drop": True}])
async def test_a_lost_answer_refunds_once(
    user: Person,
    card: MakeCard,
    stripe: Stripe,
    desk: PaymentCommands,
    fault: dict[str, Any],
) -> None:
    payment = await paid(user, card)
    await stripe.break_down(match="POST /v1/refunds", times=1, **fault)
    made = await desk.refund(order(payment))
    assert made.amount_cents == 2_500
    assert await stripe.refunds(payment) == [("succeeded", 2_500)]
    seen = await user.get(f"payments/{payment['payment_id']}")
    assert (seen["payment_status"], seen["refunded_cents"]) == ("refunded", 2_500)


async def test_the_desk_raises_what_it_was_refused_with(
    user: Person,
    card: MakeCard,
    desk: PaymentCommands,
) -> None:
    payment = await paid(user, card)
    with pytest.raises(NotFoundError):
        await desk.refund(order({"payment_id": str(uuid4())}))
    first = order(payment, 100)
    await desk.refund(first)
    elsewhere = await paid(user, card)
    with pytest.raises(ConflictError):
        await desk.refund(first.model_copy(update={"payment_id": UUID(elsewhere["payment_id"])}))
    await desk.refund(order(payment))
    with pytest.raises(IllegalCommandError) as illegal:
        await desk.refund(order(payment))
    assert illegal.value.details == {"payment_status": PaymentStatus.REFUNDED}


async def test_what_stripe_refuses_is_no_refund(
    user: Person,
    card: MakeCard,
    stripe: Stripe,
    desk: PaymentCommands,
) -> None:
    """Somebody has refunded by hand, and the news has not come yet."""
    payment = await paid(user, card)
    intent_id = payment["stripe_payment_intent_id"]
    await stripe.call("refunds", payment_intent=intent_id, amount=2_000)
    with pytest.raises(InvalidInputError) as much:
        await desk.refund(order(payment, 1_000))
    assert much.value.details == {"refundable_cents": 500}
    seen = await user.get(f"payments/{payment['payment_id']}")
    assert (seen["payment_status"], seen["refunded_cents"]) == ("partially_refunded", 2_000)
    assert sorted(each["refund_status"] for each in seen["refunds"]) == ["failed", "succeeded"]
    await desk.refund(order(payment))  # what failed holds nothing back
    assert await stripe.refunds(payment) == [("succeeded", 2_000), ("succeeded", 500)]


async def test_a_refusal_without_a_reason_of_ours_is_told(
    user: Person,
    card: MakeCard,
    stripe: Stripe,
    desk: PaymentCommands,
) -> None:
    payment = await paid(user, card)
    await stripe.break_down(match="POST /v1/refunds", times=1, before=400)
    wanted = order(payment)
    with pytest.raises(ProviderRejectedError):
        await desk.refund(wanted)
    await ended(desk.client, payment)
    with pytest.raises(ProviderRejectedError):
        await desk.refund(wanted)  # the same id, the same answer
    assert await stripe.refunds(payment) == []


async def test_a_refund_made_by_hand_shows_up_by_a_webhook(
    user: Person,
    card: MakeCard,
    stripe: Stripe,
    stranger: httpx.AsyncClient,
    settings: Settings,
    workers: Client,
) -> None:
    payment = await paid(user, card)
    await ended(workers, payment)
    intent_id = payment["stripe_payment_intent_id"]
    made = await stripe.call("refunds", payment_intent=intent_id, amount=900)
    event = await stripe.event("charge.refunded", made["charge"])
    assert (await send_event(stranger, settings, event)).status_code == 200
    seen = await see(user, payment, "partially_refunded")
    (refund,) = seen["refunds"]
    assert (seen["refunded_cents"], refund["amount_cents"]) == (900, 900)
    assert refund["stripe_refund_id"] == made["id"]
    event = await stripe.event("refund.created", made["id"])
    await send_event(stranger, settings, event)
    await ended(workers, payment)
    assert (await user.get(f"payments/{payment['payment_id']}"))["refunds"] == [refund]


async def test_an_invoices_payment_is_refunded(
    user: Person,
    admin: Person,
    plan: dict[str, Any],
    card: MakeCard,
    stripe: Stripe,
) -> None:
    body: dict[str, Any] = {"stripe_payment_method_id": await card("ok"), "is_default": True}
    await user.post("payment-methods", **body)
    await user.post("subscriptions", plan_id=plan["plan_id"])

    async def read() -> Any:
        return (await user.get("payments"))["items"]

    (payment,) = await until(read)
    assert payment["workflow_id"] is None
    assert payment["invoice_id"] is not None
    path = f"payments/{payment['payment_id']}/refund"
    reply = await admin.post(path, amount_cents=900, reason="goodwill")
    assert reply.status_code == 200, reply.text
    seen = reply.json()
    assert (seen["payment_status"], seen["refunded_cents"]) == ("partially_refunded", 900)
    assert seen["workflow_id"] == f"payment-{payment['payment_id']}"
    assert await stripe.refunds(payment) == [("succeeded", 900)]


async def test_without_temporal_it_is_503(
    user: Person,
    admin: Person,
    card: MakeCard,
    settings: Settings,
    sessions: Sessions,
) -> None:
    payment = await paid(user, card)
    away = await Client.connect(
        f"127.0.0.1:{free_port()}",
        lazy=True,
        data_converter=pydantic_data_converter,
    )
    app = build_app(settings, away, sessions)
    token = make_token(admin.user_id, settings.auth.jwt_secret.get_secret_value(), 60)
    headers = {"Authorization": f"Bearer {token}"}
    async with app.router.lifespan_context(app), client(app, **headers) as http:
        path = f"{API}/payments/{payment['payment_id']}/refund"
        reply = await http.post(path, json={"reason": "x"})
    problem(reply, 503, "temporal_unavailable")


async def test_an_answer_that_is_late_goes_on(
    user: Person,
    card: MakeCard,
    stripe: Stripe,
    workers: Client,
    desk: PaymentCommands,
) -> None:
    payment = await paid(user, card)
    await stripe.break_down(match="POST /v1/refunds", times=1, delay_seconds=0.8)
    hasty, wanted = PaymentCommands(workers, answer_within=timedelta(seconds=0.3)), order(payment)
    with pytest.raises(OutcomePendingError):
        await hasty.refund(wanted)
    made = await desk.refund(wanted)
    assert made.amount_cents == 2_500
    assert await stripe.refunds(payment) == [("succeeded", 2_500)]


@pytest.mark.parametrize(("currency", "step"), [("kwd", 10), ("bhd", 10), ("isk", 100)])
async def test_an_amount_that_the_currency_does_not_have_is_refused(
    currency: str, step: int, user: Person, admin: Person, card: MakeCard, stripe: Stripe
) -> None:
    amount = 10_000
    money = {"currency_code": currency, "payment_method_id": await attach(user, await card("ok"))}
    plan = {"name": "P", "code": f"plan-{uuid4().hex[:8]}", "interval": "month"}
    plan |= {"currency_code": currency}
    payment = (await user.post("payments", amount_cents=amount, **money)).json()
    await see(user, payment, "succeeded")
    made = (await admin.post("plans", amount_cents=amount, **plan)).json()
    path = f"{API}/plans/{made['plan_id']}"
    refund = f"payments/{payment['payment_id']}/refund"
    odd = amount - step // 2
    for reply in (
        await user.post("payments", amount_cents=odd, **money),
        await admin.post("plans", amount_cents=odd, **(plan | {"code": f"{plan['code']}-2"})),
        await admin.http.patch(path, json={"amount_cents": odd}),
        await admin.post(refund, amount_cents=odd, reason="asked"),
    ):
        (fault,) = problem(reply, 422, "invalid_input")["details"]["errors"]
        assert fault["field"] == "body.amount_cents"
        assert f"multiple of {step}" in fault["message"]
    assert (await user.get("payments"))["items"][1:] == []
    assert await stripe.refunds(await user.get(f"payments/{payment['payment_id']}")) == []
    in_part = await admin.post(refund, amount_cents=step, reason="asked")
    assert in_part.json()["refunded_cents"] == step


async def test_a_tool_cannot_refund_what_the_currency_does_not_have(
    user: Person, card: MakeCard, stripe: Stripe, desk: PaymentCommands
) -> None:
    payment = await pay(user, await card("ok"), amount_cents=10_000, currency_code="kwd")
    payment = await see(user, payment, "succeeded")
    with pytest.raises(InvalidInputError):
        await desk.refund(order(payment, 101))
    assert await stripe.refunds(payment) == []


async def test_a_late_answer_is_503_and_the_same_key_gets_it(
    user: Person,
    admin: Person,
    card: MakeCard,
    stripe: Stripe,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    payment = await paid(user, card)
    path = f"payments/{payment['payment_id']}/refund"
    await stripe.break_down(match="POST /v1/refunds", times=1, delay_seconds=0.6)
    hasty = partial(PaymentCommands, answer_within=timedelta(seconds=0.3))
    with monkeypatch.context() as patch:
        patch.setattr("api.routes.payments.PaymentCommands", hasty)
        late = await admin.post(path, key="k", amount_cents=600, reason="x")
    problem(late, 503, "outcome_pending")
    reply = await admin.post(path, key="k", amount_cents=600, reason="x")
    assert reply.status_code == 200, reply.text
    assert reply.json()["refunded_cents"] == 600
    assert await stripe.refunds(payment) == [("succeeded", 600)]


async def test_what_stripe_has_not_made_yet_is_open_work(
    user: Person,
    card: MakeCard,
    sessions: Sessions,
) -> None:
    made = await paid(user, card)
    async with sessions.begin() as session:
        before = await open_work(session)
        payment = await session.get_one(Payment, UUID(made["payment_id"]))
        payment.payment_status = PaymentStatus.PENDING
        refund = await RefundRepository(session).reserve(payment, order(made), 100)
        assert (await open_work(session)).command_count == before.command_count + 2
        payment.payment_status = PaymentStatus.REQUIRES_ACTION
        refund.refund_status = RefundStatus.FAILED
        await session.flush()
        assert await open_work(session) == before
        touched = await recently_active_workflow_ids(session, timedelta(seconds=30))
        assert made["workflow_id"] in touched
        assert None not in touched
        await session.rollback()
