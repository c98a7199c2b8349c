"""Delivers webhook events from the inbox to workflows: one signal per subscription or payment.

Several processes may run a dispatcher. No row is locked while Temporal is called: a claim postpones
the next attempt of its events, so that another process claims them if this one dies. An event that
was signaled but not marked is signaled again, which a mailbox tolerates.
"""

import asyncio
from asyncio import Event, Semaphore, Task
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from time import monotonic
from uuid import UUID

import structlog
from temporalio.client import Client

from api.webhooks.grouping import (
    group_by_owner,
    reference_in,
    take_foreign,
    unknown_subscriptions,
)
from api.webhooks.signals import is_temporal_down, is_transient, send_hint
from database.session import DATABASE_DOWN, Sessions, is_transient_database_error
from database.webhooks.inbox import WebhookInboxRepository, known_as_foreign, mark_delivered
from database.webhooks.models import WebhookEvent
from domain.webhooks.event_types import Handler, type_label
from domain.webhooks.events import EventOwner, EventReference, WebhookEventStatus
from observability.metrics import WEBHOOK_EVENTS, webhook_lag

# The more events, the more of them belong to one owner, who gets one signal for all.
BATCH_SIZE = 500
LEASE = timedelta(seconds=10)
POLL_SECONDS = 1.0
# Least time from the end of a batch to the beginning of the next one that is not full. Events that
# arrive one after the other are gathered, and each owner gets one signal for all of them.
GATHER_SECONDS = 0.1
CALLS_AT_ONCE = 16
# Owners whose events are marked in one round trip. What was signaled must be marked long before its
# claim ends, else another process signals it again.
OWNERS_AT_ONCE = 64
# Maximum attempts at an event that fails for a reason of its own, over about six minutes.
MAX_ATTEMPTS = 12
ERROR_TEXT_LENGTH = 500
AWAITS_OWNER = "the owner of its subscription is being looked up at Stripe"

log = structlog.get_logger(__name__)

Events = Sequence[WebhookEvent]


