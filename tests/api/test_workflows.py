"""Temporal's view through the API, against a real server and its own command line."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import func, update
from temporalio import workflow
from temporalio.client import Client, WorkflowFailureError
from temporalio.worker import Worker

from api.app import build_app
from api.queries import workflows as workflow_queries
from api.routes import admin as admin_routes
from api.routes.admin import TOUCH_WINDOW, _is_busy
from config import Settings
from database.accounts.models import IdempotencyKey
from database.agents.models import AgentRun
from database.knowledge.models import Document
from database.open_work import OpenWork, open_work, recently_active_workflow_ids
from database.payment_retries.models import PaymentRetry
from database.payments.models import Payment, Refund
from database.session import Sessions
from database.subscriptions.models import Subscription
from database.usage.models import MeterEvent, UsageRecord
from database.webhooks.models import WebhookEvent
from domain.ids import (
    agent_run_workflow_id,
    ingest_workflow_id,
    payment_retry_id,
    payment_retry_workflow_id,
    payment_workflow_id,
    subscription_workflow_id,
)
from tests.api.support import (
    add_subscription,
    add_user,
    bearer,
    eventually,
    idle_server,
    send_event,
    served,
    stripe_event,
)
from tests.support.streams import add_run, finish

QUEUE = "workflows-under-test"
PARKED = [{"step": "create", "code": "test", "message": "Parked by a test."}]


@workflow.defn(sandboxed=False)
class Waiting:
    """Says what it does, and waits."""

    @workflow.run
    async def run(self) -> None:
        workflow.set_current_details("waits for nothing")
        await workflow.wait_condition(lambda: False)


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


async def start(temporal: Client, workflow_id: str) -> str:
    handle = await temporal.start_workflow(Waiting.run, id=workflow_id, task_queue=QUEUE)
    assert handle.first_execution_run_id
    return handle.first_execution_run_id


async def add_retry(sessions: Sessions, **changes: object) -> PaymentRetry:
    user_id = await add_user(sessions)
    stripe_invoice_id = f"in_{uuid4().hex}"
    row = PaymentRetry(
        payment_retry_id=payment_retry_id(stripe_invoice_id),
        subscription_id=await add_subscription(sessions, user_id, f"sub_{uuid4().hex}"),
        user_id=user_id,
        stripe_invoice_id=stripe_invoice_id,
        policy_name="default",
        policy_version=1,
        workflow_id=payment_retry_workflow_id(stripe_invoice_id),
        **{"retry_status": "paused"} | changes,
    )
    async with sessions.begin() as session:
        session.add(row)
    return row


async def add_theirs(sessions: Sessions, user_id: UUID) -> tuple[str, ...]:
    """Add a payment, a run and a document of a user, and return their workflows' ids."""
    payment = Payment(
        payment_id=uuid4(),
        user_id=user_id,
        amount_cents=500,
        currency_code="usd",
        payment_status="succeeded",
    )
    document_id = uuid4()
    document = Document(
        document_id=document_id,
        user_id=user_id,
        title="Terms",
        metadata_data={},
        document_status="ready",
        workflow_id=ingest_workflow_id(document_id),
    )
    async with sessions.begin() as session:
        session.add_all([payment, document])
    agent_run_id = await add_run(sessions, user_id)
    await finish(sessions, agent_run_id)  # leave nothing open behind
    return (
        payment_workflow_id(payment.payment_id),
        agent_run_workflow_id(agent_run_id),
        document.workflow_id,
    )


