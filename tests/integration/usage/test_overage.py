"""Usage beyond limits is reported once: whatever is lost, whoever is killed, at every border."""

import asyncio
import random
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from database.plans.models import Plan
from database.subscriptions.models import Subscription
from database.usage.meter_events import count_unsent
from database.usage.models import MeterEvent, UsageAlert, UsageRecord
from domain.usage.metering import MeterEventStatus
from services.usage.entitlements import read_entitlements
from tests.conftest import PROJECT, Measure
from tests.integration.usage.conftest import BilledCustomer, Metering, bill, subscribe
from tests.workflows.test_lost_answers import WAYS

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
POST = "POST /v1/billing/meter_events"
TOKENS = "token_count"


def quantities(events: list[MeterEvent]) -> list[int]:
    return [event.quantity for event in events]


async def make_due(metering: Metering, customer: BilledCustomer) -> None:
    """Let postponed events of a customer be due."""
    async with metering.sessions.begin() as session:
        await session.execute(
            update(MeterEvent)
            .where(
                MeterEvent.user_id == customer.user_id,
                MeterEvent.next_attempt_at.is_not(None),
            )
            .values(next_attempt_at=datetime.now(UTC) - timedelta(seconds=1))
        )


async def test_what_exceeds_the_limit_is_reported(metering: Metering) -> None:
    customer = await bill(metering, {TOKENS: 100}, TOKENS)
    await customer.use(90)
    await metering.work()
    assert await metering.events(customer) == []
    await customer.use(30)
    await metering.work()
    await customer.use(7)
    await metering.work()
    events = await metering.events(customer)
    assert quantities(events) == [20, 7]
    assert {event.meter_event_status for event in events} == {MeterEventStatus.SENT}
    assert await metering.counted(customer) == 27
    await metering.work()
    assert await metering.counted(customer) == 27


async def test_without_a_limit_all_is_reported_by_class(metering: Metering) -> None:
    metrics = ("cached_prompt_token_count", "reasoning_token_count", "agent_run_count")
    customer = await bill(metering, {}, *metrics)
    classes: dict[str, Any] = {"cached_prompt_token_count": 40, "reasoning_token_count": 9}
    await customer.use(100, completion_token_count=30, **classes)
    await customer.use(0, usage_kind="agent_run")
    await metering.work()
    counted = {metric: await metering.counted(customer, metric) for metric in metrics}
    assert counted == classes | {"agent_run_count": 1}


async def test_cents_are_reported_once_they_are_whole(metering: Metering) -> None:
    customer = await bill(metering, {"cost_cents": 2}, "cost_cents")
    for cents, whole in ((2.4, 0), (0.5, 0), (0.2, 1), (1.95, 3)):
        await customer.use(1, cost_cents=cents)
        await metering.work()
        assert sum(quantities(await metering.events(customer))) == whole
    assert await metering.counted(customer, "cost_cents") == 3


@pytest.mark.parametrize("way", WAYS)
async def test_a_lost_answer_is_counted_once(metering: Metering, way: str) -> None:
    customer = await bill(metering, {TOKENS: 0}, TOKENS)
    faults = {"api": [{"match": POST, "times": 1, **WAYS[way]}]}
    (await metering.http.post("/_sandbox/faults", json=faults)).raise_for_status()
    await customer.use(11)
    for _ in range(4):
        await metering.work()
        await make_due(metering, customer)
    (event,) = await metering.events(customer)
    assert event.meter_event_status == MeterEventStatus.SENT
    assert event.error_code is None
    assert await metering.counted(customer) == 11


async def test_an_outage_postpones(metering: Metering) -> None:
    customer = await bill(metering, {TOKENS: 0}, TOKENS)
    faults = {"api": [{"match": POST, "times": 2, "before": 503}]}
    (await metering.http.post("/_sandbox/faults", json=faults)).raise_for_status()
    await customer.use(5)
    await metering.work()
    (event,) = await metering.events(customer)
    assert (event.meter_event_status, event.error_code) == ("pending", "provider_unavailable")
    assert event.next_attempt_at is not None
    assert event.next_attempt_at > datetime.now(UTC)
    await make_due(metering, customer)
    await metering.work()
    await make_due(metering, customer)
    await metering.work()
    assert await metering.counted(customer) == 5


async def test_reviews_and_exports_in_parallel_add_nothing(metering: Metering) -> None:
    customer = await bill(metering, {TOKENS: 50}, TOKENS)
    for _ in range(3):
        for _ in range(5):
            await customer.use(10)
        await asyncio.gather(*[metering.work() for _ in range(6)])
    assert await metering.counted(customer) == 100
    assert sum(quantities(await metering.events(customer))) == 100


async def test_usage_is_gathered_in_one_report(metering: Metering) -> None:
    customer = await bill(metering, {TOKENS: 0}, TOKENS)
    for _ in range(4):
        await customer.use(3)
        await metering.reviews.review_due()
    (event,) = await metering.events(customer)
    assert (event.quantity, event.attempt_count) == (12, 0)
    await metering.work()
    assert await metering.counted(customer) == 12


