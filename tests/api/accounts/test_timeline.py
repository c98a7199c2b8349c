"""The timeline: everything of one customer in order, only for administrators, page by page."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from database.agents.models import AgentRun
from database.payment_retries.models import PaymentAttempt, PaymentRetry
from database.session import Sessions
from domain.timeline import TimelineKind, summarize
from tests.api.agents.test_agent_runs import ENDED, answer, ask, pay, wait, wants_refund
from tests.api.conftest import MakeCard, Person, problem
from tests.api.support import add_subscription
from tests.support.streams import add_run


async def timeline(admin: Person, user_id: UUID, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor = None
    while True:
        asked = query | ({"cursor": cursor} if cursor else {})
        reply = await admin.http.get(f"/api/v1/users/{user_id}/timeline", params=asked)
        assert reply.status_code == 200, reply.text
        found += reply.json()["items"]
        cursor = reply.json()["next_cursor"]
        if cursor is None:
            return found


async def test_tells_money_access_and_runs_in_order(
    customer: Person, admin: Person, card: MakeCard
) -> None:
    payment = await pay(customer, card)
    run = await wants_refund(customer, payment)
    await admin.post(f"agent-runs/{run['agent_run_id']}/approve", **answer(run, "approve"))
    await wait(customer, run, *ENDED)
    removed = (await customer.get("payment-methods"))["items"][0]
    await customer.http.delete(f"/api/v1/payment-methods/{removed['payment_method_id']}")

    told = await timeline(admin, customer.user_id)

    assert [entry["seq"] for entry in told] == list(range(1, len(told) + 1))
    assert told == sorted(told, key=lambda entry: entry["occurred_at"])
    assert told[0]["kind"] == TimelineKind.USER_CREATED
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for entry in told:
        by_kind.setdefault(entry["kind"], []).append(entry)
    assert len(by_kind[TimelineKind.PAYMENT_METHOD_ADDED]) == 2
    assert len(by_kind[TimelineKind.PAYMENT_METHOD_REMOVED]) == 1
    # The first invoice of the subscription, and the payment that was refunded.
    assert {entry["summary"] for entry in by_kind[TimelineKind.PAYMENT]} == {
        "A payment of 29.00 USD was made.",
        "A payment of 20.00 USD was made.",
    }
    (refund,) = by_kind[TimelineKind.REFUND]
    assert refund["resource_id"] == payment["payment_id"]
    assert refund["summary"].startswith("A refund of 20.00 USD was requested")
    assert refund["summary"].endswith(": succeeded.")
    runs = by_kind[TimelineKind.AGENT_RUN_CREATED] + by_kind[TimelineKind.AGENT_RUN_ENDED]
    assert [entry["resource_id"] for entry in runs] == [run["agent_run_id"]] * 2
    assert by_kind[TimelineKind.APPROVAL_DECIDED][0]["summary"].endswith("decided: approved.")
    access = [entry["summary"] for entry in by_kind["status_changed"]]
    assert "The subscription changed from incomplete to active." in access
    assert await timeline(admin, customer.user_id, limit=3) == told


async def test_a_declined_attempt_is_told_with_its_amount(
    admin: Person, user: Person, sessions: Sessions
) -> None:
    subscription_id = await add_subscription(sessions, user.user_id)
    stripe_invoice_id = f"in_{uuid4().hex}"
    retry = PaymentRetry(
        payment_retry_id=uuid4(),
        subscription_id=subscription_id,
        user_id=user.user_id,
        stripe_invoice_id=stripe_invoice_id,
        retry_status="waiting",
        policy_name="default",
        policy_version=1,
        workflow_id=f"payment-retry-{stripe_invoice_id}",
    )
    async with sessions.begin() as session:
        session.add(retry)
        await session.flush()
        for attempt, trigger in enumerate(("scheduled", "manual")):
            values = {"attempt": attempt, "trigger": trigger, "attempted_at": retry.created_at}
            declined = {"outcome": "failed", "decline_code": "insufficient_funds"}
            session.add(
                PaymentAttempt(payment_retry_id=retry.payment_retry_id, **values, **declined)
            )
    told = [entry for entry in await timeline(admin, user.user_id) if "invoice" in entry["summary"]]
    assert {entry["summary"] for entry in told} == {
        f"First charge for invoice {stripe_invoice_id}: failed (insufficient_funds).",
        f"Attempt 1 (manual) for invoice {stripe_invoice_id}: failed (insufficient_funds).",
    }
    assert {entry["resource_id"] for entry in told} == {str(retry.payment_retry_id)}


async def test_nothing_of_another_customer_is_in_it(
    customer: Person, other: Person, admin: Person, sessions: Sessions
) -> None:
    await ask(customer, "hello")
    agent_run_id = await add_run(sessions, other.user_id)
    told = await timeline(admin, other.user_id)
    assert [entry["kind"] for entry in told] == [
        TimelineKind.USER_CREATED,
        TimelineKind.AGENT_RUN_CREATED,
    ]
    assert told[1]["resource_id"] == str(agent_run_id)
    async with sessions() as session:
        assert (await session.get_one(AgentRun, agent_run_id)).user_id == other.user_id


async def test_only_administrators_may_ask(admin: Person, user: Person) -> None:
    path = f"/api/v1/users/{user.user_id}/timeline"
    problem(await user.http.get(path), 403, "admin_required")
    problem(await admin.http.get(f"/api/v1/users/{uuid4()}/timeline"), 404, "not_found")
    problem(await admin.http.get(path, params={"cursor": "x"}), 422, "invalid_cursor")


PAYMENT = {"amount_cents": 1_000, "currency_code": "jpy", "decline_code": None}


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        ("pending", "A payment of 1000 JPY was begun, and is not done yet."),
        ("requires_action", "A payment of 1000 JPY was begun, and is not done yet."),
        ("succeeded", "A payment of 1000 JPY was made."),
        ("failed", "A payment of 1000 JPY failed."),
        ("canceled", "A payment of 1000 JPY was begun, and canceled later."),
        ("refunded", "A payment of 1000 JPY was made."),
        ("partially_refunded", "A payment of 1000 JPY was made."),
        ("disputed", "A payment of 1000 JPY was made, and disputed later."),
    ],
)
def test_a_payment_is_told_by_its_status(status: str, sentence: str) -> None:
    assert summarize(TimelineKind.PAYMENT, PAYMENT | {"payment_status": status}) == sentence


def test_an_attempt_is_told_with_the_amount_of_its_invoice() -> None:
    row = {"attempt": 2, "trigger": "new_card", "outcome": "succeeded", "decline_code": None}
    invoice = {"stripe_invoice_id": "in_1", "amount_due_cents": 2_900, "currency_code": "usd"}
    sentence = "Attempt 2 (new_card) for invoice in_1 of 29.00 USD: succeeded."
    assert summarize(TimelineKind.PAYMENT_ATTEMPT, row | invoice) == sentence
