"""Triggers write an outgoing webhook in the transaction of the fact, whoever wrote the fact."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import delete, select, text, update
from sqlalchemy.exc import IntegrityError

from commands.migrate import migrate_database
from database.agents.models import AgentRun
from database.payment_retries.models import PaymentRetry
from database.payments.models import Payment
from database.plans.models import Plan
from database.session import Sessions, make_engine, make_sessions
from database.subscriptions.models import Invoice, Subscription, SubscriptionEvent
from database.usage.usage_alerts import record_usage_alert
from database.webhooks.models import WebhookDelivery, WebhookEndpoint, WebhookSequence
from domain.plans import LimitWindow, Metric
from domain.subscriptions.lifecycle import SubscriptionStatus
from domain.subscriptions.snapshots import (
    DiscountSnapshot,
    ScheduledChangeSnapshot,
    SubscriptionSnapshot,
)
from domain.subscriptions.steps import SyncInput
from domain.usage.alerts import NewUsageAlert
from domain.webhooks.outgoing import EVENT_TYPES, make_secret
from services.subscriptions.view import write_view
from tests.api.support import add_plan, add_subscription, add_user
from tests.conftest import own_database
from tests.support.streams import add_run


# Reason: the workers that other tests of this process started announce what is in their database.
@pytest.fixture(scope="module")
async def sessions() -> AsyncIterator[Sessions]:
    with own_database() as server:
        migrate_database(server.get_uri())
        engine = make_engine(server.get_uri(), pool_size=5)
        yield make_sessions(engine)
        await engine.dispose()


@pytest.fixture(autouse=True)
async def clean(sessions: Sessions) -> None:
    async with sessions.begin() as session:
        for table in (WebhookDelivery, WebhookEndpoint, WebhookSequence):
            await session.execute(delete(table))


async def endpoint(sessions: Sessions, *event_types: str, is_active: bool = True) -> UUID:
    webhook_endpoint_id = uuid4()
    user_id = await add_user(sessions, "admin")
    async with sessions.begin() as session:
        session.add(
            WebhookEndpoint(
                webhook_endpoint_id=webhook_endpoint_id,
                user_id=user_id,
                url="https://app.example/hooks",
                event_type_list=list(event_types or ("*",)),
                secret=make_secret(),
                is_active=is_active,
            ),
        )
    return webhook_endpoint_id


async def told(sessions: Sessions, resource_id: UUID | None = None) -> list[WebhookDelivery]:
    statement = select(WebhookDelivery).order_by(WebhookDelivery.created_at, WebhookDelivery.seq)
    if resource_id is not None:
        statement = statement.where(WebhookDelivery.resource_id == resource_id)
    async with sessions() as session:
        return list(await session.scalars(statement))


def types(deliveries: list[WebhookDelivery]) -> list[tuple[int, str]]:
    return [(each.seq, each.event_type) for each in deliveries]


async def set_subscription(sessions: Sessions, subscription_id: UUID, **values: Any) -> None:
    async with sessions.begin() as session:
        await session.execute(
            update(Subscription)
            .where(Subscription.subscription_id == subscription_id)
            .values(**values),
        )


async def test_a_subscription_is_told_from_its_first_row(sessions: Sessions) -> None:
    await endpoint(sessions)
    user_id = await add_user(sessions)
    subscription_id = await add_subscription(sessions, user_id)
    await set_subscription(sessions, subscription_id, subscription_status="past_due")
    await set_subscription(sessions, subscription_id, quantity=3)
    await set_subscription(sessions, subscription_id, quantity=3, last_event_seq=9)
    found = await told(sessions, subscription_id)
    assert types(found) == [
        (1, "subscription.created"),
        (2, "subscription.active"),
        (3, "subscription.past_due"),
        (4, "subscription.updated"),
    ]
    assert found[0].event_data["subscription_id"] == str(subscription_id)
    assert found[0].event_data["user_id"] == str(user_id)
    assert "previous" not in found[0].event_data
    assert found[2].event_data["subscription_status"] == "past_due"
    assert found[2].event_data["previous"] == {"subscription_status": "active"}
    assert found[3].event_data["previous"] == {"quantity": 1}


async def test_a_sync_is_one_event_that_tells_all(sessions: Sessions) -> None:
    """Plan, price, discount and the change that waits are told together, by the API's names."""
    await endpoint(sessions)
    subscription_id = await add_subscription(sessions, await add_user(sessions), "sub_told")
    plan_id = await add_plan(sessions)
    price = f"price_{plan_id.hex}"
    async with sessions.begin() as session:
        (await session.get_one(Plan, plan_id)).stripe_price_id = price
    at = datetime(2026, 12, 1, tzinfo=UTC)
    snapshot = SubscriptionSnapshot(
        stripe_subscription_id="sub_told",
        stripe_customer_id="cus_told",
        subscription_status=SubscriptionStatus.PAST_DUE,
        quantity=2,
        stripe_price_id=price,
        discounts=(DiscountSnapshot(stripe_discount_id="di_1", coupon="summer"),),
        scheduled_change=ScheduledChangeSnapshot(stripe_price_id=price, quantity=5, at=at),
    )
    before = len(await told(sessions, subscription_id))
    await write_view(sessions, SyncInput(subscription_id=subscription_id, at=at), snapshot)
    (event,) = (await told(sessions, subscription_id))[before:]
    assert event.event_type == "subscription.past_due"
    facts = event.event_data
    assert (facts["plan_id"], facts["quantity"]) == (str(plan_id), 2)
    assert facts["grace_ends_at"] is not None
    assert facts["discount"]["coupon"] == "summer"
    assert facts["scheduled_change"]["quantity"] == 5
    assert facts["previous"].keys() >= {"plan_id", "discount", "scheduled_change"}


