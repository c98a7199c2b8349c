"""What a reconciliation finds, does, reports, and leaves alone."""

import asyncio
import io
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from rich.console import Console
from sqlalchemy import delete, update
from temporalio.client import WorkflowExecutionStatus, WorkflowHandle

from adapters.temporal.schedules import ensure_schedules
from bootstrap.schedules import SCHEDULES
from commands.doctor.findings import CheckDoubtfulError
from commands.doctor.reconciliation import check_reconciliation
from commands.reconcile import ReconcileError, reconcile
from database.payments.models import PaymentMethod
from database.reconciliation.findings import ComparedRows
from database.reconciliation.models import ReconciliationMark
from database.subscriptions.models import Subscription
from database.webhooks.models import WebhookEvent
from database.webhooks.webhook_events import packed
from domain.ids import (
    adopted_subscription_id,
    reconciliation_workflow_id,
    subscription_workflow_id,
)
from domain.reconciliation.messages import (
    ReconciliationIds,
    ReconciliationScope,
    ReconciliationStart,
    Repair,
    RepairAction,
    RepairKind,
)
from domain.workflow_names import BILLING
from services.reconciliation.missed_events import events_mark
from services.reconciliation.pace import CallPace
from services.reconciliation.repairs import record_repairs
from tests.api.conftest import API, Person, problem
from tests.conftest import Measure
from tests.reconciliation.lifecycles import Life, Story, begin
from tests.reconciliation.shop import Json, Shop, created

QUIET_LIFE = Story(("ok",), ())
WORKFLOW = "ReconciliationWorkflow"
RATE = 20


async def silent_life(shop: Shop, plan: Json) -> Life:
    """Begin a subscription, about which no webhook arrives from then on."""
    life = await begin(shop, plan, QUIET_LIFE)
    await shop.told([life.person])
    await shop.quiet()
    await shop.stripe.webhooks_of(life.person.email, off=True)
    return life


def found(report: Json, kind: str) -> list[Json]:
    return [repair for repair in report["repairs"] if repair["kind"] == kind]


def about(report: Json, resource_id: object) -> list[Json]:
    return [repair for repair in report["repairs"] if repair["resource_id"] == str(resource_id)]


async def start(shop: Shop, scope: ReconciliationScope, **fields: Any) -> WorkflowHandle[Any, Any]:
    return await shop.temporal.start_workflow(
        WORKFLOW,
        ReconciliationStart(scope=scope, **fields),
        id=f"reconciliation-test-{uuid4().hex}",
        task_queue=BILLING,
    )


async def test_missed_events_are_stored_and_views_brought_up_to_date(shop: Shop) -> None:
    plan = await shop.plan()
    renewed, ended = await silent_life(shop, plan), await silent_life(shop, plan)
    await shop.stripe.advance(29)
    await shop.stripe.send("DELETE", f"subscriptions/{ended.stripe_id}")
    await shop.stripe.advance(4)
    assert await renewed.differences()
    assert await ended.differences()
    calls_before = len(await shop.stripe.calls())
    report = await shop.reconcile()
    for life in (renewed, ended):
        assert await life.differences() == {}
        kinds = {event["kind"] for event in await events_of(life)}
        assert kinds & {"invoice.paid", "customer.subscription.deleted"}
    missed = found(report, "event_missed")
    assert {each["action"] for each in missed} == {"stored"}
    assert len(missed) == report["counts"]["event_missed"] > 5
    calls = (await shop.stripe.calls())[calls_before:]
    assert {call["method"] for call in calls} == {"GET"}


async def test_views_are_compared_when_stripe_has_forgotten_the_events(shop: Shop) -> None:
    plan = await shop.plan(interval="year")
    changed, ended = await silent_life(shop, plan), await silent_life(shop, plan)
    await shop.stripe.send(
        "POST", f"subscriptions/{changed.stripe_id}", cancel_at_period_end="true"
    )
    await shop.stripe.send("DELETE", f"subscriptions/{ended.stripe_id}")
    await shop.stripe.advance(32)
    report = await shop.reconcile()
    for life in (changed, ended):
        assert await life.differences() == {}
        kinds = Counter(event["kind"] for event in await events_of(life))
        assert kinds["reconciled"] == 1
        assert kinds["customer.subscription.updated"] + kinds["customer.subscription.deleted"] == 0
    (behind,) = about(report, changed.subscription["subscription_id"])
    assert (behind["kind"], behind["action"]) == ("subscription_behind", "hinted")
    assert behind["before"] == {"cancel_at": None}
    assert behind["after"]["cancel_at"] is not None
    (unlisted,) = about(report, ended.subscription["subscription_id"])
    assert unlisted["before"]["subscription_status"] == "active"
    assert unlisted["after"]["subscription_status"] == "canceled"


