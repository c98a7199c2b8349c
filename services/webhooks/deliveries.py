"""Sends the deliveries of one endpoint that are due, each resource's in their order."""

import asyncio
import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from time import monotonic

import structlog

from adapters.webhook_sender import OutgoingMessage, SendOutcome, WebhookChannel, WebhookSender
from database.notifications.due_mails import add_due_mail
from database.session import Sessions
from database.webhooks.models import WebhookDelivery, WebhookEndpoint
from database.webhooks.webhook_deliveries import WebhookDeliveryRepository
from database.webhooks.webhook_endpoints import EndpointHealthRepository, WebhookEndpointRepository
from domain.notifications import NewMail
from domain.webhooks.outgoing import (
    GONE,
    MAX_CONCURRENT_COUNT,
    TEST_EVENT_TYPE,
    DeliverInput,
    DeliveryProgress,
    DeliveryStatus,
    is_failing_too_long,
    message_id,
    next_attempt_at,
    render_body,
    switched_off_mail,
)
from observability.metrics import WEBHOOK_DELIVERIES

BATCH_SIZE = 100
# After this time no further delivery is begun, and the workflow asks again.
SESSION_SECONDS = 10.0

log = structlog.get_logger(__name__)


class WebhookDeliveries:
    """Sends what is due to one endpoint, for some seconds."""

    def __init__(self, sender: WebhookSender, sessions: Sessions) -> None:
        self._sender = sender
        self._sessions = sessions

    async def deliver(self, request: DeliverInput) -> DeliveryProgress:
        """Send deliveries until none is due, or until the time of a session is over.

        Args:
            request: The endpoint, and the time of its workflow.

        Returns:
            What was sent, and when the next delivery is due.
        """
        async with self._sessions() as session:
            endpoint = await WebhookEndpointRepository(session).get(request.webhook_endpoint_id)
        if endpoint is None:
            return DeliveryProgress()
        delivery_session = _DeliverySession(self._sessions, endpoint, request.now)
        if endpoint.is_active:
            secrets = _valid_secrets(endpoint, request.now)
            async with self._sender.open(endpoint.url, secrets) as channel:
                await delivery_session.run(channel)
        return await delivery_session.progress()