async def test_the_end_of_a_trial_is_announced(sessions: Sessions) -> None:
    await endpoint(sessions, "subscription.trial_will_end")
    user_id = await add_user(sessions)
    subscription_id = await add_subscription(sessions, user_id)
    async with sessions.begin() as session:
        for number, kind in enumerate(("synced", "trial_will_end"), start=1):
            session.add(
                SubscriptionEvent(
                    subscription_id=subscription_id,
                    seq=number,
                    kind=kind,
                    summary="The trial ends.",
                    event_data={"trial_end": "2026-12-02T09:00:00+00:00"},
                    source_key=kind,
                ),
            )
    (only,) = await told(sessions, subscription_id)
    assert (only.event_type, only.seq) == ("subscription.trial_will_end", 3)
    assert only.event_data == {
        "trial_end": "2026-12-02T09:00:00+00:00",
        "subscription_id": str(subscription_id),
        "user_id": str(user_id),
    }


async def test_what_is_rolled_back_is_not_told(sessions: Sessions) -> None:
    await endpoint(sessions)
    subscription_id = await add_subscription(sessions, await add_user(sessions))
    before = len(await told(sessions, subscription_id))
    with pytest.raises(IntegrityError):
        # Reason: the status is written, and then refused together with the plan.
        await set_subscription(
            sessions, subscription_id, subscription_status="canceled", plan_id=uuid4()
        )
    assert len(await told(sessions, subscription_id)) == before
    await set_subscription(sessions, subscription_id, subscription_status="canceled")
    assert types(await told(sessions, subscription_id))[-1] == (before + 1, "subscription.canceled")


async def add_money(sessions: Sessions, user_id: UUID, subscription_id: UUID) -> dict[str, UUID]:
    """Store an invoice, a payment and a payment retry, and return their ids by family."""
    ids = {name: uuid4() for name in ("invoice", "payment", "payment_retry")}
    money: dict[str, Any] = {"amount_due_cents": 5, "amount_paid_cents": 0, "currency_code": "usd"}
    async with sessions.begin() as session:
        now = (await session.execute(text("SELECT now()"))).scalar_one()
        session.add(
            Invoice(
                invoice_id=ids["invoice"],
                subscription_id=subscription_id,
                user_id=user_id,
                stripe_invoice_id=f"in_{uuid4().hex}",
                invoice_status="open",
                period_start=now,
                period_end=now,
                invoiced_at=now,
                **money,
            ),
        )
        session.add(
            Payment(
                payment_id=ids["payment"],
                user_id=user_id,
                amount_cents=5,
                currency_code="usd",
                payment_status="pending",
            ),
        )
        session.add(
            PaymentRetry(
                payment_retry_id=ids["payment_retry"],
                subscription_id=subscription_id,
                user_id=user_id,
                stripe_invoice_id=f"in_{uuid4().hex}",
                retry_status="waiting",
                policy_name="default",
                policy_version=1,
                workflow_id="payment-retry-x",
            ),
        )
    return ids