async def events_of(life: Life) -> list[Json]:
    key = life.subscription["subscription_id"]
    listed: Json = await life.person.get(f"subscriptions/{key}/events", limit=200)
    items: list[Json] = listed["items"]
    return items


async def test_a_second_reconciliation_finds_nothing(shop: Shop) -> None:
    await shop.reconcile()
    report = await shop.reconcile()
    kinds = {"event_missed", "subscription_behind", "event_stuck"}
    assert kinds & report["counts"].keys() == set()
    listed = await shop.admin.get("reconciliations", reconciliation_scope="full", limit=2)
    assert listed["items"][0]["reconciliation_id"] == report["reconciliation_id"]
    assert listed["items"][0].keys() == report.keys() - {"repairs"}


async def test_the_schedules_start_it(shop: Shop) -> None:
    life = await silent_life(shop, await shop.plan())
    await shop.stripe.send("POST", f"subscriptions/{life.stripe_id}", cancel_at_period_end="true")
    try:
        await ensure_schedules(shop.temporal, SCHEDULES)
        await shop.temporal.get_schedule_handle("reconciliation-events").trigger()

        async def is_right() -> bool:
            return not await life.differences()

        await shop.wait("the event", is_right)
        listed = await shop.admin.get("reconciliations", reconciliation_scope="events")
        report = await shop.admin.get(f"reconciliations/{listed['items'][0]['reconciliation_id']}")
        assert report["workflow_id"].startswith("reconciliation-events-")
        assert "customer.subscription.updated" in {
            each["after"]["event_type"] for each in found(report, "event_missed")
        }
        told = await check_reconciliation(shop.settings)
        assert told.startswith("events compared at ")
        assert told.endswith("at most 50 calls a second")
        events = shop.temporal.get_schedule_handle("reconciliation-events")
        await events.pause()
        with pytest.raises(CheckDoubtfulError, match="reconciliation-events is paused"):
            await check_reconciliation(shop.settings)
        await events.unpause()
        await set_back(shop, timedelta(minutes=11))
        with pytest.raises(CheckDoubtfulError, match="no events were compared with Stripe since"):
            await check_reconciliation(shop.settings)
    finally:
        await ensure_schedules(shop.temporal, ())
    with pytest.raises(CheckDoubtfulError, match="is missing: run"):
        await check_reconciliation(shop.settings)


async def set_back(shop: Shop, age: timedelta) -> None:
    """Let the last comparison of events be so long ago."""
    async with shop.sessions.begin() as session:
        statement = update(ReconciliationMark).where(
            ReconciliationMark.mark_name == events_mark(ReconciliationScope.EVENTS)
        )
        await session.execute(statement.values(updated_at=datetime.now(UTC) - age))


async def test_the_command_prints_what_was_found(shop: Shop) -> None:
    facts = {
        "api": str(shop.admin.http.base_url).rstrip("/"),
        "admin_api_key": shop.admin.http.headers["X-API-Key"],
    }
    life = await silent_life(shop, await shop.plan())
    await shop.stripe.send("POST", f"subscriptions/{life.stripe_id}", cancel_at_period_end="true")
    console = Console(file=io.StringIO(), width=400)
    assert await asyncio.to_thread(reconcile, facts, console) == 0
    assert isinstance(console.file, io.StringIO)
    printed = console.file.getvalue()
    assert "event_missed" in printed
    assert "completed: event_missed" in printed
    with pytest.raises(ReconcileError, match="401"):
        await asyncio.to_thread(reconcile, {**facts, "admin_api_key": "pk_wrong"}, console)


async def test_events_only_leave_no_row_if_nothing_was_missed(shop: Shop) -> None:
    await (await start(shop, ReconciliationScope.EVENTS)).result()
    quiet = await start(shop, ReconciliationScope.EVENTS)
    result = await quiet.result()
    assert result["repair_count"] == 0
    missing = await shop.admin.http.get(f"{API}/reconciliations/{result['reconciliation_id']}")
    problem(missing, 404, "not_found")
    assert (await quiet.describe()).history_length < 20


