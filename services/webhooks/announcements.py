"""Tells the workflows of endpoints of new deliveries, and deletes old ones."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from datetime import timedelta
from time import monotonic
from uuid import UUID

import structlog
from temporalio.client import Client
from temporalio.exceptions import TemporalError
from temporalio.service import RPCError

from database.session import DATABASE_DOWN, Sessions
from database.webhooks.webhook_deliveries import WebhookOutboxRepository
from database.webhooks.webhook_endpoints import EndpointHealthRepository
from domain.ids import webhook_endpoint_workflow_id
from domain.webhooks.outgoing import EndpointStart
from domain.workflow_names import BILLING, WAKE, WEBHOOK_ENDPOINT_WORKFLOW

POLL_SECONDS = 0.5
BATCH_SIZE = 1_000
RPC_TIMEOUT = timedelta(seconds=5)
# How often all endpoints with pending deliveries are told, in case a workflow was terminated.
TELL_ALL_SECONDS = 300.0
KEEP_FOR = timedelta(days=30)
PRUNE_SIZE = 1_000

_OUTAGES: tuple[type[Exception], ...] = (*DATABASE_DOWN, RPCError, TemporalError, TimeoutError)

log = structlog.get_logger(__name__)


class WebhookAnnouncements:
    """Signals the workflows of endpoints, and starts those that do not run.

    Several processes may do so: a workflow that is told twice looks twice.
    """

    def __init__(self, temporal: Client, sessions: Sessions) -> None:
        self._temporal = temporal
        self._sessions = sessions
        self._told_all_at: float | None = None
        self._is_down = False

    async def run(self) -> None:
        """Announce deliveries until cancelled."""
        while True:
            try:
                await self._round()
                self._is_down = False
            except _OUTAGES as error:
                self._note_outage(error)
            except Exception:
                log.exception("webhooks_not_announced")
            await asyncio.sleep(POLL_SECONDS)

    async def announce(self) -> int:
        """Tell workflows of deliveries that no workflow was told of, up to one batch.

        Returns:
            Number of deliveries.
        """
        async with self._sessions() as session:
            found = await WebhookOutboxRepository(session).unannounced(BATCH_SIZE)
        by_endpoint: dict[UUID, list[UUID]] = defaultdict(list)
        for webhook_endpoint_id, webhook_delivery_id in found:
            by_endpoint[webhook_endpoint_id].append(webhook_delivery_id)
        for webhook_endpoint_id, ids in by_endpoint.items():
            await self._wake([webhook_endpoint_id])
            # Reason: marked after the signal, so that a crash in between signals again.
            async with self._sessions.begin() as session:
                await WebhookOutboxRepository(session).mark_announced(ids)
        return len(found)

    async def prune(self) -> None:
        """Delete deliveries that nobody waits for any more."""
        count = PRUNE_SIZE
        while count == PRUNE_SIZE:
            async with self._sessions.begin() as session:
                count = await WebhookOutboxRepository(session).prune(KEEP_FOR, PRUNE_SIZE)

    async def _round(self) -> None:
        now = monotonic()
        if self._told_all_at is None or now - self._told_all_at > TELL_ALL_SECONDS:
            async with self._sessions() as session:
                waiting = await EndpointHealthRepository(session).with_work()
            await self._wake(waiting)
            await self.prune()
            self._told_all_at = now
        await self.announce()

    async def _wake(self, webhook_endpoint_ids: Iterable[UUID]) -> None:
        for webhook_endpoint_id in webhook_endpoint_ids:
            await self._temporal.start_workflow(
                WEBHOOK_ENDPOINT_WORKFLOW,
                EndpointStart(webhook_endpoint_id=webhook_endpoint_id),
                id=webhook_endpoint_workflow_id(webhook_endpoint_id),
                task_queue=BILLING,
                start_signal=WAKE,
                static_summary=f"webhooks to endpoint {webhook_endpoint_id}",
                rpc_timeout=RPC_TIMEOUT,
            )

    def _note_outage(self, error: Exception) -> None:
        """Log once that webhooks wait."""
        if not self._is_down:
            log.warning("webhooks_wait", error=type(error).__name__)
        self._is_down = True