async def test_each_table_is_told(sessions: Sessions) -> None:
    await endpoint(sessions)
    user_id = await add_user(sessions)
    subscription_id = await add_subscription(sessions, user_id)
    ids = await add_money(sessions, user_id, subscription_id)
    ids["agent_run"] = await add_run(sessions)
    changes = {
        "invoice": update(Invoice).values(invoice_status="paid"),
        "payment": update(Payment).values(payment_status="succeeded"),
        "payment_retry": update(PaymentRetry).values(retry_status="recovered"),
        "agent_run": update(AgentRun).values(run_status="completed", output="a secret"),
    }
    async with sessions.begin() as session:
        for change in changes.values():
            await session.execute(change)
    found = {name: types(await told(sessions, key)) for name, key in ids.items()}
    assert [each for _, each in found["invoice"]] == [
        "invoice.created",
        "invoice.open",
        "invoice.paid",
    ]
    assert [each for _, each in found["payment"]] == ["payment.created", "payment.succeeded"]
    retries = [each for _, each in found["payment_retry"]]
    assert retries == ["payment_retry.created", "payment_retry.recovered"]
    assert found["agent_run"][-1][1] == "agent_run.completed"
    everything = await told(sessions)
    assert {each.event_type for each in everything} <= set(EVENT_TYPES)
    assert not any("a secret" in str(each.event_data) for each in everything)


async def test_a_used_share_of_a_limit_is_told_once(sessions: Sessions) -> None:
    await endpoint(sessions, "usage.*")
    user_id = await add_user(sessions)
    alert = NewUsageAlert(
        metric=Metric.TOKEN_COUNT,
        threshold_percent=80,
        limit_count=100,
        used_count=Decimal(85),
        per=LimitWindow.PERIOD,
        window_start=datetime(2026, 11, 1, tzinfo=UTC),
    )
    for _ in range(2):
        async with sessions.begin() as session:
            await record_usage_alert(session, user_id, alert)
    (only,) = await told(sessions, user_id)
    assert (only.event_type, only.seq) == ("usage.alert", 1)
    facts = {"metric": "token_count", "threshold_percent": 80, "limit_count": 100, "used_count": 85}
    assert facts.items() <= only.event_data.items()
    assert only.event_data["user_id"] == str(user_id)


async def test_numbers_of_a_resource_have_no_gap_when_writers_race(sessions: Sessions) -> None:
    await endpoint(sessions)
    subscription_id = await add_subscription(sessions, await add_user(sessions))
    changes = [
        set_subscription(sessions, subscription_id, quantity=number) for number in range(2, 12)
    ]
    await asyncio.gather(*changes)
    found = await told(sessions, subscription_id)
    assert [each.seq for each in found] == list(range(1, 13))


async def test_without_an_active_endpoint_nothing_is_written(sessions: Sessions) -> None:
    await endpoint(sessions, is_active=False)
    subscription_id = await add_subscription(sessions, await add_user(sessions))
    assert await told(sessions) == []
    await endpoint(sessions)
    await set_subscription(sessions, subscription_id, quantity=2)
    assert types(await told(sessions)) == [(1, "subscription.updated")]


async def test_endpoints_get_what_they_asked_for(sessions: Sessions) -> None:
    all_ids = {
        await endpoint(sessions, "subscription.past_due", "invoice.paid"): [
            "subscription.past_due"
        ],
        await endpoint(sessions, "subscription.*"): [
            "subscription.created",
            "subscription.active",
            "subscription.past_due",
        ],
        await endpoint(sessions, "payment.*"): [],
    }
    subscription_id = await add_subscription(sessions, await add_user(sessions))
    await set_subscription(sessions, subscription_id, subscription_status="past_due")
    found = await told(sessions)
    for webhook_endpoint_id, expected in all_ids.items():
        own = [each for each in found if each.webhook_endpoint_id == webhook_endpoint_id]
        assert [each.event_type for each in own] == expected
    last = [each for each in found if each.event_type == "subscription.past_due"]
    assert len({each.webhook_message_id for each in last}) == 1
    assert {each.seq for each in last} == {3}
