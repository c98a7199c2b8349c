"""Workflows of webhook endpoints, recorded and replayed."""

from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from temporalio.client import Client, WorkflowHandle

from database.session import Sessions
from database.webhooks.models import WebhookEndpoint
from domain.ids import webhook_endpoint_workflow_id
from domain.webhooks.outgoing import EndpointStart, make_secret
from domain.workflow_names import BILLING, WAKE, WEBHOOK_ENDPOINT_WORKFLOW
from tests.api.support import add_subscription, add_user
from tests.support.histories import keep
from tests.support.receiver import Receiver, receiving


async def test_deliveries_to_an_endpoint_can_be_recorded_and_replayed(
    workers: Client, sessions: Sessions, histories: Path
) -> None:
    """The first attempt fails, and the second one succeeds after a timer."""
    statuses = [500]
    with receiving(lambda _: statuses.pop() if statuses else 200) as receiver:
        webhook_endpoint_id, subscription_id = await add_endpoint(sessions, receiver)
        handle = await deliver(workers, webhook_endpoint_id)
        # Reason: other workers of this process may have delivered too, and other subscriptions of
        # the same database may have changed meanwhile.
        types = dict.fromkeys(
            each["type"]
            for each in receiver.events()
            if each["data"]["subscription_id"] == str(subscription_id)
        )
        assert list(types) == ["subscription.created", "subscription.active"]
    await keep(handle, histories / "webhook-endpoint.json", "deliver_webhooks", WAKE)


async def add_endpoint(sessions: Sessions, receiver: Receiver) -> tuple[UUID, UUID]:
    """Store an endpoint, and a subscription with two deliveries to it; return both ids."""
    webhook_endpoint_id = uuid4()
    user_id = await add_user(sessions, "admin")
    async with sessions.begin() as session:
        endpoint = WebhookEndpoint(
            webhook_endpoint_id=webhook_endpoint_id,
            user_id=user_id,
            url=receiver.url,
            event_type_list=["subscription.*"],
            secret=make_secret(),
        )
        session.add(endpoint)
    subscription_id = await add_subscription(sessions, user_id)
    async with sessions.begin() as session:
        (await session.get_one(WebhookEndpoint, webhook_endpoint_id)).event_type_list = []
    return webhook_endpoint_id, subscription_id


async def deliver(workers: Client, webhook_endpoint_id: UUID) -> WorkflowHandle[Any, Any]:
    """Run the endpoint's workflow to its end, whoever started it."""
    handle: WorkflowHandle[Any, Any] = await workers.start_workflow(
        WEBHOOK_ENDPOINT_WORKFLOW,
        EndpointStart(webhook_endpoint_id=webhook_endpoint_id),
        id=webhook_endpoint_workflow_id(webhook_endpoint_id),
        task_queue=BILLING,
        start_signal=WAKE,
    )
    await handle.result()
    return handle
