"""Events that no careful sender would write, among good ones: each fails alone, and is kept."""

import json
import random
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import select
from temporalio.client import Client

from api.app import build_app
from api.webhooks.dispatcher import AWAITS_OWNER
from api.webhooks.event_bodies import event_key
from config import Settings
from database.session import Sessions
from database.webhooks.models import WebhookEvent
from tests.api.support import (
    add_subscription,
    add_user,
    bearer,
    eventually,
    idle_server,
    served,
    signed,
    stripe_event,
)
from tests.api.webhooks.events import hints, row_of, settled

URL = "/api/v1/webhooks/stripe"

# What may stand where something else should: JSON, to be put in as it is.
ODD_VALUES = {
    "nothing": "null",
    "a number": "7",
    "a huge number": "9" * 5_000,
    "infinity": "1e999",
    "no number": "NaN",
    "yes": "true",
    "a list": "[[]]",
    "an empty object": "{}",
    "an object in itself": '{"id": {"id": {}}}',
    "an empty text": '""',
    "NUL": '"sub_\\u0000x"',
    "a lone surrogate": '"sub_\\ud800"',
    "a line break": '"sub_\\n"',
    "a long text": json.dumps("s" * 10_000),
    "depth": "[" * 900 + "]" * 900,
    "more depth": "[" * 20_000 + "]" * 20_000,
}
# Where it may stand in an event.
PLACES: dict[str, str] = {
    "id": '{"id": ODD, "type": "TYPE", "data": {"object": {"object": "subscription"}}}',
    "type": '{"id": "ID", "type": ODD, "data": {"object": {"object": "subscription"}}}',
    "data": '{"id": "ID", "type": "TYPE", "data": ODD}',
    "object": '{"id": "ID", "type": "TYPE", "data": {"object": ODD}}',
    "kind": '{"id": "ID", "type": "TYPE", "data": {"object": {"object": ODD, "id": "sub_1"}}}',
    "the object's id": (
        '{"id": "ID", "type": "TYPE", "data": {"object": {"object": "subscription", "id": ODD}}}'
    ),
    "metadata": (
        '{"id": "ID", "type": "TYPE", "data": {"object": {"object": "subscription", "id": "sub_1",'
        ' "metadata": ODD}}}'
    ),
    "our id": (
        '{"id": "ID", "type": "TYPE", "data": {"object": {"object": "subscription", "id": "sub_1",'
        ' "metadata": {"subscription_id": ODD}}}}'
    ),
    "an invoice's parent": (
        '{"id": "ID", "type": "invoice.paid", "data": {"object": {"object": "invoice",'
        ' "parent": {"subscription_details": {"subscription": ODD}}}}}'
    ),
    "a refund's intent": (
        '{"id": "ID", "type": "refund.created", "data": {"object": {"object": "refund",'
        ' "payment_intent": ODD}}}'
    ),
}
NO_EVENTS = (b"", b"no json", b"[]", b"7", b"{}", b'{"id": "evt_1"}', b'{"type": "x"}', b"\x00")


def broken_bodies() -> list[bytes]:
    """Return one body for each odd value in each place, and some that are no events at all."""
    bodies = []
    for event in PLACES.values():
        for odd in ODD_VALUES.values():
            named = event.replace("ID", f"evt_{uuid4().hex}").replace(
                "TYPE", "customer.subscription.updated"
            )
            bodies.append(named.replace("ODD", odd).encode())
    return [*bodies, *NO_EVENTS]


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


@pytest.fixture
def send(http: httpx.AsyncClient, settings: Settings) -> Callable[[bytes], Any]:
    secret = settings.stripe.webhook_secret.get_secret_value()

    async def post(body: bytes) -> httpx.Response:
        return await http.post(URL, content=body, headers=signed(body, secret))

    return post


async def decided(sessions: Sessions, stripe_event_id: str) -> WebhookEvent:
    """Wait until an event is settled, or an operation looks for the owner of its subscription."""

    async def probe() -> WebhookEvent | None:
        row = await row_of(sessions, stripe_event_id)
        is_open = row is None or row.webhook_event_status == "received"
        return row if not is_open or (row and row.last_error == AWAITS_OWNER) else None

    found: WebhookEvent = await eventually(probe, 60)
    return found


async def test_every_broken_event_fails_alone_and_all_good_ones_are_delivered(
    http: httpx.AsyncClient,
    settings: Settings,
    sessions: Sessions,
    temporal: Client,
    send: Callable[[bytes], Any],
) -> None:
    subscription_id = await add_subscription(sessions, await add_user(sessions))
    good = [stripe_event(subscription_id=subscription_id) for _ in range(60)]
    broken = broken_bodies()
    bodies = [*broken, *(json.dumps(event).encode() for event in good)]
    random.Random(11).shuffle(bodies)  # noqa: S311 - a mixture, the same each time
    for body in bodies:
        reply = await send(body)
        assert (reply.status_code, reply.json()) == (200, {"received": True}), body[:200]

    for event in good:
        row = await settled(sessions, event["id"], 60)
        assert row.webhook_event_status == "delivered"
    sent = [each for ids in await hints(temporal, subscription_id) for each in ids]
    assert sorted(sent) == sorted(event["id"] for event in good)

    admin = bearer(settings, await add_user(sessions, "admin"))
    for body in broken:
        row = await decided(sessions, event_key(body).stripe_event_id)
        is_awaited = row.webhook_event_status == "received"
        assert is_awaited or row.webhook_event_status in {"failed", "ignored"}, body[:200]
        assert not is_awaited or b'"id": "sub_1"' in body, body[:200]
        assert bool(row.last_error) == (row.webhook_event_status in {"failed", "received"})
        shown = await http.get(f"/api/v1/webhook-events/{row.webhook_event_id}", headers=admin)
        assert shown.status_code == 200, body[:200]


async def test_an_event_without_a_name_is_kept_once(
    sessions: Sessions,
    send: Callable[[bytes], Any],
) -> None:
    body = json.dumps({"object": "event", "mark": uuid4().hex}).encode()
    for _ in range(3):
        assert (await send(body)).status_code == 200
    async with sessions() as session:
        kept = select(WebhookEvent).where(
            WebhookEvent.stripe_event_id == event_key(body).stripe_event_id
        )
        rows = (await session.scalars(kept)).all()
    assert [(row.webhook_event_status, row.event_type) for row in rows] == [("failed", "unknown")]
    assert "id" in (rows[0].last_error or "")


@pytest.mark.parametrize("odd", ["a lone surrogate", "a huge number", "NUL", "no number"])
async def test_what_nobody_looks_at_may_be_odd(
    sessions: Sessions,
    send: Callable[[bytes], Any],
    odd: str,
) -> None:
    subscription_id: UUID = await add_subscription(sessions, await add_user(sessions))
    event = stripe_event(subscription_id=subscription_id)
    event["data"]["object"]["description"] = "ODD"
    body = json.dumps(event).replace('"ODD"', ODD_VALUES[odd]).encode()
    assert (await send(body)).status_code == 200

    async def is_delivered() -> bool:
        row = await settled(sessions, event["id"])
        return row.webhook_event_status == "delivered"

    assert await eventually(is_delivered)
