"""Repository of outgoing webhooks, for administrators; the caller owns the transaction."""

from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from database.paging import Page, newest_first
from database.webhooks.models import IS_PENDING, WebhookDelivery
from domain.webhooks.outgoing import TEST_EVENT_TYPE, DeliveryStatus


class WebhookDeliveryLog:
    """Lists deliveries, and makes them due again, within one session."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def list(
        self,
        webhook_endpoint_id: UUID,
        status: DeliveryStatus | None,
        event_type: str | None,
        limit: int,
        cursor: str | None,
    ) -> Page[WebhookDelivery]:
        """Return one page of an endpoint's deliveries, newest first; None filters nothing."""
        statement = select(WebhookDelivery).where(
            WebhookDelivery.webhook_endpoint_id == webhook_endpoint_id,
        )
        if status is not None:
            statement = statement.where(WebhookDelivery.delivery_status == status)
        if event_type is not None:
            statement = statement.where(WebhookDelivery.event_type == event_type)
        sort_key = (WebhookDelivery.created_at, WebhookDelivery.webhook_delivery_id)
        return await newest_first(self._session, statement, sort_key, limit, cursor)

    async def add_test(self, webhook_endpoint_id: UUID, delivery_id: UUID) -> WebhookDelivery:
        """Store a test event for one endpoint, unless this id is taken."""
        await self._session.execute(
            insert(WebhookDelivery)
            .values(
                webhook_delivery_id=delivery_id,
                webhook_endpoint_id=webhook_endpoint_id,
                webhook_message_id=delivery_id,
                event_type=TEST_EVENT_TYPE,
                resource_id=delivery_id,
                seq=1,
                event_data={"webhook_endpoint_id": str(webhook_endpoint_id)},
            )
            .on_conflict_do_nothing(index_elements=[WebhookDelivery.webhook_delivery_id]),
        )
        return await self._session.get_one(WebhookDelivery, delivery_id)

    async def redeliver(
        self, webhook_endpoint_id: UUID, webhook_delivery_id: UUID
    ) -> WebhookDelivery | None:
        """Make a delivery pending again, in any status; None if the endpoint has no such one."""
        statement = update(WebhookDelivery).where(
            WebhookDelivery.webhook_endpoint_id == webhook_endpoint_id,
            WebhookDelivery.webhook_delivery_id == webhook_delivery_id,
        )
        renewed = statement.values(
            delivery_status=DeliveryStatus.PENDING,
            attempt_count=0,
            next_attempt_at=None,
            is_announced=False,
            delivered_at=None,
        )
        return await self._session.scalar(renewed.returning(WebhookDelivery))

    async def make_due(self, webhook_endpoint_id: UUID) -> None:
        """Make the pending deliveries of an endpoint due at once."""
        await self._session.execute(
            update(WebhookDelivery)
            .where(WebhookDelivery.webhook_endpoint_id == webhook_endpoint_id, IS_PENDING)
            .values(next_attempt_at=None, is_announced=False)
            .execution_options(synchronize_session=False),
        )
