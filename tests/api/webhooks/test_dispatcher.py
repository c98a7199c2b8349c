"""From the inbox to the mailboxes, by dispatchers that are alone with it.

No app of this file is there for longer than its test: its dispatcher would deliver for everybody.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import func, select, text, update
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.contrib.pydantic import pydantic_data_converter

from api.app import build_app
from api.webhooks import dispatcher as dispatcher_module
from api.webhooks.dispatcher import AWAITS_OWNER, MAX_ATTEMPTS, Dispatcher
from api.webhooks.event_bodies import EventKey
from api.webhooks.inbox import Inbox
from config import Settings
from database.session import DATABASE_DOWN, Sessions
from database.webhooks.inbox import IncomingEvent, WebhookInboxRepository
from database.webhooks.models import WebhookEvent
from domain.ids import adoption_id, stripe_operation_workflow_id
from domain.webhooks.events import WebhookEventStatus
from tests.api.support import (
    add_subscription,
    add_user,
    eventually,
    idle_server,
    send_event,
    served,
    stripe_event,
)
from tests.api.webhooks.events import hints, put, row_of, settled
from tests.conftest import free_port


@pytest.fixture(scope="module")
async def temporal() -> AsyncIterator[Client]:
    async with idle_server() as client:
        yield client


async def make_due(sessions: Sessions, stripe_event_ids: Sequence[str]) -> None:
    async with sessions.begin() as session:
        await session.execute(
            update(WebhookEvent)
            .where(WebhookEvent.stripe_event_id.in_(stripe_event_ids))
            .values(next_attempt_at=func.now(), webhook_event_status="received"),
        )


async def test_one_signal_for_all_events_of_a_subscription(
    sessions: Sessions,
    temporal: Client,
) -> None:
    user_id = await add_user(sessions)
    theirs = f"sub_{uuid4().hex}"
    unnamed = await add_subscription(sessions, user_id)
    named = await add_subscription(sessions, user_id, theirs)
    mine = [stripe_event(subscription_id=unnamed, stripe_subscription_id="sub_n") for _ in "abc"]
    other = stripe_event(stripe_subscription_id=theirs)
    foreign = stripe_event(subscription_id=uuid4(), stripe_subscription_id="sub_of_somebody_else")
    unrelated = stripe_event("product.updated", subscription_id=unnamed)
    await put(sessions, *mine, other, foreign, unrelated)
    await Dispatcher(sessions, temporal).deliver_due()
    assert [sorted(sent) for sent in await hints(temporal, unnamed)] == [
        sorted(event["id"] for event in mine),
    ]
    assert await hints(temporal, named) == [[other["id"]]]
    row = await settled(sessions, unrelated["id"])
    assert row.webhook_event_status == WebhookEventStatus.IGNORED
    # Whose subscription it is, an operation asks Stripe; the event waits for it.
    waiting = await row_of(sessions, foreign["id"])
    assert waiting is not None
    assert (waiting.webhook_event_status, waiting.last_error) == ("received", AWAITS_OWNER)
    operation_id = stripe_operation_workflow_id(adoption_id("sub_of_somebody_else"))
    described = await temporal.get_workflow_handle(operation_id).describe()
    assert described.status is WorkflowExecutionStatus.RUNNING


async def test_an_unreadable_event_fails_alone(sessions: Sessions, temporal: Client) -> None:
    subscription_id = await add_subscription(sessions, await add_user(sessions))
    bad = [stripe_event(subscription_id=subscription_id) for _ in range(3)]
    good = stripe_event(subscription_id=subscription_id)
    await put(sessions, *bad, good)
    async with sessions.begin() as session:
        await WebhookInboxRepository(session).add([IncomingEvent("evt_list", "x", b"[1]")])
        for event in bad:
            await session.execute(
                update(WebhookEvent)
                .where(WebhookEvent.stripe_event_id == event["id"])
                .values(body=b"\x00 not what we wrote"),
            )
    await Dispatcher(sessions, temporal).deliver_due()
    for stripe_event_id in (bad[0]["id"], bad[2]["id"], "evt_list"):
        row = await settled(sessions, stripe_event_id)
        assert row.webhook_event_status == WebhookEventStatus.FAILED
        assert row.last_error
    assert await hints(temporal, subscription_id) == [[good["id"]]]


@asynccontextmanager
async def stumbling_block(sessions: Sessions, stripe_event_id: str) -> AsyncIterator[None]:
    """Make the database refuse that an event is said to be nobody's."""
    async with sessions.begin() as session:
        await session.execute(
            text(
                "create function stumble() returns trigger language plpgsql as $$ begin "
                f"if new.stripe_event_id = '{stripe_event_id}' and "
                "new.webhook_event_status = 'ignored' then raise exception 'stumbled'; end if; "
                "return new; end $$",
            ),
        )
        await session.execute(
            text(
                "create trigger stumble before update on webhook_events "
                "for each row execute function stumble()",
            ),
        )
    try:
        yield
    finally:
        async with sessions.begin() as session:
            await session.execute(text("drop function stumble cascade"))