async def test_orphans_are_adopted_or_reported_on_both_sides(shop: Shop) -> None:
    ours = await silent_life(shop, await shop.plan(interval="year"))
    at_stripe = await ours.at_stripe()
    customer, price = at_stripe["customer"], at_stripe["items"]["data"][0]["price"]["id"]
    fields = {"customer": customer, "items[0][price]": price}
    made = await shop.stripe.send("POST", "subscriptions", **fields)
    # Somebody has copied our metadata.
    named = {"metadata[subscription_id]": ours.subscription["subscription_id"]}
    copied = await shop.stripe.send("POST", "subscriptions", **fields, **named)
    stranger = await shop.stripe.send("POST", "customers", email="stranger@example.com")
    trial = {"customer": stranger["id"], "items[0][price]": price, "trial_period_days": 300}
    foreign = await shop.stripe.send("POST", "subscriptions", **trial)
    lost_id = await add_lost_row(shop, ours)
    await shop.stripe.advance(32)  # until Stripe has forgotten the events
    report = await shop.reconcile()
    account = (await shop.stripe.read("account"))["id"]
    for theirs in (made, copied):
        adopted_id = adopted_subscription_id(account, theirs["id"])
        (adopted,) = about(report, adopted_id)
        assert (adopted["kind"], adopted["action"]) == ("subscription_unknown", "adopted")
        seen = await ours.person.get(f"subscriptions/{adopted_id}")
        assert (seen["subscription_status"], seen["access"]) == ("active", "full")
    (unknown,) = about(report, foreign["id"])
    assert (unknown["kind"], unknown["action"]) == ("subscription_unknown", "reported")
    assert unknown["after"]["stripe_customer_id"] == stranger["id"]
    (missing,) = about(report, lost_id)
    assert (missing["kind"], missing["action"]) == ("subscription_missing", "reported")
    assert about(report, ours.subscription["subscription_id"]) == []
    async with shop.sessions.begin() as session:
        await session.execute(delete(Subscription).where(Subscription.subscription_id == lost_id))


async def test_an_adopted_subscription_is_not_found_again_as_one_that_is_behind(shop: Shop) -> None:
    """Its row may be written between two stages."""
    life = await silent_life(shop, await shop.plan())
    row_id = await add_lost_row(shop, life)
    adopted = Repair(
        kind=RepairKind.SUBSCRIPTION_UNKNOWN,
        resource_id=str(row_id),
        action=RepairAction.ADOPTED,
    )
    ids = ReconciliationIds(
        reconciliation_id=uuid4(), scope=ReconciliationScope.FULL, workflow_id="reconciliation-x"
    )
    before = UUID(int=row_id.int - 1)
    async with shop.sessions() as session:
        rows = ComparedRows(session)
        for is_adopted in (False, True):
            if is_adopted:
                await record_repairs(session, ids, [adopted])
            (first, *_) = await rows.unlisted(ids.reconciliation_id, before, 1) or (None,)
            assert (first is not None and first.subscription_id == row_id) is not is_adopted
        await session.rollback()
    async with shop.sessions.begin() as session:
        await session.execute(delete(Subscription).where(Subscription.subscription_id == row_id))


async def add_lost_row(shop: Shop, life: Life) -> UUID:
    """Add a live subscription that Stripe does not know."""
    lost_id = uuid4()
    async with shop.sessions.begin() as session:
        session.add(
            Subscription(
                subscription_id=lost_id,
                user_id=life.person.user_id,
                plan_id=UUID(life.subscription["plan_id"]),
                quantity=1,
                subscription_status="active",
                stripe_subscription_id=f"sub_{lost_id.hex}",
                workflow_id=subscription_workflow_id(lost_id),
            ),
        )
    return lost_id


async def test_stuck_and_failed_events_are_delivered_and_flawed_ones_reported(shop: Shop) -> None:
    life = await begin(shop, await shop.plan(), QUIET_LIFE)
    body = b'{"type": "x", "data": {"object": {"object": "subscription", "id": "%s"}}}'
    now = datetime.now(UTC)
    rows: dict[str, Json] = {
        "stuck": {"received_at": now - timedelta(minutes=20), "next_attempt_at": now + DAY},
        "failed": {"webhook_event_status": "failed", "attempt_count": 12, "last_error": "x"},
        "flawed": {"webhook_event_status": "failed"},
        "old": {
            "webhook_event_status": "failed",
            "attempt_count": 12,
            "received_at": now - 5 * DAY,
        },
    }
    ids = {name: uuid4() for name in rows}
    async with shop.sessions.begin() as session:
        for name, fields in rows.items():
            session.add(
                WebhookEvent(
                    webhook_event_id=ids[name],
                    stripe_event_id=f"evt_{ids[name].hex}",
                    event_type="customer.subscription.updated",
                    body=packed(body % life.stripe_id.encode()),
                    **fields,
                )
            )
    report = await shop.reconcile()
    seen = {
        name: [(each["kind"], each["action"]) for each in about(report, ids[name])] for name in rows
    }
    assert seen == {
        "stuck": [("event_stuck", "redelivered")],
        "failed": [("event_failed", "redelivered")],
        "flawed": [("event_failed", "reported")],
        "old": [],
    }
    for name, status in {"stuck": "delivered", "failed": "delivered", "flawed": "failed"}.items():
        seen_event = await shop.admin.get(f"webhook-events/{ids[name]}")
        assert seen_event["webhook_event_status"] == status
    async with shop.sessions.begin() as session:
        failed = WebhookEvent.webhook_event_status == "failed"
        await session.execute(delete(WebhookEvent).where(failed))


