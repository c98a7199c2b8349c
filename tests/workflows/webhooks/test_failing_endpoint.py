"""An endpoint that fails for three days is switched off, with an email; all in skipped time."""

import sys
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import select, update
from temporalio.client import Client, WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from adapters.temporal.search_attributes import add
from bootstrap.workers import run_workers
from commands.doctor.findings import CheckDoubtfulError
from commands.doctor.webhook_endpoints import check_webhook_endpoints
from commands.migrate import migrate_database
from config import Settings
from database.accounts.models import User
from database.session import Sessions, make_engine, make_sessions
from database.webhooks.models import WebhookDelivery, WebhookEndpoint
from domain.ids import webhook_endpoint_workflow_id
from domain.webhooks.outgoing import BACKOFF, EndpointStart, make_secret
from domain.workflow_names import BILLING, WAKE, WEBHOOK_ENDPOINT_WORKFLOW
from tests.api.support import add_subscription, add_user, eventually
from tests.conftest import Outside, own_database
from tests.support.receiver import Receiver, receiving
from workflows.search_attributes import NAMES

SUBJECT = "A webhook endpoint was switched off"


# Reason: workers announce deliveries in their database, and others have other clocks.
@pytest.fixture(scope="module")
def own_settings(settings: Settings) -> Iterator[Settings]:
    with own_database() as server:
        migrate_database(server.get_uri())
        yield settings.model_copy(update={"database_url": server.get_uri()})


@pytest.fixture(scope="module")
async def sessions(own_settings: Settings) -> AsyncIterator[Sessions]:
    engine = make_engine(own_settings.database_url, pool_size=20)
    yield make_sessions(engine)
    await engine.dispose()


@pytest.fixture(scope="module")
async def temporal(own_settings: Settings, sessions: Sessions) -> AsyncIterator[Client]:
    """Run all workers on a server with skippable time."""
    environment = await WorkflowEnvironment.start_time_skipping(
        data_converter=pydantic_data_converter,
        test_server_existing_path=str(Path(sys.prefix) / "bin" / "temporal-test-server"),
    )
    async with environment:
        await add(environment.client, NAMES)
        async with run_workers(environment.client, own_settings, sessions):
            yield environment.client


async def add_endpoint(sessions: Sessions, receiver: Receiver) -> tuple[UUID, UUID]:
    """Store an endpoint of a new administrator, and return the ids of both."""
    webhook_endpoint_id, user_id = uuid4(), await add_user(sessions, "admin")
    async with sessions.begin() as session:
        await session.execute(update(WebhookEndpoint).values(is_active=False))
        session.add(
            WebhookEndpoint(
                webhook_endpoint_id=webhook_endpoint_id,
                user_id=user_id,
                url=receiver.url,
                event_type_list=["subscription.*"],
                secret=make_secret(),
            ),
        )
    return webhook_endpoint_id, user_id


async def run_to_the_end(temporal: Client, webhook_endpoint_id: UUID) -> WorkflowHandle[Any, Any]:
    """Take part in the endpoint's workflow, whoever started it, and skip time to its end."""
    handle: WorkflowHandle[Any, Any] = await temporal.start_workflow(
        WEBHOOK_ENDPOINT_WORKFLOW,
        EndpointStart(webhook_endpoint_id=webhook_endpoint_id),
        id=webhook_endpoint_workflow_id(webhook_endpoint_id),
        task_queue=BILLING,
        start_signal=WAKE,
    )
    await handle.result()
    return handle


async def rows(sessions: Sessions, webhook_endpoint_id: UUID) -> list[WebhookDelivery]:
    statement = (
        select(WebhookDelivery)
        .where(WebhookDelivery.webhook_endpoint_id == webhook_endpoint_id)
        .order_by(WebhookDelivery.resource_id, WebhookDelivery.seq)
    )
    async with sessions() as session:
        return list(await session.scalars(statement))


async def endpoint_of(sessions: Sessions, webhook_endpoint_id: UUID) -> WebhookEndpoint:
    async with sessions() as session:
        return await session.get_one(WebhookEndpoint, webhook_endpoint_id)


async def subjects_of_mails(outside: Outside, sessions: Sessions, user_id: UUID) -> list[str]:
    """Return the subjects of the mails to a user, once there are any."""
    async with sessions() as session:
        email = (await session.get_one(User, user_id)).email

    async def found() -> list[str]:
        async with httpx.AsyncClient(base_url=outside.mail) as http:
            mails = (await http.get("/_sandbox/mails")).json()["items"]
        return [str(mail["subject"]) for mail in mails if email in mail["to"]]

    subjects: list[str] = await eventually(found)
    return subjects


async def test_after_three_days_it_is_switched_off(
    temporal: Client, sessions: Sessions, own_settings: Settings, outside: Outside
) -> None:
    with receiving(lambda _: 500) as receiver:
        webhook_endpoint_id, user_id = await add_endpoint(sessions, receiver)
        await add_subscription(sessions, await add_user(sessions))
        handle = await run_to_the_end(temporal, webhook_endpoint_id)
    first, second = await rows(sessions, webhook_endpoint_id)
    assert (first.delivery_status, first.attempt_count) == ("dropped", len(BACKOFF) + 1)
    assert (second.delivery_status, second.attempt_count) == ("pending", 0)
    assert len(receiver.requests) == len(BACKOFF) + 1
    endpoint = await endpoint_of(sessions, webhook_endpoint_id)
    assert not endpoint.is_active
    assert endpoint.failing_since
    assert endpoint.switched_off_at
    lasted = endpoint.switched_off_at - endpoint.failing_since
    assert timedelta(days=3) <= lasted < timedelta(days=3, hours=8)
    assert await subjects_of_mails(outside, sessions, user_id) == [SUBJECT]
    with pytest.raises(CheckDoubtfulError, match="is switched off since"):
        await check_webhook_endpoints(own_settings)
    history = await handle.fetch_history()
    assert len(history.events) < 200


async def test_one_that_is_gone_is_switched_off_at_once(
    temporal: Client, sessions: Sessions, outside: Outside
) -> None:
    with receiving(lambda _: 410) as receiver:
        webhook_endpoint_id, user_id = await add_endpoint(sessions, receiver)
        await add_subscription(sessions, await add_user(sessions))
        await run_to_the_end(temporal, webhook_endpoint_id)
    assert len(receiver.requests) == 1
    assert not (await endpoint_of(sessions, webhook_endpoint_id)).is_active
    assert await subjects_of_mails(outside, sessions, user_id) == [SUBJECT]