async def test_an_event_that_nobody_foresaw_fails_alone_and_not_for_ever(
    sessions: Sessions,
    temporal: Client,
) -> None:
    subscription_id = await add_subscription(sessions, await add_user(sessions))
    before, after = (stripe_event(subscription_id=subscription_id) for _ in range(2))
    poison = stripe_event("customer.updated")
    await put(sessions, before, poison, after)
    dispatcher = Dispatcher(sessions, temporal)
    async with stumbling_block(sessions, poison["id"]):
        await dispatcher.deliver_due()
        for event in (before, after):
            row = await settled(sessions, event["id"])
            assert (row.webhook_event_status, row.attempt_count) == ("delivered", 1)
        for attempt_count in range(1, MAX_ATTEMPTS):
            waiting = await row_of(sessions, poison["id"])
            assert waiting is not None
            assert waiting.webhook_event_status == WebhookEventStatus.RECEIVED
            assert waiting.attempt_count == attempt_count
            assert "stumbled" in (waiting.last_error or "")
            await make_due(sessions, [poison["id"]])
            await dispatcher.deliver_due()
        row = await settled(sessions, poison["id"])
        assert (row.webhook_event_status, row.attempt_count) == ("failed", MAX_ATTEMPTS)


async def test_a_failure_of_another_kind_after_an_outage_is_not_the_end(
    sessions: Sessions,
    temporal: Client,
) -> None:
    event = stripe_event("customer.updated")
    await put(sessions, event)
    async with sessions.begin() as session:
        await session.execute(
            update(WebhookEvent)
            .where(WebhookEvent.stripe_event_id == event["id"])
            .values(attempt_count=MAX_ATTEMPTS + 7, last_error="TimeoutError: "),
        )
    async with stumbling_block(sessions, event["id"]):
        await Dispatcher(sessions, temporal).deliver_due()
        row = await row_of(sessions, event["id"])
        assert row is not None
        assert row.webhook_event_status == WebhookEventStatus.RECEIVED


async def test_a_row_that_cannot_be_written_fails_alone(sessions: Sessions) -> None:
    inbox = Inbox(sessions)
    ids = [f"evt_{uuid4().hex}" for _ in range(30)]
    puts = [inbox.put(EventKey(each, "x"), b"{}") for each in [*ids, "evt_\x00"]]
    waiting = asyncio.gather(*puts, return_exceptions=True)
    await asyncio.sleep(0)  # all of them wait when writing begins, so they share a batch
    await inbox.start()
    *good, bad = await waiting
    await inbox.stop()
    assert good == [None] * 30
    assert isinstance(bad, Exception)
    assert not isinstance(bad, DATABASE_DOWN)
    for stripe_event_id in ids:
        assert await row_of(sessions, stripe_event_id) is not None


async def test_events_that_follow_each_other_share_a_signal(
    sessions: Sessions,
    temporal: Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dispatcher_module, "GATHER_SECONDS", 3.0)
    subscription_id = await add_subscription(sessions, await add_user(sessions))
    first, *others = (stripe_event(subscription_id=subscription_id) for _ in range(4))
    dispatcher = Dispatcher(sessions, temporal)
    await dispatcher.start()
    for event in (first, *others):
        await put(sessions, event)
        dispatcher.wake()
        if event is first:
            await settled(sessions, event["id"])
    for event in others:
        await settled(sessions, event["id"])
    await dispatcher.stop()
    alone, *together = await hints(temporal, subscription_id)
    assert alone == [first["id"]]
    assert [sorted(ids) for ids in together] == [sorted(event["id"] for event in others)]