class Dispatcher:
    """Delivers the events in the inbox, at least once."""

    def __init__(self, sessions: Sessions, temporal: Client) -> None:
        self._sessions = sessions
        self._temporal = temporal
        self._woken = Event()
        self._task: Task[None] | None = None
        self._is_database_down = False

    async def start(self) -> None:
        """Start delivering events."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Stop; another dispatcher delivers the events that are not marked as delivered."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def wake(self) -> None:
        """Read the inbox at once instead of at the next poll."""
        self._woken.set()

    async def _run(self) -> None:
        while True:
            self._woken.clear()
            count = 0
            try:
                count = await self.deliver_due()
                self._note_database(is_down=False)
            except DATABASE_DOWN:
                self._note_database(is_down=True)
            except Exception:
                log.exception("dispatcher_batch_failed")
            if count < BATCH_SIZE:
                await self._wait_for_events()

    async def _wait_for_events(self) -> None:
        """Return when there may be events; if they came at once, after a time to gather others."""
        ended = monotonic()
        # Reason: on 3.11 `wait_for` can swallow the cancellation that is to end this loop.
        with suppress(TimeoutError):
            async with asyncio.timeout(POLL_SECONDS):
                await self._woken.wait()
        await asyncio.sleep(max(ended + GATHER_SECONDS - monotonic(), 0))

    async def deliver_due(self) -> int:
        """Deliver the events that are due, up to one batch.

        Returns:
            Number of events that were due.

        Raises:
            OperationalError: The database is down; the errors of `DATABASE_DOWN`.
        """
        async with self._sessions.begin() as session:
            events = await WebhookInboxRepository(session).claim(BATCH_SIZE, LEASE)
        if events:
            await _Batch(self._sessions, self._temporal).deliver(events)
        return len(events)

    def _note_database(self, *, is_down: bool) -> None:
        """Log once that the database is down, and once that it is back."""
        if is_down and not self._is_database_down:
            log.warning("dispatcher_waits_for_database")
        elif self._is_database_down and not is_down:
            log.info("dispatcher_goes_on")
        self._is_database_down = is_down


class _Batch:
    """One batch of events; after a call finds Temporal down, no further calls are made."""

    def __init__(self, sessions: Sessions, temporal: Client) -> None:
        self._sessions = sessions
        self._temporal = temporal
        self._calls = Semaphore(CALLS_AT_ONCE)
        self._outage: Exception | None = None

    async def deliver(self, events: Events) -> None:
        """Settle each event, or postpone it to a later attempt.

        Raises:
            OperationalError: The database is down; the errors of `DATABASE_DOWN`.
        """
        try:
            by_owner = await self._find_owners(events)
        except Exception as error:  # noqa: BLE001 - one event must not hold up the others
            if len(events) == 1:
                is_down = is_transient_database_error(error)
                await self._postpone(events, error, is_transient_database_error=is_down)
                return
            log.warning("webhook_batch_failed", count=len(events), error=_error_text(error))
            for event in events:
                await self.deliver([event])
            return
        owners = [*by_owner]
        for start in range(0, len(owners), OWNERS_AT_ONCE):
            part = {owner: by_owner[owner] for owner in owners[start : start + OWNERS_AT_ONCE]}
            await self._deliver_to(part)

    async def _deliver_to(self, by_owner: dict[EventOwner, list[WebhookEvent]]) -> None:
        """Signal some workflows, and mark their events as delivered or postpone them."""
        calls = [self._signal(owner, group) for owner, group in by_owner.items()]
        failures = dict(zip(by_owner, await asyncio.gather(*calls), strict=True))
        await self._mark({each: by_owner[each] for each in by_owner if not failures[each]})
        for owner, failure in failures.items():
            if failure is not None:
                is_down = is_transient(failure)
                await self._postpone(by_owner[owner], failure, is_transient_database_error=is_down)

    async def _find_owners(self, events: Events) -> dict[EventOwner, list[WebhookEvent]]:
        """Group events by owner, and settle events without an owner and unreadable events."""
        references, failed = _read(events)
        async with self._sessions.begin() as session:
            inbox = WebhookInboxRepository(session)
            distinct = {reference for reference in references.values() if reference}
            await inbox.lock_intents({each.awaited_id for each in distinct if each.awaited_id})
            owners = await inbox.owners(distinct) if distinct else ()
            by_owner, ownerless = group_by_owner(events, references, owners)
            foreign = await known_as_foreign(session, unknown_subscriptions(by_owner))
            ownerless += take_foreign(by_owner, foreign)
            for event in ownerless:
                reference = references[event.webhook_event_id]
                if reference and reference.awaited_id:
                    await inbox.await_payment(event.webhook_event_id, reference.awaited_id)
            for event, text in failed:
                await inbox.settle(_ids([event]), WebhookEventStatus.FAILED, error=text)
            if ownerless:
                await inbox.settle(_ids(ownerless), WebhookEventStatus.IGNORED)
        _count(ownerless, "ignored")
        _report_failures(failed)
        return by_owner

    async def _signal(self, owner: EventOwner, events: Events) -> Exception | None:
        """Send one hint; return the error, or None."""
        async with self._calls:
            if self._outage is not None:
                return self._outage
            try:
                await send_hint(self._temporal, owner, [event.stripe_event_id for event in events])
            except Exception as error:  # noqa: BLE001 - one owner must not hold up the others
                log.warning(
                    "webhook_delivery_failed", owner_id=str(owner.our_id), error=_error_text(error)
                )
                if is_temporal_down(error):
                    self._outage = error
                return error
        return None

    async def _mark(self, by_owner: dict[EventOwner, list[WebhookEvent]]) -> None:
        """Mark the events of owners that were signaled as delivered, or postpone them."""
        # Reason: the adoption's operation settles its events; until then they are due again.
        adopting = [each for each in by_owner if each.handler is Handler.ADOPTION]
        delivered = {each: by_owner[each] for each in by_owner if each not in adopting}
        try:
            async with self._sessions.begin() as session:
                inbox = WebhookInboxRepository(session)
                for owner in adopting:
                    await inbox.postpone(_ids(by_owner[owner]), AWAITS_OWNER)
                await mark_delivered(session, {each: _ids(delivered[each]) for each in delivered})
        except Exception as failure:  # noqa: BLE001 - one owner must not hold up the others
            if len(by_owner) > 1:
                for owner, events in by_owner.items():
                    await self._mark({owner: events})
                return
            (events,) = by_owner.values()
            is_down = is_transient_database_error(failure)
            await self._postpone(events, failure, is_transient_database_error=is_down)
            return
        for events in delivered.values():
            _count_delivered(events)

    async def _postpone(
        self, events: Events, error: Exception, *, is_transient_database_error: bool
    ) -> None:
        """Postpone events; settle those as failed that failed too often for their own reason."""
        text = _error_text(error)
        is_final = not is_transient_database_error
        exhausted = [event for event in events if is_final and _is_exhausted(event, text)]
        later = [event for event in events if event not in exhausted]
        async with self._sessions.begin() as session:
            inbox = WebhookInboxRepository(session)
            if later:
                await inbox.postpone(_ids(later), text)
            if exhausted:
                await inbox.settle(_ids(exhausted), WebhookEventStatus.FAILED, error=text)
        _report_failures([(event, text) for event in exhausted])


def _read(
    events: Events,
) -> tuple[dict[UUID, EventReference | None], list[tuple[WebhookEvent, str]]]:
    """Return what the events are about by their ids, and those that cannot be read, with errors."""
    references: dict[UUID, EventReference | None] = {}
    failed: list[tuple[WebhookEvent, str]] = []
    for event in events:
        try:
            references[event.webhook_event_id] = reference_in(event)
        except Exception as error:  # noqa: BLE001 - an unreadable event stays unreadable
            failed.append((event, _error_text(error)))
    return references, failed


def _is_exhausted(event: WebhookEvent, text: str) -> bool:
    """Return whether an event has used its attempts, the last two for the same reason.

    Reason: `attempt_count` also counts attempts during an outage; the first failure of another kind
    after it must not be final.
    """
    is_same = (event.last_error or "").partition(":")[0] == text.partition(":")[0]
    return is_same and event.attempt_count >= MAX_ATTEMPTS


def _report_failures(failed: Sequence[tuple[WebhookEvent, str]]) -> None:
    _count([event for event, _ in failed], "failed")
    for event, text in failed:
        log.error("webhook_event_failed", webhook_event_id=str(event.webhook_event_id), error=text)


def _error_text(error: Exception) -> str:
    """Return the type and message of an error, as a text that PostgreSQL can store."""
    text = f"{type(error).__name__}: {error}".replace("\0", "\\0")
    return text.encode(errors="backslashreplace").decode()[:ERROR_TEXT_LENGTH]


def _count(events: Events, outcome: str) -> None:
    for event in events:
        WEBHOOK_EVENTS.labels(type_label(event.event_type), outcome).inc()


def _count_delivered(events: Events) -> None:
    _count(events, "delivered")
    now = datetime.now(UTC)
    for event in events:
        webhook_lag().observe(max((now - event.received_at).total_seconds(), 0))


def _ids(events: Events) -> list[UUID]:
    return [event.webhook_event_id for event in events]
