"""Repository of the endpoints that webhooks are sent to; the caller owns the transaction."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from database.paging import Page, newest_first
from database.webhooks.models import IS_PENDING, WebhookDelivery, WebhookEndpoint


class WebhookEndpointRepository:
    """Reads and writes `webhook_endpoints` within one session."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(
        self,
        webhook_endpoint_id: UUID,
        user_id: UUID,
        url: str,
        event_types: list[str],
        secret: str,
    ) -> tuple[WebhookEndpoint, bool]:
        """Store an endpoint under this id, unless the id is taken.

        Returns:
            The row with this id, and whether it is new.
        """
        written = await self._session.scalars(
            insert(WebhookEndpoint)
            .values(
                webhook_endpoint_id=webhook_endpoint_id,
                user_id=user_id,
                url=url,
                event_type_list=event_types,
                secret=secret,
            )
            .on_conflict_do_nothing(index_elements=[WebhookEndpoint.webhook_endpoint_id])
            .returning(WebhookEndpoint),
        )
        if (row := written.one_or_none()) is not None:
            return row, True
        return await self._session.get_one(WebhookEndpoint, webhook_endpoint_id), False

    async def get(self, webhook_endpoint_id: UUID) -> WebhookEndpoint | None:
        """Return an endpoint, or None."""
        return await self._session.get(WebhookEndpoint, webhook_endpoint_id)

    async def list(self, limit: int, cursor: str | None) -> Page[WebhookEndpoint]:
        """Return one page of endpoints, newest first."""
        sort_key = (WebhookEndpoint.created_at, WebhookEndpoint.webhook_endpoint_id)
        return await newest_first(self._session, select(WebhookEndpoint), sort_key, limit, cursor)

    async def change(
        self, webhook_endpoint_id: UUID, changes: Mapping[str, object]
    ) -> WebhookEndpoint | None:
        """Set columns of an endpoint, and return it; None if there is no such endpoint."""
        if not changes:
            return await self.get(webhook_endpoint_id)
        return await self._session.scalar(
            update(WebhookEndpoint)
            .where(WebhookEndpoint.webhook_endpoint_id == webhook_endpoint_id)
            .values(**changes)
            .returning(WebhookEndpoint),
        )

    async def rotate(
        self, webhook_endpoint_id: UUID, rotation_id: UUID, secret: str, expires_at: datetime
    ) -> tuple[WebhookEndpoint | None, bool]:
        """Set a new secret, and keep the present one until it expires.

        Returns:
            The row, or None; and whether the secret is new, which it is once per rotation.
        """
        row = await self._session.scalar(
            update(WebhookEndpoint)
            .where(
                WebhookEndpoint.webhook_endpoint_id == webhook_endpoint_id,
                WebhookEndpoint.rotation_id.is_distinct_from(rotation_id),
            )
            .values(
                secret=secret,
                previous_secret=WebhookEndpoint.secret,
                previous_secret_expires_at=expires_at,
                rotation_id=rotation_id,
            )
            .returning(WebhookEndpoint),
        )
        return (row, True) if row is not None else (await self.get(webhook_endpoint_id), False)

    async def delete(self, webhook_endpoint_id: UUID) -> bool:
        """Delete an endpoint with its deliveries, and return whether there was one."""
        deleted = await self._session.scalar(
            delete(WebhookEndpoint)
            .where(WebhookEndpoint.webhook_endpoint_id == webhook_endpoint_id)
            .returning(WebhookEndpoint.webhook_endpoint_id),
        )
        await self._session.execute(
            delete(WebhookDelivery).where(
                WebhookDelivery.webhook_endpoint_id == webhook_endpoint_id,
            ),
        )
        return deleted is not None


class EndpointHealthRepository:
    """Reads and writes how endpoints answer, within one session."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def note_success(self, webhook_endpoint_id: UUID) -> None:
        """Store that an endpoint answered well."""
        await self._session.execute(
            update(WebhookEndpoint)
            .where(
                WebhookEndpoint.webhook_endpoint_id == webhook_endpoint_id,
                WebhookEndpoint.failing_since.is_not(None),
            )
            .values(failing_since=None),
        )

    async def note_failure(self, webhook_endpoint_id: UUID, now: datetime) -> datetime:
        """Store that an endpoint failed, and return since when it fails."""
        failing_since = await self._session.scalar(
            update(WebhookEndpoint)
            .where(WebhookEndpoint.webhook_endpoint_id == webhook_endpoint_id)
            .values(failing_since=func.coalesce(WebhookEndpoint.failing_since, now))
            .returning(WebhookEndpoint.failing_since),
        )
        return failing_since or now

    async def switch_off(self, webhook_endpoint_id: UUID, now: datetime) -> bool:
        """Switch an endpoint off because it fails, and return whether it was on."""
        switched_off = await self._session.scalar(
            update(WebhookEndpoint)
            .where(
                WebhookEndpoint.webhook_endpoint_id == webhook_endpoint_id,
                WebhookEndpoint.is_active,
            )
            .values(is_active=False, switched_off_at=now)
            .returning(WebhookEndpoint.webhook_endpoint_id),
        )
        return switched_off is not None

    async def with_work(self) -> Sequence[UUID]:
        """Return the active endpoints that have pending deliveries."""
        pending = select(WebhookDelivery.webhook_endpoint_id).where(
            WebhookDelivery.webhook_endpoint_id == WebhookEndpoint.webhook_endpoint_id,
            IS_PENDING,
        )
        statement = select(WebhookEndpoint.webhook_endpoint_id).where(
            WebhookEndpoint.is_active, pending.exists()
        )
        return (await self._session.scalars(statement)).all()

    async def failing(self, at_least: timedelta) -> Sequence[WebhookEndpoint]:
        """Return endpoints that were switched off, or that fail for some time."""
        is_failing = WebhookEndpoint.failing_since < func.now() - at_least
        statement = select(WebhookEndpoint).where(
            WebhookEndpoint.switched_off_at.is_not(None) | (WebhookEndpoint.is_active & is_failing),
        )
        return (await self._session.scalars(statement)).all()