async def test_a_workflow_tells_where_it_stands(
    http: httpx.AsyncClient,
    settings: Settings,
    sessions: Sessions,
    temporal: Client,
) -> None:
    user_id = await add_user(sessions)
    workflow_id = subscription_workflow_id(await add_subscription(sessions, user_id))
    async with Worker(temporal, task_queue=QUEUE, workflows=[Waiting]):
        run_id = await start(temporal, workflow_id)
        url = f"/api/v1/workflows/{workflow_id}"

        async def told() -> Any:
            seen = (await http.get(url, headers=bearer(settings, user_id))).json()
            return seen if seen["current_details"] else None

        seen = await eventually(told)
    assert seen["current_details"] == "waits for nothing"
    assert (seen["workflow_id"], seen["run_id"], seen["status"]) == (workflow_id, run_id, "running")
    assert (seen["workflow_type"], seen["closed_at"]) == ("Waiting", None)
    ui = settings.temporal.ui_url
    assert seen["url"] == f"{ui}/namespaces/default/workflows/{workflow_id}/{run_id}"


async def test_history_is_what_the_command_line_shows(
    http: httpx.AsyncClient,
    settings: Settings,
    sessions: Sessions,
    temporal: Client,
) -> None:
    retry = await add_retry(sessions)
    await start(temporal, retry.workflow_id)
    await temporal.get_workflow_handle(retry.workflow_id).signal("hint", ["evt_1"])
    url = f"/api/v1/workflows/{retry.workflow_id}/history"
    reply = await http.get(url, headers=bearer(settings, retry.user_id))
    address = temporal.service_client.config.target_host
    command = f"workflow show -w {retry.workflow_id} --output json --address {address}"
    shown = await asyncio.create_subprocess_exec(
        Path(sys.prefix, "bin", "temporal"),
        *command.split(),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await asyncio.wait_for(shown.communicate(), 100)
    assert len(reply.json()["events"]) >= 3
    assert reply.json() == json.loads(output)


async def test_others_workflows_do_not_exist(
    http: httpx.AsyncClient,
    settings: Settings,
    sessions: Sessions,
    temporal: Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Reason: no worker serves these workflows, so every look waits for their details in vain.
    monkeypatch.setattr(workflow_queries, "DETAILS_TIMEOUT", timedelta(milliseconds=50))
    retry = await add_retry(sessions)
    mailbox_id = subscription_workflow_id(retry.subscription_id)
    operation_id = f"stripe-operation-{uuid4()}"
    theirs = await add_theirs(sessions, retry.user_id)
    owned = (retry.workflow_id, mailbox_id, *theirs)
    for workflow_id in (*owned, operation_id):
        await start(temporal, workflow_id)
    owner = bearer(settings, retry.user_id)
    stranger = bearer(settings, await add_user(sessions))
    admin = bearer(settings, await add_user(sessions, "admin"))
    for workflow_id in (*owned, operation_id):
        for path in (workflow_id, f"{workflow_id}/history"):
            url = f"/api/v1/workflows/{path}"
            assert (await http.get(url)).status_code == 401
            assert (await http.get(url, headers=stranger)).status_code == 404
            assert (await http.get(url, headers=admin)).status_code == 200
            told = await http.get(url, headers=owner)
            assert told.status_code == (200 if workflow_id in owned else 404), path
    row_id = theirs[0].removeprefix("payment-")  # of a payment, behind another's prefix
    for unknown in (
        "rubbish",
        "subscription-rubbish",
        subscription_workflow_id(uuid4()),
        agent_run_workflow_id(row_id),
        row_id,
    ):
        for headers in (stranger, owner, admin):
            reply = await http.get(f"/api/v1/workflows/{unknown}", headers=headers)
            assert (reply.status_code, reply.json()["code"]) == (404, "not_found")


async def test_list_and_terminate_are_for_administrators(
    http: httpx.AsyncClient,
    settings: Settings,
    sessions: Sessions,
    temporal: Client,
) -> None:
    retry = await add_retry(sessions)
    await start(temporal, retry.workflow_id)
    owner = bearer(settings, retry.user_id)
    admin = bearer(settings, await add_user(sessions, "admin"))
    url = f"/api/v1/workflows/{retry.workflow_id}/terminate"
    assert (await http.get("/api/v1/workflows", headers=owner)).status_code == 403
    assert (await http.post(url, json={"reason": "x"}, headers=owner)).status_code == 403
    assert (await http.post(url, json={"reason": ""}, headers=admin)).status_code == 422
    reply = await http.post(url, json={"reason": "stuck"}, headers=admin)
    assert (reply.status_code, reply.json()["status"]) == (200, "terminated")
    assert reply.json()["closed_at"]
    again = await http.post(url, json={"reason": "stuck"}, headers=admin)
    assert (again.status_code, again.json()["status"]) == (200, "terminated")
    unknown = f"/api/v1/workflows/{uuid4()}/terminate"
    assert (await http.post(unknown, json={"reason": "x"}, headers=admin)).status_code == 404

    async def is_listed() -> bool:
        wanted = {"status": "terminated", "limit": "200"}
        page = await http.get("/api/v1/workflows", params=wanted, headers=admin)
        assert {item["status"] for item in page.json()["items"]} <= {"terminated"}
        return retry.workflow_id in {item["workflow_id"] for item in page.json()["items"]}

    await eventually(is_listed)


async def test_what_has_ended_cannot_be_terminated(
    http: httpx.AsyncClient,
    settings: Settings,
    sessions: Sessions,
    temporal: Client,
) -> None:
    admin = bearer(settings, await add_user(sessions, "admin"))
    workflow_id = f"late-{uuid4()}"
    limit = timedelta(milliseconds=100)
    handle = await temporal.start_workflow(
        Waiting.run,
        id=workflow_id,
        task_queue=QUEUE,
        execution_timeout=limit,
    )
    with pytest.raises(WorkflowFailureError):
        await handle.result()
    url = f"/api/v1/workflows/{workflow_id}/terminate"
    reply = await http.post(url, json={"reason": "x"}, headers=admin)
    assert (reply.status_code, reply.json()["code"]) == (409, "illegal_command")
    assert reply.json()["details"] == {"status": "timed_out"}


async def test_lists_go_on_at_the_cursor(
    http: httpx.AsyncClient,
    settings: Settings,
    sessions: Sessions,
    temporal: Client,
) -> None:
    admin = bearer(settings, await add_user(sessions, "admin"))
    mine = {f"listed-{uuid4()}" for _ in range(3)}
    for workflow_id in mine:
        await start(temporal, workflow_id)

    async def walk() -> bool:
        seen: list[str] = []
        params = {"limit": "2"}
        while True:
            reply = await http.get("/api/v1/workflows", params=params, headers=admin)
            assert reply.status_code == 200
            seen += [item["workflow_id"] for item in reply.json()["items"]]
            if not reply.json()["next_cursor"]:
                return len(seen) == len(set(seen)) and mine <= set(seen)
            params["cursor"] = reply.json()["next_cursor"]

    await eventually(walk)
    bad = await http.get("/api/v1/workflows", params={"cursor": "ä"}, headers=admin)
    assert (bad.status_code, bad.json()["code"]) == (422, "invalid_cursor")


async def counts(sessions: Sessions) -> OpenWork:
    async with sessions() as session:
        return await open_work(session)


async def close_all(sessions: Sessions) -> None:
    """Let what other tests have left open be done, and done long ago."""
    ago = {"updated_at": func.now() - timedelta(hours=1)}
    settled = {"webhook_event_status": "ignored", "delivered_at": None}
    async with sessions.begin() as session:
        await session.execute(update(AgentRun).values(completed_at=func.now()))
        await session.execute(update(Document).values(document_status="failed"))
        await session.execute(update(Payment).values(payment_status="failed", **ago))
        await session.execute(update(Refund).values(refund_status="failed"))
        await session.execute(update(PaymentRetry).values(retry_status="recovered", **ago))
        await session.execute(update(Subscription).values(parked_data=PARKED, **ago))
        await session.execute(update(WebhookEvent).values(**settled))
        await session.execute(update(IdempotencyKey).values(answer_status_code=200))
        await session.execute(update(UsageRecord).values(review_due_at=None))
        await session.execute(update(MeterEvent).values(next_attempt_at=None))


async def test_open_work_is_counted(sessions: Sessions) -> None:
    await close_all(sessions)
    before = await counts(sessions)
    await add_subscription(sessions, await add_user(sessions))
    assert (await counts(sessions)).command_count == before.command_count + 1
    await add_retry(sessions, retry_status="charging")
    due = await add_retry(sessions, retry_status="waiting", next_attempt_at=func.now())
    await add_retry(sessions, retry_status="waiting_payment_method")
    assert (await counts(sessions)).charge_count == before.charge_count + 2
    async with sessions() as session:
        touched = await recently_active_workflow_ids(session, TOUCH_WINDOW)
    assert {due.workflow_id, subscription_workflow_id(due.subscription_id)} <= set(touched)
    async with sessions.begin() as session:  # leave nothing open behind
        await session.execute(update(PaymentRetry).values(retry_status="recovered"))
        theirs = Subscription.stripe_subscription_id.is_(None)
        await session.execute(update(Subscription).where(theirs).values(parked_data=PARKED))
    expected = OpenWork(before.inbox_count, 0, 0, before.run_count, 0, before.delivery_count)
    assert await counts(sessions) == expected


async def test_a_workflow_with_a_decision_pending_is_busy(temporal: Client) -> None:
    workflow_id = f"busy-{uuid4()}"
    await start(temporal, workflow_id)
    assert await _is_busy(temporal, workflow_id)  # nobody has taken its first task

    async def is_idle() -> bool:
        return not await _is_busy(temporal, workflow_id)

    async with Worker(temporal, task_queue=QUEUE, workflows=[Waiting]):
        await eventually(is_idle)
    await temporal.get_workflow_handle(workflow_id).signal("hint", ["evt_1"])
    assert await _is_busy(temporal, workflow_id)
    await temporal.get_workflow_handle(workflow_id).terminate()
    assert not await _is_busy(temporal, workflow_id)
    assert not await _is_busy(temporal, f"unknown-{uuid4()}")


async def test_quiet_comes_when_the_mailbox_has_looked(
    http: httpx.AsyncClient,
    settings: Settings,
    sessions: Sessions,
    temporal: Client,
) -> None:
    user_id = await add_user(sessions)
    admin = bearer(settings, await add_user(sessions, "admin"))
    assert (await http.get("/api/v1/admin/quiet")).status_code == 401
    refused = await http.get("/api/v1/admin/quiet", headers=bearer(settings, user_id))
    assert refused.status_code == 403

    await close_all(sessions)
    theirs = f"sub_{uuid4().hex}"
    mailbox_id = subscription_workflow_id(await add_subscription(sessions, user_id, theirs))
    await send_event(http, settings, stripe_event(stripe_subscription_id=theirs))

    async def hint_count() -> int:
        quiet = (await http.get("/api/v1/admin/quiet", headers=admin)).json()
        assert quiet["is_quiet"] is not any(
            quiet[name] for name in quiet if name.endswith("_count")
        )
        return int(quiet["hint_count"])

    assert await eventually(hint_count) == 1  # delivered, and no worker there to take it
    await temporal.get_workflow_handle(mailbox_id).terminate()
    assert await hint_count() == 0


async def test_quiet_is_said_only_when_everybody_was_asked(
    sessions: Sessions,
    temporal: Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(admin_routes, "DESCRIBE_BATCH_SIZE", 2)
    await close_all(sessions)
    user_id = await add_user(sessions)
    touched = [await add_subscription(sessions, user_id, f"sub_{uuid4().hex}") for _ in range(9)]
    assert await admin_routes._busy_count(sessions, temporal) == 0
    for subscription_id in touched[::4]:
        await start(temporal, subscription_workflow_id(subscription_id))
    for subscription_id in touched[::4]:
        assert await admin_routes._busy_count(sessions, temporal) > 0
        handle = temporal.get_workflow_handle(subscription_workflow_id(subscription_id))
        await handle.terminate()
    assert await admin_routes._busy_count(sessions, temporal) == 0