class _DeliverySession:
    """One session of deliveries to an endpoint, as it was when the session began."""

    def __init__(self, sessions: Sessions, endpoint: WebhookEndpoint, now: datetime) -> None:
        self._sessions = sessions
        self._endpoint = endpoint
        self._endpoint_id = endpoint.webhook_endpoint_id
        self._began_at, self._began = now, monotonic()
        self._slots = asyncio.Semaphore(MAX_CONCURRENT_COUNT)
        self._delivered_count = self._failed_count = 0

    async def run(self, channel: WebhookChannel) -> None:
        """Send batches of deliveries of different resources until none is due."""
        while not self._is_over() and (due := await self._due()):
            async with asyncio.TaskGroup() as group:
                for delivery in due:
                    group.create_task(self._attempt(channel, delivery))

    async def progress(self) -> DeliveryProgress:
        """Return what was sent, and what is left."""
        async with self._sessions() as session:
            endpoint = await WebhookEndpointRepository(session).get(self._endpoint_id)
            deliveries = WebhookDeliveryRepository(session)
            left = await deliveries.pending_work(self._endpoint_id, self._now())
        is_active = endpoint is not None and endpoint.is_active
        return DeliveryProgress(
            delivered_count=self._delivered_count,
            failed_count=self._failed_count,
            pending_count=left.resource_count,
            next_attempt_at=left.next_attempt_at if is_active else None,
        )

    def _mail(self, failing_since: datetime, now: datetime) -> NewMail:
        endpoint = self._endpoint
        return switched_off_mail(
            self._endpoint_id, endpoint.user_id, endpoint.url, failing_since, now
        )

    def _now(self) -> datetime:
        """Return the time on the clock of the workflow."""
        return self._began_at + timedelta(seconds=monotonic() - self._began)

    def _is_over(self) -> bool:
        return monotonic() - self._began >= SESSION_SECONDS

    async def _due(self) -> Sequence[WebhookDelivery]:
        """Return what is due; nothing if the endpoint was changed since the session began."""
        async with self._sessions() as session:
            endpoint = await WebhookEndpointRepository(session).get(self._endpoint_id)
            if endpoint is None or _target(endpoint) != _target(self._endpoint):
                return ()
            deliveries = WebhookDeliveryRepository(session)
            return await deliveries.due(self._endpoint_id, self._now(), BATCH_SIZE)

    async def _attempt(self, channel: WebhookChannel, delivery: WebhookDelivery) -> None:
        async with self._slots:
            if self._is_over():
                return
            body = render_body(
                delivery.event_type, delivery.created_at, delivery.seq, delivery.event_data
            )
            message = OutgoingMessage(message_id(delivery.webhook_message_id), body)
            outcome = await channel.send(message)
        if outcome.error is None:
            self._delivered_count += 1
            await self._settle_delivered(delivery, outcome)
        else:
            self._failed_count += 1
            await self._settle_failed(delivery, outcome)

    async def _settle_delivered(self, delivery: WebhookDelivery, outcome: SendOutcome) -> None:
        async with self._sessions.begin() as session:
            await WebhookDeliveryRepository(session).settle(
                delivery.webhook_delivery_id,
                DeliveryStatus.DELIVERED,
                response_status=outcome.response_status,
                error=None,
                delivered_at=self._now(),
            )
            await EndpointHealthRepository(session).note_success(self._endpoint_id)
        WEBHOOK_DELIVERIES.labels("delivered").inc()

    async def _settle_failed(self, delivery: WebhookDelivery, outcome: SendOutcome) -> None:
        now = self._now()
        retry_at = _retry_at(delivery, now)
        status = DeliveryStatus.DROPPED if retry_at is None else DeliveryStatus.PENDING
        async with self._sessions.begin() as session:
            await WebhookDeliveryRepository(session).settle(
                delivery.webhook_delivery_id,
                status,
                response_status=outcome.response_status,
                error=outcome.error,
                next_attempt_at=retry_at,
            )
            if delivery.event_type != TEST_EVENT_TYPE:
                endpoints = EndpointHealthRepository(session)
                failing_since = await endpoints.note_failure(self._endpoint_id, now)
                is_gone = outcome.response_status == GONE
                is_off = is_gone or is_failing_too_long(failing_since, now)
                if is_off and await endpoints.switch_off(self._endpoint_id, now):
                    await add_due_mail(session, self._mail(failing_since, now))
        WEBHOOK_DELIVERIES.labels("failed" if retry_at else "dropped").inc()
        log.info(
            "webhook_not_delivered",
            webhook_endpoint_id=str(self._endpoint_id),
            webhook_delivery_id=str(delivery.webhook_delivery_id),
            error=outcome.error,
            is_dropped=retry_at is None,
        )


def _retry_at(delivery: WebhookDelivery, now: datetime) -> datetime | None:
    if delivery.event_type == TEST_EVENT_TYPE:
        return None
    return next_attempt_at(delivery.attempt_count + 1, now, random.random())  # noqa: S311 - jitter


def _target(endpoint: WebhookEndpoint) -> tuple[object, ...]:
    """Return what a session depends on."""
    return (endpoint.is_active, endpoint.url, endpoint.secret, endpoint.previous_secret)


def _valid_secrets(endpoint: WebhookEndpoint, now: datetime) -> list[str]:
    expires_at = endpoint.previous_secret_expires_at
    is_previous_valid = expires_at is not None and expires_at > now
    if endpoint.previous_secret is None or not is_previous_valid:
        return [endpoint.secret]
    return [endpoint.secret, endpoint.previous_secret]
