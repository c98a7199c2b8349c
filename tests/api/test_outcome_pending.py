"""A 503 `outcome_pending` names what goes on, and where its state can be read."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import update
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from adapters.temporal.errors import from_temporal
from api.app import build_app
from api.errors import from_application
from api.http import request_context
from api.http.handled_request import note_created
from config import Settings
from database.agents.models import AgentRun
from database.payments.models import Payment, PaymentMethod
from database.session import Sessions
from domain.ids import agent_run_workflow_id, payment_workflow_id, subscription_workflow_id
from tests.api.support import add_plan, add_subscription, add_user, bearer, idle_server, served
from tests.api.test_openapi_answers import check_shape, template
from tests.api.test_workflows import add_retry
from tests.support.streams import add_run

API = "/api/v1"
NOT_AGAIN = "the command goes on; read it at Location, and do not send the request again"


class Pending(NamedTuple):
    """A request that no worker answers, what its answer names, and where that can be read."""

    path: str
    body: dict[str, Any]
    ids: set[str]
    location: str
    status_there: int = 200


@pytest.fixture(scope="module")
async def temporal() -> AsyncIterator[Client]:
    async with idle_server() as client:
        yield client


@pytest.fixture(scope="module")
async def http(
    settings: Settings,
    temporal: Client,
    sessions: Sessions,
) -> AsyncIterator[httpx.AsyncClient]:
    async with served(build_app(settings, temporal, sessions)) as client:
        yield client


async def add_payment(sessions: Sessions, user_id: UUID) -> UUID:
    payment_id = uuid4()
    async with sessions.begin() as session:
        session.add(
            Payment(
                payment_id=payment_id,
                user_id=user_id,
                amount_cents=500,
                currency_code="usd",
                payment_status="succeeded",
                workflow_id=payment_workflow_id(payment_id),
            )
        )
    return payment_id


async def add_card(sessions: Sessions, user_id: UUID) -> UUID:
    card_id = uuid4()
    async with sessions.begin() as session:
        session.add(
            PaymentMethod(
                payment_method_id=card_id,
                user_id=user_id,
                stripe_payment_method_id=f"pm_{card_id.hex}",
                brand="visa",
                last4="4242",
                exp_month=1,
                exp_year=2040,
                is_default=False,
            )
        )
    return card_id


async def scenes(sessions: Sessions, temporal: Client, user_id: UUID) -> list[Pending]:
    """Return one request for each place that waits for an outcome."""
    subscription_id = await add_subscription(sessions, user_id)
    payment_id, card_id = await add_payment(sessions, user_id), await add_card(sessions, user_id)
    retry = await add_retry(sessions)
    agent_run_id = await add_run(sessions, user_id)
    async with sessions.begin() as session:
        await session.execute(
            update(AgentRun)
            .where(AgentRun.agent_run_id == agent_run_id)
            .values(prompt_version="v1")
        )
    for workflow_id, queue in (
        (subscription_workflow_id(subscription_id), "billing"),
        (retry.workflow_id, "billing"),
        (agent_run_workflow_id(agent_run_id), "agents"),
    ):
        await temporal.start_workflow("Idle", id=workflow_id, task_queue=queue)
    card = {"payment_method_id": str(card_id)}
    run, payment = f"{API}/agent-runs/{agent_run_id}", f"{API}/payments/{payment_id}"
    subscription = f"{API}/subscriptions/{subscription_id}"
    payment_retry = f"{API}/payment-retries/{retry.payment_retry_id}"
    operation = {"operation_id", "workflow_id"}
    money = {"amount_cents": 500, "currency_code": "usd", "user_id": str(user_id)}
    plan = {"plan_id": str(await add_plan(sessions))}
    attach = {"stripe_payment_method_id": "pm_card_visa"}
    made = f"{API}/workflows/stripe-operation-"
    return [
        # Its row is written by the workflow, so there is nothing to read yet.
        Pending("subscriptions", plan, {"subscription_id"}, f"{API}/subscriptions/", 404),
        Pending("payments", money | card, {"payment_id"}, f"{API}/payments/", 404),
        Pending(f"{subscription}/payment-method", card, {"subscription_id"}, subscription),
        Pending(f"{payment}/refund", {"reason": "asked"}, {"payment_id", "refund_id"}, payment),
        Pending(f"{payment}/cancel", {}, {"payment_id"}, payment),
        Pending(f"{payment_retry}/retry-now", {}, {"payment_retry_id"}, payment_retry),
        Pending(f"{run}/messages", {"content": "and?"}, {"agent_run_id"}, run),
        Pending("payment-methods", attach, operation, made),
        Pending(f"payment-methods/{card_id}/default", {}, operation, made),
    ]


async def test_an_open_outcome_names_what_goes_on_and_where_to_look(
    http: httpx.AsyncClient,
    settings: Settings,
    sessions: Sessions,
    temporal: Client,
) -> None:
    user_id = await add_user(sessions)
    admin = bearer(settings, await add_user(sessions, "admin"))
    pending = await scenes(sessions, temporal, user_id)
    found = await asyncio.gather(
        *[
            http.post(f"{API}/{each.path.removeprefix(f'{API}/')}", json=each.body, headers=admin)
            for each in pending
        ]
    )
    for each, reply in zip(pending, found, strict=True):
        answer = reply.json()
        assert (reply.status_code, answer["code"]) == (503, "outcome_pending"), each.path
        assert answer["details"].keys() == each.ids, each.path
        check_shape(reply, "POST", template(f"{API}/{each.path.removeprefix(f'{API}/')}"), 503)
        location = reply.headers["location"]
        assert location.startswith(each.location), each.path
        assert any(str(value) in location for value in answer["details"].values())
        assert "retry-after" not in reply.headers, each.path
        assert answer["detail"] == NOT_AGAIN, each.path
        there = await http.get(location, headers=admin)
        assert there.status_code == each.status_there, each.path


async def test_with_a_key_the_same_request_is_asked_for_again(
    http: httpx.AsyncClient,
    settings: Settings,
    sessions: Sessions,
    temporal: Client,
) -> None:
    admin = bearer(settings, await add_user(sessions, "admin"))
    pending = await scenes(sessions, temporal, await add_user(sessions))
    found = await asyncio.gather(
        *[
            http.post(
                f"{API}/{each.path.removeprefix(f'{API}/')}",
                json=each.body,
                headers=admin | {"Idempotency-Key": each.path},
            )
            for each in pending
        ]
    )
    for each, reply in zip(pending, found, strict=True):
        assert reply.json()["code"] == "outcome_pending", each.path
        assert int(reply.headers["retry-after"]) > 0, each.path
        assert "do not send" not in reply.json()["detail"], each.path


async def test_a_user_sees_their_own_operation_at_stripe_and_no_other(
    http: httpx.AsyncClient,
    settings: Settings,
    sessions: Sessions,
) -> None:
    user, other = [bearer(settings, await add_user(sessions)) for _ in range(2)]
    body = {"stripe_payment_method_id": "pm_card_visa"}
    reply = await http.post(f"{API}/payment-methods", json=body, headers=user)
    location = reply.headers["location"]
    seen = await http.get(location, headers=user)
    assert (seen.status_code, seen.json()["status"]) == (200, "running")
    assert (await http.get(location, headers=other)).status_code == 404


async def test_a_start_of_a_run_that_is_not_answered_names_the_run(
    http: httpx.AsyncClient,
    settings: Settings,
    sessions: Sessions,
) -> None:
    user_id = await add_user(sessions)
    await add_subscription(sessions, user_id)
    body = {"agent": "research", "input": "Where does the night train leave?"}
    reply = await http.post(f"{API}/agent-runs", json=body, headers=bearer(settings, user_id))
    assert (reply.status_code, reply.json()["code"]) == (503, "outcome_pending"), reply.text
    agent_run_id = reply.json()["details"]["agent_run_id"]
    assert reply.headers["location"] == f"{API}/agent-runs/{agent_run_id}"
    assert "retry-after" not in reply.headers
    assert reply.json()["detail"] == NOT_AGAIN


async def test_a_request_that_takes_too_long_names_what_it_is_about(
    http: httpx.AsyncClient,
    settings: Settings,
    sessions: Sessions,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(request_context, "ANSWER_SECONDS", 1.0)
    admin = bearer(settings, await add_user(sessions, "admin"))
    subscription_id = await add_subscription(sessions, await add_user(sessions))
    path = f"{API}/subscriptions/{subscription_id}"
    cancel = {"mode": "now"}
    plan = {"plan_id": str(await add_plan(sessions))}
    late, created = await asyncio.gather(
        http.post(f"{path}/cancel", json=cancel, headers=admin),
        http.post(f"{API}/subscriptions", json=plan, headers=admin),
    )
    assert (late.status_code, late.headers["location"]) == (503, path)
    assert late.json()["details"] == {"subscription_id": str(subscription_id)}
    assert [each.json()["detail"] for each in (late, created)] == [NOT_AGAIN] * 2
    assert not any("retry-after" in each.headers for each in (late, created))
    created_id = created.json()["details"]["subscription_id"]
    assert created.headers["location"] == f"{API}/subscriptions/{created_id}"


@pytest.mark.parametrize("has_key", [True, False])
@pytest.mark.parametrize("status", [RPCStatusCode.CANCELLED, RPCStatusCode.DEADLINE_EXCEEDED])
def test_a_start_that_is_not_answered_in_time_is_not_to_be_repeated_without_a_key(
    status: RPCStatusCode, has_key: bool
) -> None:
    late = RPCError("Timeout expired", status, b"")
    error = from_temporal(late)
    error.__cause__ = late
    scope: dict[str, Any] = {}
    note_created(scope, uuid4(), has_key=has_key)
    reply = from_application(error, scope)
    assert reply.status_code == 503
    assert ("retry-after" in reply.headers) == has_key
    assert (b"before you send the request again" in reply.body) != has_key