@pytest.mark.parametrize(
    "kill_count", [3, pytest.param(40, marks=pytest.mark.soak)], ids=["sample", "soak"]
)
async def test_kills_lose_and_double_nothing(
    metering: Metering, kill_count: int, measure: Measure
) -> None:
    """The process that reviews and reports is killed at any moment; another one goes on."""
    customers = [await bill(metering, {TOKENS: 100}, TOKENS) for _ in range(3)]
    used = dict.fromkeys([each.user_id for each in customers], 0)
    chance = random.Random(4)  # noqa: S311 - not for secrets
    slow = {"api": [{"match": POST, "times": 1000, "delay_seconds": 0.05}]}
    (await metering.http.post("/_sandbox/faults", json=slow)).raise_for_status()
    for _ in range(kill_count):
        arguments = [metering.url, str(metering.http.base_url)]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.integration.usage.metering_process",
            *arguments,
            cwd=PROJECT,
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        await process.stdout.readline()  # it has begun
        for _ in range(chance.randint(4, 12)):
            customer = chance.choice(customers)
            tokens = chance.randint(1, 60)
            used[customer.user_id] += tokens
            await customer.use(tokens)
        await asyncio.sleep(chance.uniform(0, 0.4))
        process.kill()
        await process.wait()
    await metering.http.post("/_sandbox/faults", json={})
    for _ in range(5):
        await asyncio.sleep(0.2)  # what was sent last is still under way
        for customer in customers:
            await make_due(metering, customer)
        await metering.work()
    wanted = [max(0, used[each.user_id] - 100) for each in customers]
    assert [await metering.counted(each) for each in customers] == wanted
    statuses = {e.meter_event_status for each in customers for e in await metering.events(each)}
    assert statuses <= {MeterEventStatus.SENT}
    measure(f"metering killed {kill_count} times: {sum(wanted)} units, each reported once")


@pytest.mark.parametrize(("per", "length"), [("hour", HOUR), ("day", DAY)])
async def test_each_window_is_billed_for_itself(
    metering: Metering, per: str, length: timedelta
) -> None:
    customer = await bill(metering, {TOKENS: {"count": 10, "per": per}}, TOKENS)
    now = datetime.now(UTC)
    begins = now.replace(minute=0, second=0, microsecond=0)
    begins = begins if per == "hour" else begins.replace(hour=0)
    last, tick = begins - length, timedelta(microseconds=1)
    # Reason: the last moment of a window belongs to it, the first one to the next.
    for tokens, at in ((8, last), (9, begins - tick), (12, begins), (5, last - tick)):
        await customer.use(tokens, at)
    await metering.work()
    events = {event.window_start: event.quantity for event in await metering.events(customer)}
    assert events == {last: 7, begins: 2}
    assert await metering.counted(customer) == 9


async def test_each_period_is_billed_for_itself(metering: Metering) -> None:
    """A run that was admitted in the period before is billed by the limit of that period."""
    customer = await bill(metering, {TOKENS: 10}, TOKENS)
    before = customer.period_start - 30 * DAY
    await customer.use(8, period_start=before)
    await customer.use(14)
    await metering.work()
    await customer.use(9, period_start=before)
    await metering.work()
    events = {event.window_start: event.quantity for event in await metering.events(customer)}
    assert events == {customer.period_start: 4, before: 7}


async def test_another_window_of_the_limit_bills_nothing_twice(metering: Metering) -> None:
    customer = await bill(metering, {TOKENS: 10}, TOKENS)
    await customer.use(50)
    await metering.work()
    await set_plan(metering, customer, limits_data={TOKENS: {"count": 10, "per": "day"}})
    await customer.use(5)
    await metering.work()
    assert await metering.counted(customer) == 45


async def set_plan(metering: Metering, customer: BilledCustomer, **values: Any) -> None:
    async with metering.sessions.begin() as session:
        found = await session.get_one(Subscription, customer.subscription_id)
        await session.execute(
            update(Plan).where(Plan.plan_id == found.plan_id).values(**values),
        )


async def test_a_higher_limit_takes_nothing_back(metering: Metering) -> None:
    customer = await bill(metering, {TOKENS: 10}, TOKENS)
    await customer.use(15)
    await metering.work()
    await set_plan(metering, customer, limits_data={TOKENS: 100})
    await customer.use(90)
    await metering.work()
    assert await metering.counted(customer) == 5


async def test_limits_of_all_subscriptions_are_used_first(metering: Metering) -> None:
    customer = await bill(metering, {TOKENS: 10}, TOKENS)
    other = await subscribe(
        metering, customer.user_id, customer.stripe_customer_id, {TOKENS: 20}, days_left=25
    )
    await customer.use(25)
    await metering.work()
    assert await metering.events(customer) == []
    await customer.use(10)
    await other.use(32)  # booked on the one without overage: billed by the other one's meter
    await metering.work()
    assert sorted(quantities(await metering.events(customer))) == [2, 5]
    assert await metering.counted(customer) == 7