async def test_work_of_a_process_that_died_is_taken_over(
    sessions: Sessions,
    temporal: Client,
) -> None:
    subscription_id = await add_subscription(sessions, await add_user(sessions))
    event = stripe_event(subscription_id=subscription_id)
    await put(sessions, event)
    async with sessions.begin() as session:  # claimed, and never heard of again
        claimed = await WebhookInboxRepository(session).claim(200, timedelta(hours=1))
    assert event["id"] in {row.stripe_event_id for row in claimed}
    heir = Dispatcher(sessions, temporal)
    await heir.deliver_due()
    assert await hints(temporal, subscription_id) == []
    await make_due(sessions, [event["id"]])
    await heir.deliver_due()
    assert await hints(temporal, subscription_id) == [[event["id"]]]
    # Died between the signal and the mark: the same signal again, which a mailbox absorbs.
    await make_due(sessions, [event["id"]])
    await heir.deliver_due()
    assert await hints(temporal, subscription_id) == [[event["id"]]] * 2
    row = await settled(sessions, event["id"])
    assert (row.webhook_event_status, row.attempt_count) == (WebhookEventStatus.DELIVERED, 3)


async def test_two_dispatchers_share_the_work(sessions: Sessions, temporal: Client) -> None:
    user_id = await add_user(sessions)
    owners = [await add_subscription(sessions, user_id) for _ in range(8)]
    events = [stripe_event(subscription_id=owner) for owner in owners for _ in range(40)]
    await put(sessions, *events)
    both = [Dispatcher(sessions, temporal) for _ in range(2)]
    while sum(await asyncio.gather(*[each.deliver_due() for each in both])):
        pass
    sent = [each for owner in owners for ids in await hints(temporal, owner) for each in ids]
    assert sorted(sent) == sorted(event["id"] for event in events)


async def test_events_wait_for_temporal_and_are_delivered_when_it_is_back(
    settings: Settings,
    sessions: Sessions,
) -> None:
    port = free_port()
    away = await Client.connect(
        f"127.0.0.1:{port}",
        data_converter=pydantic_data_converter,
        lazy=True,
    )
    subscription_id = await add_subscription(sessions, await add_user(sessions))
    event = stripe_event(subscription_id=subscription_id)
    async with served(build_app(settings, away, sessions)) as http:
        assert (await send_event(http, settings, event)).status_code == 200

        async def is_put_off() -> bool:
            row = await row_of(sessions, event["id"])
            return row is not None and row.last_error is not None

        await eventually(is_put_off)
        row = await row_of(sessions, event["id"])
        assert row is not None
        assert row.webhook_event_status == WebhookEventStatus.RECEIVED
        async with idle_server(port) as back:
            row = await settled(sessions, event["id"])
            assert row.webhook_event_status == WebhookEventStatus.DELIVERED
            assert row.attempt_count > 1
            assert await hints(back, subscription_id) == [[event["id"]]]


async def test_attempts_are_put_off_longer_and_longer_up_to_a_minute(sessions: Sessions) -> None:
    event = stripe_event()
    mine = WebhookEvent.stripe_event_id == event["id"]
    waits = []
    # Reason: it is never committed, so that no dispatcher of another test takes it meanwhile.
    async with sessions.begin() as session:
        inbox = WebhookInboxRepository(session)
        await inbox.add([IncomingEvent(event["id"], event["type"], json.dumps(event).encode())])
        event_id = (await session.scalars(select(WebhookEvent.webhook_event_id).where(mine))).one()
        for attempt_count in (1, 2, 3, 6, 7, 40):
            changed = update(WebhookEvent).where(mine).values(attempt_count=attempt_count)
            await session.execute(changed)
            await inbox.postpone([event_id], "down")
            left = select(WebhookEvent.next_attempt_at - func.now()).where(mine)
            waits.append(await session.scalar(left))
        await session.rollback()
    assert waits == [timedelta(seconds=seconds) for seconds in (1, 2, 4, 32, 60, 60)]
