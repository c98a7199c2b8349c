"""Events in the inbox, and what became of them."""

import json
from typing import Any
from uuid import UUID

from sqlalchemy import select
from temporalio.client import Client, WorkflowHistory
from temporalio.service import RPCError

from database.session import Sessions
from database.webhooks.inbox import IncomingEvent, WebhookInboxRepository
from database.webhooks.models import WebhookEvent
from domain.ids import subscription_workflow_id
from domain.webhooks.events import WebhookEventStatus
from tests.api.support import eventually


async def row_of(sessions: Sessions, stripe_event_id: str) -> WebhookEvent | None:
    async with sessions() as session:
        statement = select(WebhookEvent).where(WebhookEvent.stripe_event_id == stripe_event_id)
        return await session.scalar(statement)


async def settled(sessions: Sessions, stripe_event_id: str, seconds: float = 100) -> WebhookEvent:
    async def probe() -> WebhookEvent | None:
        row = await row_of(sessions, stripe_event_id)
        is_open = row is None or row.webhook_event_status == WebhookEventStatus.RECEIVED
        return None if is_open else row

    found: WebhookEvent = await eventually(probe, seconds)
    return found


async def put(sessions: Sessions, *events: dict[str, Any]) -> None:
    """Put events into the inbox without waking anybody."""
    async with sessions.begin() as session:
        rows = [IncomingEvent(e["id"], e["type"], json.dumps(e).encode()) for e in events]
        await WebhookInboxRepository(session).add(rows)


async def hints(temporal: Client, subscription_id: UUID) -> list[list[str]]:
    """Return the event ids of each signal that a mailbox got; no worker takes them."""
    handle = temporal.get_workflow_handle(subscription_workflow_id(subscription_id))
    try:
        history: WorkflowHistory = await handle.fetch_history()
    except RPCError:
        return []
    sent = []
    for event in history.events:
        if event.HasField("workflow_execution_signaled_event_attributes"):
            attributes = event.workflow_execution_signaled_event_attributes
            assert attributes.signal_name == "hint"
            sent.append(json.loads(attributes.input.payloads[0].data))
    return sent
