"""Events in the shapes of other API versions: read, counted, told."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import orjson
import pytest
from prometheus_client import REGISTRY
from sqlalchemy import select
from structlog.testing import capture_logs
from temporalio.client import Client

from adapters.stripe.setup import PINNED_VERSION
from api.app import build_app
from api.webhooks.event_bodies import event_key
from api.webhooks.foreign_versions import KNOWN_VERSION_COUNT, OTHERS, ForeignVersions
from config import Settings
from database.session import Sessions
from database.webhooks.models import WebhookEvent
from domain.webhooks.events import WebhookEventStatus
from tests.api.support import (
    add_subscription,
    add_user,
    eventually,
    idle_server,
    send_event,
    served,
)


def count_of(version: str) -> float:
    labels = {"api_version": version}
    return REGISTRY.get_sample_value("webhook_foreign_versions_total", labels) or 0


def told(versions: ForeignVersions, *bodies: bytes) -> list[str]:
    """Return which versions are logged."""
    with capture_logs() as lines:
        for body in bodies:
            versions.note(event_key(body).api_version)
    assert {line["event"] for line in lines} <= {"webhook_version_foreign"}
    return [line["api_version"] for line in lines]


def written_in(version: object) -> bytes:
    return orjson.dumps({"id": "evt_1", "type": "invoice.paid", "api_version": version})


def test_each_foreign_version_is_counted_always_and_logged_once() -> None:
    versions, old, older = ForeignVersions(), "2021-01-01", "2020-01-01"
    before = (count_of(old), count_of(older))
    bodies = [written_in(version) for version in (old, old, older, old)]
    assert told(versions, *bodies) == [old, older]
    assert (count_of(old), count_of(older)) == (before[0] + 3, before[1] + 1)


def test_what_has_our_version_or_none_is_not_foreign() -> None:
    versions: tuple[object, ...] = (PINNED_VERSION, None, 7, {})
    bodies = [written_in(version) for version in versions]
    assert told(ForeignVersions(), *bodies, b"no json", b"[]", b'"text"', b"\xff") == []


def test_the_versions_that_are_counted_one_by_one_are_few() -> None:
    versions = ForeignVersions()
    names = [f"{2000 + number}-01-01" for number in range(3 * KNOWN_VERSION_COUNT)]
    before = count_of(OTHERS)
    logged = told(versions, *map(written_in, names))
    assert logged == [*names[:KNOWN_VERSION_COUNT], OTHERS]
    assert count_of(OTHERS) == before + 2 * KNOWN_VERSION_COUNT
    assert told(versions, written_in(names[-1])) == []


@pytest.fixture(scope="module")
async def temporal() -> AsyncIterator[Client]:
    async with idle_server() as client:
        yield client


@pytest.fixture(scope="module")
async def http(
    settings: Settings, temporal: Client, sessions: Sessions
) -> AsyncIterator[httpx.AsyncClient]:
    async with served(build_app(settings, temporal, sessions)) as client:
        yield client


def before_basil(stripe_id: str, our_id: UUID) -> dict[str, Any]:
    return {
        "subscription": stripe_id,
        "subscription_details": {"metadata": {"subscription_id": str(our_id)}},
        "payment_intent": "pi_1",
    }


def before_details(stripe_id: str, our_id: UUID) -> dict[str, Any]:
    line = {"type": "subscription", "metadata": {"subscription_id": str(our_id)}}
    return {"subscription": stripe_id, "lines": {"object": "list", "data": [line]}}


@pytest.mark.parametrize(
    ("version", "shape", "is_known_at_stripe"),
    [
        ("2024-06-20", before_basil, True),
        ("2024-06-20", before_basil, False),
        ("2020-08-27", before_details, True),
        ("2020-08-27", before_details, False),
    ],
)
async def test_an_invoice_of_an_older_version_reaches_its_mailbox_and_is_counted(
    http: httpx.AsyncClient,
    settings: Settings,
    sessions: Sessions,
    version: str,
    shape: Any,
    is_known_at_stripe: bool,
) -> None:
    stripe_id = f"sub_{uuid4().hex}"
    known = stripe_id if is_known_at_stripe else None
    our_id = await add_subscription(sessions, await add_user(sessions), known)
    found = {"object": "invoice", "id": "in_1", **shape(stripe_id, our_id)}
    event = {
        "id": f"evt_{uuid4().hex}",
        "type": "invoice.paid",
        "api_version": version,
        "data": {"object": found},
    }
    before = count_of(version)
    reply = await send_event(http, settings, event)
    assert reply.status_code == 200, reply.text
    assert count_of(version) == before + 1

    async def owner() -> UUID | None:
        async with sessions() as session:
            found = await session.scalars(
                select(WebhookEvent.subscription_id).where(
                    WebhookEvent.stripe_event_id == event["id"],
                    WebhookEvent.webhook_event_status == WebhookEventStatus.DELIVERED,
                ),
            )
            return found.first()

    assert await eventually(owner) == our_id
