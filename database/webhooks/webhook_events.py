"""Repository of webhook events for reading and redelivery; the caller owns the transaction."""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

import lz4.frame
import orjson
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from database.paging import Page, newest_first
from database.webhooks.models import WebhookEvent
from domain.webhooks.events import WebhookEventStatus


def packed(body: bytes) -> bytes:
    """Compress the body of an event for its column."""
    return bytes(lz4.frame.compress(body))


def unpacked(body: bytes) -> bytes:
    """Decompress the body of an event from its column.

    Raises:
        RuntimeError: The bytes are not a compressed body.
    """
    return bytes(lz4.frame.decompress(body))


class WebhookEventRepository:
    """Reads and writes `webhook_events` within one session."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def redeliver(self, webhook_event_id: UUID) -> WebhookEvent | None:
        """Make an event due again in any status, and return it; None if there is no such event."""
        statement = (
            update(WebhookEvent)
            .where(WebhookEvent.webhook_event_id == webhook_event_id)
            .values(
                webhook_event_status=WebhookEventStatus.RECEIVED,
                attempt_count=0,
                awaited_stripe_id=None,
                last_error=None,
                delivered_at=None,
                next_attempt_at=func.now(),
            )
            .returning(WebhookEvent)
        )
        return await self._session.scalar(statement)

    async def types_of(self, stripe_event_ids: Collection[str]) -> dict[str, str]:
        """Return the types of events by Stripe's ids; unknown ids are left out."""
        statement = select(WebhookEvent.stripe_event_id, WebhookEvent.event_type).where(
            WebhookEvent.stripe_event_id.in_(stripe_event_ids),
        )
        return {
            row.stripe_event_id: row.event_type for row in await self._session.execute(statement)
        }

    async def bodies_of(self, stripe_event_ids: Collection[str]) -> Sequence[dict[str, Any]]:
        """Return the bodies of events with these ids of Stripe; unknown ids are left out."""
        statement = select(WebhookEvent.body).where(
            WebhookEvent.stripe_event_id.in_(stripe_event_ids),
        )
        return [orjson.loads(unpacked(body)) for body in await self._session.scalars(statement)]

    async def get(self, webhook_event_id: UUID) -> WebhookEvent | None:
        """Return an event, or None."""
        return await self._session.get(WebhookEvent, webhook_event_id)

    async def list(
        self,
        event_type: str | None,
        status: WebhookEventStatus | None,
        limit: int,
        cursor: str | None,
    ) -> Page[WebhookEvent]:
        """Return one page of events, newest first; filters that are None are ignored."""
        statement = select(WebhookEvent)
        if event_type is not None:
            statement = statement.where(WebhookEvent.event_type == event_type)
        if status is not None:
            statement = statement.where(WebhookEvent.webhook_event_status == status)
        sort_key = (WebhookEvent.received_at, WebhookEvent.webhook_event_id)
        return await newest_first(self._session, statement, sort_key, limit, cursor)