async def test_a_plan_without_a_limit_makes_it_free(metering: Metering) -> None:
    customer = await bill(metering, {TOKENS: 10}, TOKENS)
    await subscribe(metering, customer.user_id, customer.stripe_customer_id, {})
    await customer.use(500)
    await metering.work()
    assert await metering.events(customer) == []


async def test_a_subscription_without_the_metered_item_is_refused_instead(
    metering: Metering,
) -> None:
    customer = await bill(metering, {TOKENS: 10}, TOKENS)
    async with metering.sessions.begin() as session:
        (await session.get_one(Subscription, customer.subscription_id)).stripe_meter_ids = []
    await customer.use(30)
    await metering.work()
    assert await metering.events(customer) == []
    async with metering.sessions() as session:
        found = await read_entitlements(session, customer.user_id, datetime.now(UTC))
    assert found is not None
    assert found.current.entitlements.overage_metrics == frozenset()
    assert found.metrics[1].is_used_up


async def test_an_inactive_meter_is_shown_and_not_tried_again(metering: Metering) -> None:
    customer = await bill(metering, {TOKENS: 0}, TOKENS)
    headers = {"Authorization": "Bearer sk_test_x"}
    path = f"/v1/billing/meters/{customer.meter_ids[TOKENS]}/deactivate"
    (await metering.http.post(path, headers=headers)).raise_for_status()
    await customer.use(3)
    await metering.work()
    (event,) = await metering.events(customer)
    assert event.meter_event_status == MeterEventStatus.REJECTED
    assert (event.next_attempt_at, event.attempt_count) == (None, 1)
    assert "No active meter" in (event.error_message or "")
    async with metering.sessions() as session:
        assert (await count_unsent(session))["rejected"] >= 1


async def test_an_outcome_that_stays_unknown_is_not_sent_when_stripe_has_forgotten_it(
    metering: Metering,
) -> None:
    customer = await bill(metering, {TOKENS: 0}, TOKENS)
    faults = {"api": [{"match": POST, "times": 1, "drop": True}]}
    (await metering.http.post("/_sandbox/faults", json=faults)).raise_for_status()
    await customer.use(6)
    await metering.work()
    async with metering.sessions.begin() as session:
        await session.execute(
            update(MeterEvent)
            .where(MeterEvent.user_id == customer.user_id)
            .values(first_attempt_at=datetime.now(UTC) - timedelta(hours=23, minutes=1))
        )
    await make_due(metering, customer)
    await metering.work()
    (event,) = await metering.events(customer)
    assert event.meter_event_status == MeterEventStatus.OUTCOME_UNKNOWN
    assert await metering.counted(customer) == 6


async def test_one_user_s_bad_usage_holds_up_no_other(metering: Metering) -> None:
    bad, good = [await bill(metering, {TOKENS: 0}, TOKENS) for _ in range(2)]
    await set_plan(metering, bad, stripe_overage_data={TOKENS: {"stripe_meter_id": "unreadable"}})
    await bad.use(3)
    await good.use(4)
    await metering.work()
    assert await metering.counted(good) == 4
    async with metering.sessions() as session:
        due = await session.scalars(
            select(UsageRecord.user_id).where(UsageRecord.review_due_at.is_not(None))
        )
        assert set(due) == {bad.user_id}
    async with metering.sessions.begin() as session:
        await session.execute(update(UsageRecord).values(review_due_at=None))


async def test_alerts_are_recorded_once(metering: Metering) -> None:
    limits = {TOKENS: 100, "agent_run_count": {"count": 5, "per": "day"}}
    customer = await bill(metering, limits)

    async def alerts() -> list[tuple[str, int, str]]:
        async with metering.sessions() as session:
            rows = await session.scalars(
                select(UsageAlert)
                .where(UsageAlert.user_id == customer.user_id)
                .order_by(UsageAlert.metric, UsageAlert.threshold_percent)
            )
            return [(row.metric, row.threshold_percent, row.per) for row in rows]

    await customer.use(79)
    await metering.work()
    assert await alerts() == []
    await customer.use(1)
    await asyncio.gather(*[metering.work() for _ in range(4)])
    assert await alerts() == [(TOKENS, 80, "period")]
    await customer.use(40)
    await metering.work()
    both = [(TOKENS, 80, "period"), (TOKENS, 100, "period")]
    assert await alerts() == both
    for _ in range(5):
        await customer.use(0, usage_kind="agent_run")
    await metering.work()
    runs = [("agent_run_count", 80, "day"), ("agent_run_count", 100, "day")]
    assert await alerts() == runs + both
    await set_period(metering, customer)
    await customer.use(80, period_start=customer.period_start + DAY)
    await metering.work()
    assert await alerts() == [*runs, (TOKENS, 80, "period"), *both]


async def set_period(metering: Metering, customer: BilledCustomer) -> None:
    """Let the next period begin."""
    async with metering.sessions.begin() as session:
        found = await session.get_one(Subscription, customer.subscription_id)
        found.current_period_start = customer.period_start + DAY
