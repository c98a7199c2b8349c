"""How fast the dispatcher is when each subscription has ten events, beside one signal an event."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from temporalio.client import Client

from api.webhooks.dispatcher import CALLS_AT_ONCE, Dispatcher
from api.webhooks.signals import send_hint
from database.session import Sessions
from domain.webhooks.event_types import Handler
from domain.webhooks.events import EventOwner
from tests.api.support import add_subscription, add_user, idle_server, stripe_event
from tests.api.webhooks.events import hints, put
from tests.conftest import Measure

SUBSCRIPTION_COUNT, EVENT_COUNT = 40, 10


@pytest.fixture
async def temporal() -> AsyncIterator[Client]:
    async with idle_server() as client:
        yield client


async def test_ten_events_a_subscription_cost_one_signal_each_subscription(
    sessions: Sessions, temporal: Client, measure: Measure
) -> None:
    user_id = await add_user(sessions)
    ids = [await add_subscription(sessions, user_id) for _ in range(2 * SUBSCRIPTION_COUNT)]
    mine, naive = ids[:SUBSCRIPTION_COUNT], ids[SUBSCRIPTION_COUNT:]
    dispatcher = Dispatcher(sessions, temporal)
    await put(sessions, stripe_event(subscription_id=await add_subscription(sessions, user_id)))
    await dispatcher.deliver_due()  # the first call connects and prepares statements
    for _ in range(EVENT_COUNT):
        await put(sessions, *(stripe_event(subscription_id=each) for each in mine))

    began = time.monotonic()
    while await dispatcher.deliver_due():
        pass
    ours = time.monotonic() - began

    calls = asyncio.Semaphore(CALLS_AT_ONCE)

    async def signal(owner: EventOwner, number: int) -> None:
        async with calls:
            await send_hint(temporal, owner, [f"evt_{number}"])

    owners = [
        EventOwner(handler=Handler.HINT, our_id=each, user_id=user_id, stripe_id=None)
        for each in naive
    ]
    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for number in range(EVENT_COUNT):
            for owner in owners:
                group.create_task(signal(owner, number))
    one_each = time.monotonic() - began

    count = SUBSCRIPTION_COUNT * EVENT_COUNT
    measure(
        f"dispatcher, {EVENT_COUNT} events a subscription: {count / ours:,.0f} events/s, "
        f"{one_each / ours:.1f} times as fast as one signal an event ({count / one_each:,.0f}/s)"
    )
    sent = [await hints(temporal, each) for each in mine]
    assert [len(signals) for signals in sent] == [1] * SUBSCRIPTION_COUNT
    assert {len(signals[0]) for signals in sent} == {EVENT_COUNT}