DAY = timedelta(days=1)


async def test_parked_steps_and_expiring_cards_are_reported(shop: Shop) -> None:
    life = await silent_life(shop, await shop.plan())
    key = UUID(life.subscription["subscription_id"])
    now = datetime.now(UTC)
    parked = {"step": "sync", "code": "internal_error", "message": "m", "since": now.isoformat()}
    async with shop.sessions.begin() as session:
        row = await session.get_one(Subscription, key)
        row.parked_data = [{"parked": parked, "kind": "sync"}]
        cards = update(PaymentMethod).where(PaymentMethod.user_id == life.person.user_id)
        await session.execute(cards.values(exp_month=now.month, exp_year=now.year))
    report = await shop.reconcile()
    (step,) = found(report, "step_parked")
    assert (step["resource_id"], step["action"]) == (str(key), "reported")
    assert step["before"] == {"resource": "subscription", "parked": [parked]}
    soon = [each for each in found(report, "card_expiring") if is_of(each, life.person)]
    # Reason: in the first days of a long month its end is further away.
    is_soon = (now + timedelta(days=30)).month != now.month
    assert len(soon) == is_soon
    async with shop.sessions.begin() as session:
        row = await session.get_one(Subscription, key)
        row.parked_data = []


def is_of(repair: Json, person: Person) -> bool:
    return bool(repair["before"]["user_id"] == str(person.user_id))


async def test_a_terminated_mailbox_is_started_again(shop: Shop) -> None:
    life = await silent_life(shop, await shop.plan())
    mailbox = shop.temporal.get_workflow_handle(life.subscription["workflow_id"])
    await mailbox.terminate()
    await shop.stripe.send("POST", f"subscriptions/{life.stripe_id}", cancel_at_period_end="true")
    await shop.reconcile()
    assert await life.differences() == {}
    assert (await mailbox.describe()).status is WorkflowExecutionStatus.RUNNING


async def test_a_stopped_workflow_of_an_up_to_date_subscription_is_started_again(
    shop: Shop,
) -> None:
    """Otherwise its next timer, the end of a pause say, would never come."""
    life = await silent_life(shop, await shop.plan())
    mailbox = shop.temporal.get_workflow_handle(life.subscription["workflow_id"])
    await mailbox.terminate()
    report = await shop.reconcile()
    (found_one,) = about(report, life.subscription["subscription_id"])
    assert (found_one["kind"], found_one["action"]) == ("workflow_stopped", "hinted")
    assert found_one["before"] == {"workflow_id": mailbox.id}
    assert (await mailbox.describe()).status is WorkflowExecutionStatus.RUNNING
    assert about(await shop.reconcile(), life.subscription["subscription_id"]) == []


async def test_it_is_for_administrators_and_one_key_starts_one(shop: Shop) -> None:
    person = await shop.customer()
    problem(await person.post("reconciliations"), 403, "admin_required")
    problem(await person.http.get(f"{API}/reconciliations"), 403, "admin_required")
    unknown = await shop.admin.http.get(f"{API}/reconciliations/{uuid4()}")
    problem(unknown, 404, "not_found")
    first, again = [await shop.admin.post("reconciliations", key="once") for _ in range(2)]
    made = created(first, 202)
    assert again.json() == made
    assert first.headers["location"] == f"{API}/reconciliations/{made['reconciliation_id']}"
    assert made["workflow_id"] == reconciliation_workflow_id(made["reconciliation_id"])
    await shop.temporal.get_workflow_handle(made["workflow_id"]).result()


async def test_it_continues_as_new(shop: Shop) -> None:
    handle = await start(shop, ReconciliationScope.FULL, continue_as_new_after=15)
    result = await handle.result()
    assert result["status"] == "completed"
    first = shop.temporal.get_workflow_handle(handle.id, run_id=handle.first_execution_run_id)
    described = await first.describe()
    assert described.status is WorkflowExecutionStatus.CONTINUED_AS_NEW
    assert described.history_length < 30


async def test_all_processes_share_the_rate(shop: Shop, measure: Measure) -> None:
    """Sixteen callers of two workers want to call Stripe all the time."""
    paces = [CallPace(shop.sessions, RATE) for _ in range(2)]
    times: list[float] = []

    async def call(pace: CallPace) -> None:
        for _ in range(5):
            await pace.wait()
            times.append(time.monotonic())

    # Reason: any caller may wake up late, also the first one, but none may come early.
    times.append(time.monotonic())
    await asyncio.gather(*[call(paces[number % 2]) for number in range(16)])
    spent, count = max(times) - min(times), len(times) - 1
    measure(f"reconciliation: {(count - 1) / spent:.1f} calls/s, {RATE} allowed")
    assert (count - 1) / RATE - spent < 1 / RATE
