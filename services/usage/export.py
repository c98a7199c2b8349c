"""Reports usage beyond limits to the meters of an outside system, each report once."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Protocol

import structlog

from adapters.stripe.meters import StripeMeters
from database.session import Sessions
from database.usage.meter_events import MeterEventRepository
from database.usage.models import MeterEvent
from domain.errors import ApplicationError, UnreadableAnswerError
from domain.usage.metering import MeterEventStatus, MeterReport
from observability.metrics import METER_EVENTS
from services.stripe_idempotency import post_once

BATCH_SIZE = 10
LEASE = timedelta(seconds=60)
# Stripe forgets identifiers after 24 hours; a report that it may have counted is not sent later.
SAFE_AGE = timedelta(hours=23)

log = structlog.get_logger(__name__)


class UsageExporter(Protocol):
    """An outside system that bills by meters; our usage records stay the truth."""

    async def report(self, usage: MeterReport) -> None:
        """Report usage, once for each identifier however often it is called within a day.

        Raises:
            ApplicationError: The report is refused, or its outcome is not known.
        """


class StripeUsageExporter:
    """Reports usage to Stripe's billing meters."""

    def __init__(self, meters: StripeMeters) -> None:
        self._meters = meters

    async def report(self, usage: MeterReport) -> None:
        """Report usage, once for each identifier within 24 hours.

        Raises:
            ApplicationError: Stripe refused, or is down.
        """

        async def post(key: str) -> bool:
            await self._meters.report(usage, key)
            return True

        async def find() -> bool | None:
            # Reason: Stripe shows no single event; it refuses an identifier that it has counted,
            # which `StripeMeters.report` takes for success.
            return None

        await post_once(usage.identifier, post, find)


class UsageExport:
    """Sends the meter events that are due."""

    def __init__(
        self, sessions: Sessions, exporter: UsageExporter, lease: timedelta = LEASE
    ) -> None:
        self._sessions = sessions
        self._exporter = exporter
        self._lease = lease

    async def send_due(self) -> int:
        """Send the events that are due, up to one batch.

        Returns:
            Number of events that were due.

        Raises:
            OperationalError: The database is down; the errors of `DATABASE_DOWN`.
        """
        async with self._sessions.begin() as session:
            due = await MeterEventRepository(session).claim(BATCH_SIZE, self._lease)
        outcomes = await asyncio.gather(*map(self._send, due), return_exceptions=True)
        for outcome in outcomes:
            if outcome is not None:
                raise outcome
        return len(due)

    async def _send(self, event: MeterEvent) -> None:
        if _is_too_old(event):
            message = "no answer came within 23 hours; sent again, the usage might count twice"
            await self._give_up(event, MeterEventStatus.OUTCOME_UNKNOWN, "outcome_unknown", message)
            return
        try:
            await self._exporter.report(_report(event))
        except ApplicationError as error:
            # Reason: a report that was taken with an unreadable answer may be sent again.
            if not error.is_retryable and not isinstance(error, UnreadableAnswerError):
                code = str(error.details.get("stripe_code") or error.error_code)
                await self._give_up(event, MeterEventStatus.REJECTED, code, error.message)
                return
            async with self._sessions.begin() as session:
                await MeterEventRepository(session).postpone(
                    event.meter_event_id, error.error_code, error.message
                )
            log.warning(
                "meter_event_postponed",
                meter_event_id=str(event.meter_event_id),
                code=error.error_code,
            )
            return
        async with self._sessions.begin() as session:
            await MeterEventRepository(session).mark_sent(event.meter_event_id)
        METER_EVENTS.labels(MeterEventStatus.SENT).inc()

    async def _give_up(
        self, event: MeterEvent, status: MeterEventStatus, code: str, message: str
    ) -> None:
        async with self._sessions.begin() as session:
            await MeterEventRepository(session).give_up(event.meter_event_id, status, code, message)
        METER_EVENTS.labels(status).inc()
        log.error("meter_event_not_sent", meter_event_id=str(event.meter_event_id), code=code)


def _report(event: MeterEvent) -> MeterReport:
    return MeterReport(
        identifier=str(event.meter_event_id),
        event_name=event.event_name,
        stripe_customer_id=event.stripe_customer_id,
        quantity=event.quantity,
    )


def _is_too_old(event: MeterEvent) -> bool:
    """Return whether an earlier try may have been counted, and its identifier be forgotten."""
    first = event.first_attempt_at
    return first is not None and datetime.now(UTC) - first > SAFE_AGE
