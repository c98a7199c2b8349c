"""Subscribing, looking, canceling, and being told why."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest
from temporalio.client import Client

from config import Settings
from domain.ids import resource_id
from tests.api.conftest import API, Person, make_plan, problem, until
from tests.support.world import STRIPE_HEADERS
from workflows.subscriptions.subscription import SubscriptionWorkflow

pytestmark = pytest.mark.usefixtures("workers")
MakeCard = Callable[..., Awaitable[str]]


async def add_card(person: Person, name: str) -> dict[str, Any]:
    body: dict[str, Any] = {"stripe_payment_method_id": name, "is_default": True}
    reply = await person.post("payment-methods", **body)
    assert reply.status_code == 201, reply.text
    added: dict[str, Any] = reply.json()
    return added


async def subscribe(person: Person, plan: dict[str, Any], **extra: Any) -> dict[str, Any]:
    reply = await person.post("subscriptions", plan_id=plan["plan_id"], **extra)
    assert reply.status_code == 202, reply.text
    made: dict[str, Any] = reply.json()
    return made


async def wait_status(person: Person, subscription_id: str, status: str) -> dict[str, Any]:
    async def read() -> Any:
        seen = await person.get(f"subscriptions/{subscription_id}")
        return seen if seen["subscription_status"] == status else None

    seen: dict[str, Any] = await until(read)
    return seen


async def test_a_start_answers_with_its_outcome(
    user: Person,
    plan: dict[str, Any],
    card: MakeCard,
) -> None:
    await add_card(user, await card("ok"))
    reply = await user.post("subscriptions", plan_id=plan["plan_id"])
    assert reply.status_code == 202
    made = reply.json()
    assert reply.headers["location"] == f"{API}/subscriptions/{made['subscription_id']}"
    assert made["workflow_id"] == f"subscription-{made['subscription_id']}"
    seen = await wait_status(user, made["subscription_id"], "active")
    assert (seen["access"], seen["quantity"]) == ("full", 1)
    assert seen["stripe_subscription_id"].startswith("sub_")
    assert seen["stripe_customer_id"].startswith("cus_")
    assert seen["current_period_end"] > seen["current_period_start"]
    listed = await user.get("subscriptions", subscription_status="active")
    assert [item["subscription_id"] for item in listed["items"]] == [made["subscription_id"]]
    assert (await user.get("subscriptions", subscription_status="paused"))["items"] == []


async def test_invoices_events_payments_and_reasons(
    user: Person,
    plan: dict[str, Any],
    card: MakeCard,
) -> None:
    await add_card(user, await card("ok"))
    made = await subscribe(user, plan)
    path = f"subscriptions/{made['subscription_id']}"
    await wait_status(user, made["subscription_id"], "active")
    (invoice,) = (await user.get(f"{path}/invoices"))["items"]
    assert (invoice["invoice_status"], invoice["amount_paid_cents"]) == ("paid", 2900)
    (payment,) = (await user.get("payments", payment_status="succeeded"))["items"]
    assert (payment["invoice_id"], payment["amount_cents"]) == (invoice["invoice_id"], 2900)
    assert await user.get(f"payments/{payment['payment_id']}") == payment | {"refunds": []}
    told = await user.get(f"{path}/explain")
    assert (told["subscription_status"], told["access"]) == ("active", "full")
    assert told["because"]
    assert told["next"][0]["at"] is not None


async def test_an_explanation_has_the_events_that_led_here(
    user: Person, admin: Person, plan: dict[str, Any], card: MakeCard
) -> None:
    await add_card(user, await card("ok"))
    made = await subscribe(user, plan)
    path = f"subscriptions/{made['subscription_id']}"
    await wait_status(user, made["subscription_id"], "active")
    can_do = (await user.get(f"{path}/explain"))["can_do"]
    assert {"cancel {mode: now}", "payment-method"} <= set(can_do)
    assert "retry-parked" not in can_do
    assert "retry-parked" in (await admin.get(f"{path}/explain"))["can_do"]
    await user.post(f"{path}/cancel", mode="now")
    told = await user.get(f"{path}/explain")
    assert "cancel {mode: now}" not in told["can_do"]
    everything = (await user.get(f"{path}/events"))["items"]
    kinds = [event["kind"] for event in everything]
    first = kinds.index("status_changed")
    expected = everything[first + 1 :]
    assert [event["seq"] for event in told["led_here"]] == [event["seq"] for event in expected]
    summaries = [event["what"] for event in told["led_here"]]
    assert "The subscription was canceled at once, as requested." in summaries
    assert told["ids"] is None
    ids = (await admin.get(f"{path}/explain"))["ids"]
    assert ids["user"] == [str(user.user_id)]
    assert ids["workflow"] == [made["workflow_id"]]
    assert ids["stripe_subscription"][0].startswith("sub_")
    assert "payment_retry" not in ids


async def test_events_come_oldest_first_in_pages(
    user: Person,
    plan: dict[str, Any],
    card: MakeCard,
) -> None:
    await add_card(user, await card("ok"))
    made = await subscribe(user, plan)
    path = f"subscriptions/{made['subscription_id']}"
    await wait_status(user, made["subscription_id"], "active")
    await user.post(f"{path}/cancel", mode="now")
    everything = (await user.get(f"{path}/events"))["items"]
    assert [event["seq"] for event in everything] == list(range(1, len(everything) + 1))
    assert {"cancel_now", "status_changed"} <= {event["kind"] for event in everything}
    seen: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = await user.get(f"{path}/events", limit=1, **cursor)
        seen += page["items"]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert seen == everything
    for bad in ("echo-me", "-1", "9" * 30):
        reply = await user.http.get(f"{API}/{path}/events", params={"cursor": bad})
        problem(reply, 422, "invalid_cursor")


async def test_a_renewal_without_a_card_is_promised_no_charge(
    user: Person,
    plan: dict[str, Any],
    card: MakeCard,
) -> None:
    added = await add_card(user, await card("ok"))
    made = await subscribe(user, plan)
    path = f"subscriptions/{made['subscription_id']}"
    seen = await wait_status(user, made["subscription_id"], "active")
    gone = await user.http.delete(f"{API}/payment-methods/{added['payment_method_id']}")
    assert gone.status_code == 204
    told = await user.get(f"{path}/explain")
    assert told["because"] == ["The latest finalized invoice is paid."]
    assert told["next"] == [{"what": "The subscription renews.", "at": seen["current_period_end"]}]


class Sent:
    """A subscription on invoice terms, with a plan whose grace is over as soon as it begins."""

    def __init__(self, user: Person, made: dict[str, Any], stripe: httpx.AsyncClient) -> None:
        self._user = user
        self._stripe = stripe
        self._path = f"subscriptions/{made['subscription_id']}"
        self._workflow_id = made["workflow_id"]

    async def do(self, temporal: Client, call: str, **body: Any) -> None:
        """Do something at Stripe, and let its mailbox look."""
        if call.startswith("_sandbox"):
            reply = await self._stripe.post(f"/{call}", json=body)
        else:
            reply = await self._stripe.post(f"/v1/{call}", data=body)
        reply.raise_for_status()
        mailbox = temporal.get_workflow_handle(self._workflow_id)
        await mailbox.signal(SubscriptionWorkflow.hint, [f"evt_{uuid4().hex}"])

    async def told_when(self, sentence: str) -> Any:
        """Return what is told once this is said."""

        async def read() -> Any:
            told = await self._user.get(f"{self._path}/explain")
            return told if sentence in told["because"] else None

        return await until(read)

    async def newest_invoice(self) -> Any:
        """Return the newest invoice, as the API shows it."""
        return (await self._user.get(f"{self._path}/invoices"))["items"][0]


@pytest.fixture
async def sent(
    admin: Person,
    user: Person,
    card: MakeCard,
    settings: Settings,
    dev_server: Client,
) -> AsyncIterator[Sent]:
    """A subscription that was changed to invoice terms at Stripe."""
    name = f"p-{uuid4().hex[:8]}"
    policy = {"schedules": {"default": ["1h"]}, "grace": "0s", "last_resort": "cancel"}
    await admin.http.put(f"{API}/retry-policies/{name}", json=policy)
    await add_card(user, await card("ok"))
    made = await subscribe(user, await make_plan(admin, retry_policy=name))
    seen = await wait_status(user, made["subscription_id"], "active")
    base = settings.stripe.api_base or ""
    async with httpx.AsyncClient(base_url=base, headers=STRIPE_HEADERS, timeout=100) as stripe:
        terms = {"collection_method": "send_invoice", "days_until_due": "10"}
        made_sent = Sent(user, made, stripe)
        await made_sent.do(dev_server, f"subscriptions/{seen['stripe_subscription_id']}", **terms)
        yield made_sent


@pytest.mark.parametrize(
    ("closing", "is_what"),
    [("void", "void"), ("mark_uncollectible", "marked uncollectible"), ("pay", "paid")],
)
async def test_who_is_on_invoice_terms_is_told_of_no_charge(
    user: Person,
    sent: Sent,
    dev_server: Client,
    closing: str,
    is_what: str,
) -> None:
    """A renewal is sent, falls due, its grace ends, and somebody closes it at Stripe."""
    await sent.do(dev_server, "_sandbox/clock/advance", seconds=32 * 86_400)
    told = await sent.told_when("An invoice is not paid.")
    invoice = await sent.newest_invoice()
    assert (told["subscription_status"], invoice["invoice_status"]) == ("active", "open")
    assert [each["what"] for each in told["next"]][1:] == ["The subscription renews."]
    assert told["next"][0]["what"].startswith("The open invoice can be paid at http")

    await sent.do(dev_server, "_sandbox/clock/advance", seconds=12 * 86_400)
    told = await sent.told_when("The grace period has ended, and access with it.")
    overdue = ["Stripe calls the subscription past due.", "An invoice is not paid."]
    assert told["because"][:-1] == overdue
    (coming,) = told["next"]
    assert coming["what"].startswith("The open invoice can be paid at http")
    assert (await user.get("payment-retries"))["items"] == []

    extra = {"paid_out_of_band": "true"} if closing == "pay" else {}
    await sent.do(dev_server, f"invoices/{invoice['stripe_invoice_id']}/{closing}", **extra)
    reason = f"The latest finalized invoice is {is_what}."
    told = await sent.told_when(reason)
    assert (told["subscription_status"], told["because"]) == ("active", [reason])
    assert [each["what"] for each in told["next"]] == ["The subscription renews."]


async def test_twins_start_one_subscription(
    user: Person,
    plan: dict[str, Any],
    card: MakeCard,
    settings: Settings,
) -> None:
    await add_card(user, await card("ok"))
    body = {"plan_id": plan["plan_id"]}
    replies = await asyncio.gather(*[user.post("subscriptions", key="k", **body) for _ in range(4)])
    assert {reply.status_code for reply in replies} == {202}
    ids = {reply.json()["subscription_id"] for reply in replies}
    assert ids == {str(resource_id(user.user_id, f"{API}/subscriptions", "k"))}
    later = await user.post("subscriptions", key="k", **body)
    assert later.headers["idempotency-replayed"] == "true"
    assert later.headers["location"] == f"{API}/subscriptions/{ids.pop()}"
    assert len((await user.get("subscriptions"))["items"]) == 1
    async with httpx.AsyncClient(base_url=settings.stripe.api_base or "") as sandbox:
        ledger = (await sandbox.get("/_sandbox/ledger")).json()["items"]
    customer = later.json()["stripe_customer_id"]
    assert len([row for row in ledger if row["customer"] == customer]) == 1
    reply = await user.post("subscriptions", key="k", **body, quantity=2)
    problem(reply, 409, "idempotency_key_reused")


async def test_a_declined_start_stays_incomplete(
    user: Person,
    plan: dict[str, Any],
    card: MakeCard,
) -> None:
    await add_card(user, await card("insufficient_funds"))
    made = await subscribe(user, plan)
    seen = await until(lambda: with_link(user, made["subscription_id"]))
    assert (seen["subscription_status"], seen["access"]) == ("incomplete", "none")
    told = await user.get(f"subscriptions/{made['subscription_id']}/explain")
    assert seen["next_action_url"] in told["next"][0]["what"]


async def with_link(person: Person, subscription_id: str) -> Any:
    seen = await person.get(f"subscriptions/{subscription_id}")
    return seen if seen["next_action_url"] else None


async def test_what_does_not_exist_cannot_be_subscribed(
    admin: Person,
    user: Person,
    other: Person,
    plan: dict[str, Any],
    card: MakeCard,
) -> None:
    problem(await user.post("subscriptions", plan_id=str(uuid4())), 404, "not_found")
    theirs = (await add_card(other, await card("ok")))["payment_method_id"]
    body = {"plan_id": plan["plan_id"], "payment_method_id": theirs}
    problem(await user.post("subscriptions", **body), 404, "not_found")
    await admin.http.patch(f"{API}/plans/{plan['plan_id']}", json={"is_active": False})
    problem(await user.post("subscriptions", plan_id=plan["plan_id"]), 404, "not_found")
    assert (await user.get("subscriptions"))["items"] == []


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"plan_id": "echo-me"},
        {"plan_id": str(uuid4()), "quantity": 0},
        {"plan_id": str(uuid4()), "trial_days": -1},
        {"plan_id": str(uuid4()), "voucher": "echo-me"},
    ],
)
async def test_bad_input_is_refused(user: Person, body: dict[str, Any]) -> None:
    reply = await user.post("subscriptions", **body)
    problem(reply, 422, "invalid_input")
    assert "echo-me" not in reply.text


async def test_cancel_once_and_then_never_again(
    user: Person,
    plan: dict[str, Any],
    card: MakeCard,
) -> None:
    await add_card(user, await card("ok"))
    made = await subscribe(user, plan)
    path = f"subscriptions/{made['subscription_id']}"
    await wait_status(user, made["subscription_id"], "active")
    problem(await user.post(f"{path}/cancel", mode="tomorrow"), 422, "invalid_input")
    calls = [user.post(f"{path}/cancel", key="k", mode="now") for _ in range(3)]
    replies = await asyncio.gather(*calls)
    assert {reply.status_code for reply in replies} == {200}
    assert {reply.json()["subscription_status"] for reply in replies} == {"canceled"}
    assert replies[0].json()["access"] == "none"
    refused = await user.post(f"{path}/cancel", key="again", mode="now")
    told = problem(refused, 409, "illegal_command")
    assert told["details"] == {"subscription_status": "canceled"}
    replayed = await user.post(f"{path}/cancel", key="again", mode="now")
    assert replayed.json() == told
    assert replayed.headers["idempotency-replayed"] == "true"
    told = await user.get(f"{path}/explain")
    assert told["next"]


async def test_another_card_pays_from_now_on(
    user: Person,
    other: Person,
    plan: dict[str, Any],
    card: MakeCard,
) -> None:
    await add_card(user, await card("ok"))
    made = await subscribe(user, plan)
    path = f"subscriptions/{made['subscription_id']}/payment-method"
    await wait_status(user, made["subscription_id"], "active")
    new = (await add_card(user, await card("ok")))["payment_method_id"]
    reply = await user.post(path, payment_method_id=new)
    assert reply.status_code == 200, reply.text
    assert reply.json()["subscription_status"] == "active"
    theirs = (await add_card(other, await card("ok")))["payment_method_id"]
    problem(await user.post(path, payment_method_id=theirs), 404, "not_found")
    await user.post(f"subscriptions/{made['subscription_id']}/cancel", mode="now")
    problem(await user.post(path, payment_method_id=new), 409, "illegal_command")


async def test_others_do_not_exist(
    user: Person,
    other: Person,
    admin: Person,
    plan: dict[str, Any],
    card: MakeCard,
) -> None:
    await add_card(user, await card("ok"))
    made = await subscribe(user, plan)
    path = f"subscriptions/{made['subscription_id']}"
    for part in ("", "/events", "/invoices", "/explain"):
        problem(await other.http.get(f"{API}/{path}{part}"), 404, "not_found")
        assert (await admin.http.get(f"{API}/{path}{part}")).status_code == 200
    problem(await other.post(f"{path}/cancel", mode="now"), 404, "not_found")
    body = {"payment_method_id": str(uuid4())}
    problem(await other.post(f"{path}/payment-method", **body), 404, "not_found")
    assert (await other.get("subscriptions"))["items"] == []
    (payment,) = (await user.get("payments"))["items"]
    problem(await other.http.get(f"{API}/payments/{payment['payment_id']}"), 404, "not_found")


async def test_an_administrator_subscribes_a_user(
    admin: Person,
    user: Person,
    other: Person,
    plan: dict[str, Any],
    card: MakeCard,
) -> None:
    await add_card(user, await card("ok"))
    body = {"plan_id": plan["plan_id"], "user_id": str(user.user_id)}
    problem(await other.post("subscriptions", **body), 404, "not_found")
    made = (await admin.post("subscriptions", **body)).json()
    assert made["user_id"] == str(user.user_id)
    assert len((await user.get("subscriptions"))["items"]) == 1


async def test_entitlements_add_up(
    admin: Person,
    user: Person,
    other: Person,
    card: MakeCard,
) -> None:
    assert await user.get("entitlements") == {
        "access": "none",
        "features": {},
        "limits": {},
        "used": {"agent_run_count": 0, "token_count": 0, "cost_cents": 0},
        "resets_at": None,
        "windows": {},
    }
    await add_card(user, await card("ok"))
    limits = {"token_count": 5, "agent_run_count": 2}
    first = await make_plan(admin, limits=limits, features={"export": True})
    second = await make_plan(admin, limits={"token_count": 7}, features={"support": "by phone"})
    for plan in (first, second):
        made = await subscribe(user, plan)
        await wait_status(user, made["subscription_id"], "active")
    seen = await user.get("entitlements")
    assert (seen["access"], seen["limits"]) == ("full", {"token_count": 12})
    assert seen["features"] == {"export": True, "support": "by phone"}
    assert seen["resets_at"] is not None
    window = seen["windows"].pop("token_count")
    assert (window["per"], window["limit"], window["used"]) == ("period", 12, 0)
    assert (window["resets_at"], seen["windows"]) == (seen["resets_at"], {})
    seen["windows"]["token_count"] = window
    params = {"user_id": str(user.user_id)}
    assert await admin.get("entitlements", **params) == seen
    reply = await other.http.get(f"{API}/entitlements", params=params)
    problem(reply, 404, "not_found")


async def fail_renewal(
    user: Person, made: dict[str, Any], settings: Settings, dev_server: Client
) -> dict[str, Any]:
    """Let a renewal fail, and return its payment retry once it waits for its next try."""
    async with httpx.AsyncClient(base_url=settings.stripe.api_base or "", timeout=100) as sandbox:
        await sandbox.post("/_sandbox/clock/advance", json={"seconds": 32 * 86_400})
    mailbox = dev_server.get_workflow_handle(made["workflow_id"])
    await mailbox.signal(SubscriptionWorkflow.hint, ["evt_by_hand"])
    seen = await wait_status(user, made["subscription_id"], "past_due")
    assert seen["access"] == "grace"

    async def waiting() -> Any:
        items = (await user.get("payment-retries"))["items"]
        return items[0] if items and items[0]["next_attempt_at"] else None

    retry: dict[str, Any] = await until(waiting)
    assert retry["retry_status"] == "waiting"
    return retry


async def test_a_failed_renewal_is_retried_by_hand(
    admin: Person,
    user: Person,
    other: Person,
    card: MakeCard,
    settings: Settings,
    dev_server: Client,
) -> None:
    policy = {"schedules": {"default": ["1h"]}, "grace": "7d", "last_resort": "cancel"}
    name = f"p-{uuid4().hex[:8]}"
    await admin.http.put(f"{API}/retry-policies/{name}", json=policy)
    plan = await make_plan(admin, retry_policy=name)
    declines = ["ok", "insufficient_funds", "insufficient_funds", "ok"]
    await add_card(user, await card(*declines))
    made = await subscribe(user, plan)
    await wait_status(user, made["subscription_id"], "active")
    retry = await fail_renewal(user, made, settings, dev_server)
    path = f"payment-retries/{retry['payment_retry_id']}"
    assert retry["policy"] == {"name": name, "version": 1}
    assert (retry["attempt_count"], retry["attempts"]) == (0, [])
    told = await user.get(f"subscriptions/{made['subscription_id']}/explain")
    assert retry["next_attempt_at"] in [coming["at"] for coming in told["next"]]

    declined = await user.post(f"{path}/retry-now", key="k")
    assert declined.status_code == 200, declined.text
    (attempt,) = declined.json()["attempts"]
    assert (attempt["trigger"], attempt["outcome"]) == ("manual", "failed")
    assert attempt["decline_code"] == "insufficient_funds"
    assert declined.json()["attempt_count"] == 0
    assert (await user.post(f"{path}/retry-now", key="k")).json() == declined.json()
    told = await user.get(f"subscriptions/{made['subscription_id']}/explain")
    assert "insufficient funds" in " ".join(told["because"])

    problem(await other.post(f"{path}/retry-now"), 404, "not_found")
    problem(await other.http.get(f"{API}/{path}"), 404, "not_found")
    paid = await user.post(f"{path}/retry-now")
    assert paid.status_code == 200, paid.text
    assert paid.json()["retry_status"] == "recovered"
    assert [attempt["outcome"] for attempt in paid.json()["attempts"]] == ["failed", "succeeded"]
    await wait_status(user, made["subscription_id"], "active")
    told = problem(await user.post(f"{path}/retry-now"), 409, "illegal_command")
    assert told["details"] == {"retry_status": "recovered"}
    filters = {"subscription_id": made["subscription_id"], "retry_status": "recovered"}
    assert len((await user.get("payment-retries", **filters))["items"]) == 1
    assert len((await user.get("payments"))["items"]) == 2
