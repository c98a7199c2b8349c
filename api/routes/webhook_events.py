"""Routes for the inbox: received events of Stripe, and how each one was processed."""

from datetime import datetime
from typing import Annotated, Any, Self, cast
from uuid import UUID

import orjson
from fastapi import Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict
from pydantic.config import JsonDict
from pydantic_core import to_json

from api.deps import AdminDep, PagingDep, SessionsDep
from api.http.routing import ApiRouter
from api.idempotency import Claim, IdempotentDep
from api.openapi.problems import ADMIN_REQUIRED, no_such, problems
from api.schemas.common import NO_CARD, Listing
from api.webhooks.dispatcher import Dispatcher
from database.webhooks.models import WebhookEvent
from database.webhooks.webhook_events import WebhookEventRepository, unpacked
from domain.errors import NotFoundError
from domain.webhooks.events import WebhookEventStatus

router = ApiRouter(prefix="/webhook-events", tags=["webhook-events"])

_EXAMPLE: JsonDict = {
    "webhook_event_id": "0d4ff2c4-0c43-4a4d-8f6e-8a0c8a5a3f0e",
    "stripe_event_id": "evt_1",
    "event_type": "invoice.paid",
    "webhook_event_status": "delivered",
    "subscription_id": "6a0ee0c4-6a43-4b7b-9c6d-1f0a3c1b7a55",
    "payment_id": None,
    "attempt_count": 1,
    "last_error": None,
    "received_at": "2026-11-23T09:00:00Z",
    "delivered_at": "2026-11-23T09:00:00.040Z",
    "next_attempt_at": "2026-11-23T09:00:10Z",
}


class WebhookEventOut(BaseModel):
    """A received event, and how it was processed."""

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"examples": [_EXAMPLE]})

    webhook_event_id: UUID
    stripe_event_id: str
    event_type: str
    webhook_event_status: WebhookEventStatus
    subscription_id: UUID | None
    payment_id: UUID | None
    attempt_count: int
    last_error: str | None
    received_at: datetime
    delivered_at: datetime | None
    next_attempt_at: datetime


class WebhookEventDetailOut(WebhookEventOut):
    """A received event with the body that Stripe sent; null if the body cannot be read."""

    event: dict[str, Any] | None = None

    @classmethod
    def of(cls, row: WebhookEvent) -> Self:
        """Render a row with its body."""
        return cls.model_validate(row).model_copy(update={"event": _shown(row.body)})


@router.get("", responses=problems(ADMIN_REQUIRED))
async def list_webhook_events(
    _: AdminDep,
    sessions: SessionsDep,
    paging: PagingDep,
    event_type: Annotated[Annotated[str, NO_CARD] | None, Query(max_length=255)] = None,
    webhook_event_status: WebhookEventStatus | None = None,
) -> Listing[WebhookEventOut]:
    """List received events, newest first."""
    async with sessions() as session:
        page = await WebhookEventRepository(session).list(
            event_type,
            webhook_event_status,
            paging.limit,
            paging.cursor,
        )
    return Listing.of(page, WebhookEventOut.model_validate)


@router.get("/{webhook_event_id}", responses=problems(ADMIN_REQUIRED, no_such("webhook event")))
async def get_webhook_event(
    webhook_event_id: UUID,
    _: AdminDep,
    sessions: SessionsDep,
) -> WebhookEventDetailOut:
    """Return an event with its body."""
    async with sessions() as session:
        row = await WebhookEventRepository(session).get(webhook_event_id)
    return WebhookEventDetailOut.of(_or_404(row))


@router.post(
    "/{webhook_event_id}/redeliver",
    response_model=WebhookEventOut,
    responses=problems(ADMIN_REQUIRED, no_such("webhook event")),
)
async def redeliver_webhook_event(
    webhook_event_id: UUID,
    caller: AdminDep,
    sessions: SessionsDep,
    request: Request,
    once: IdempotentDep,
) -> JSONResponse:
    """Deliver an event once more, whatever its status. Its workflow reads Stripe again."""

    async def work(_: Claim) -> WebhookEventOut:
        async with sessions.begin() as session:
            row = await WebhookEventRepository(session).redeliver(webhook_event_id)
        cast("Dispatcher", request.app.state.dispatcher).wake()
        return WebhookEventOut.model_validate(_or_404(row))

    return await once.run(caller.user_id, work)


def _shown(body: bytes) -> dict[str, Any] | None:
    try:
        event = orjson.loads(unpacked(body))
        # Reason: JSON that is nested too deeply can be parsed, but not serialized again.
        to_json(event)
    except (ValueError, RuntimeError):
        return None
    return event if isinstance(event, dict) else None


def _or_404(row: WebhookEvent | None) -> WebhookEvent:
    if row is None:
        raise NotFoundError("there is no such webhook event")
    return row
