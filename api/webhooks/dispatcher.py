"""From the inbox to the workflows: one signal for all that came for one subscription or payment.

Several processes may run this at once. Nothing is locked while Temporal is called: a claim moves
the events' next attempt ahead, so that another process takes them up if this one dies. What was
signalled and not marked is signalled again, which a mailbox absorbs.
"""

import asyncio
from asyncio import Event, Semaphore, Task
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import UUID

import structlog
from temporalio.client import Client

from api.webhooks.event_bodies import read_event
from api.webhooks.signals import can_pass, is_temporal_down, send_hint
from database.session import DATABASE_DOWN, Sessions, is_passing
from database.webhooks.inbox import WebhookInboxRepository
from database.webhooks.models import WebhookEvent
from database.webhooks.webhook_events import unpacked
from domain.webhooks.events import (
    Handler,
    Owner,
    Reference,
    WebhookEventStatus,
    handler_of,
    owner_of,
    reference_of,
    type_label,
)
from observability import WEBHOOK_EVENTS, WEBHOOK_LAG

BATCH_SIZE = 200
LEASE = timedelta(seconds=10)
POLL_SECONDS = 1.0
CALLS_AT_ONCE = 16
# How often an event may fail by its own fault; its pauses are then six minutes in all.
MOST_ATTEMPTS = 12
WORDS_LENGTH = 500

log = structlog.get_logger(__name__)

Events = Sequence[WebhookEvent]


class Dispatcher:
    """Delivers what is in the inbox, at least once."""

    def __init__(self, sessions: Sessions, temporal: Client) -> None:
        self._sessions = sessions
        self._temporal = temporal
        self._woken = Event()
        self._task: Task[None] | None = None
        self._is_database_down = False

    async def start(self) -> None:
        """Begin to deliver."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End; what is not marked as delivered is delivered again by whoever comes next."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def wake(self) -> None:
        """Look into the inbox at once instead of at the next poll."""
        self._woken.set()

    async def _run(self) -> None:
        while True:
            self._woken.clear()
            count = 0
            try:
                count = await self.turn()
                self._note_database(is_down=False)
            except DATABASE_DOWN:
                self._note_database(is_down=True)
            except Exception:
                log.exception("dispatcher_turn_failed")
            if count < BATCH_SIZE:
                # Reason: on 3.11 `wait_for` can swallow the cancellation that is to end this loop.
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL_SECONDS):
                        await self._woken.wait()

    async def turn(self) -> int:
        """Deliver what is due, up to one batch.

        Returns:
            How many events were due.

        Raises:
            OperationalError: The database is down; the errors of `DATABASE_DOWN`.
        """
        async with self._sessions.begin() as session:
            events = await WebhookInboxRepository(session).claim(BATCH_SIZE, LEASE)
        if events:
            await _Batch(self._sessions, self._temporal).deliver(events)
        return len(events)

    def _note_database(self, *, is_down: bool) -> None:
        """Say once that the database went away, and once that it is back."""
        if is_down and not self._is_database_down:
            log.warning("dispatcher_waits_for_database")
        elif self._is_database_down and not is_down:
            log.info("dispatcher_goes_on")
        self._is_database_down = is_down


class _Batch:
    """One turn's work; it asks a Temporal that is down only once, not for each mailbox."""

    def __init__(self, sessions: Sessions, temporal: Client) -> None:
        self._sessions = sessions
        self._temporal = temporal
        self._calls = Semaphore(CALLS_AT_ONCE)
        self._outage: Exception | None = None

    async def deliver(self, events: Events) -> None:
        """Settle each event, or leave it for a later attempt.

        Raises:
            OperationalError: The database is down; the errors of `DATABASE_DOWN`.
        """
        try:
            by_owner = await self._sort(events)
        except Exception as error:  # noqa: BLE001 - one event must not hold up the others
            if len(events) == 1:
                await self._put_off(events, error, is_passing=is_passing(error))
                return
            log.warning("webhook_batch_failed", count=len(events), error=_words(error))
            for event in events:
                await self.deliver([event])
            return
        handing_on = [self._hand_on(owner, theirs) for owner, theirs in by_owner.items()]
        ends = await asyncio.gather(*handing_on, return_exceptions=True)
        for end in ends:
            if end is not None:
                raise end

    async def _sort(self, events: Events) -> dict[Owner, list[WebhookEvent]]:
        """Group events by their owner, and settle those that have none or cannot be read."""
        references: dict[UUID, Reference | None] = {}
        failed: list[tuple[WebhookEvent, str]] = []
        for event in events:
            try:
                references[event.webhook_event_id] = _reference(event)
            except Exception as error:  # noqa: BLE001 - what cannot be read today never can
                failed.append((event, _words(error)))
        async with self._sessions.begin() as session:
            inbox = WebhookInboxRepository(session)
            named = {reference for reference in references.values() if reference}
            await inbox.lock_intents({each.awaited_id for each in named if each.awaited_id})
            owners = await inbox.owners(named) if named else ()
            by_owner, ownerless = _group(events, references, owners)
            for event in ownerless:
                reference = references[event.webhook_event_id]
                if reference and reference.awaited_id:
                    await inbox.await_payment(event.webhook_event_id, reference.awaited_id)
            for event, text in failed:
                await inbox.settle(_ids([event]), WebhookEventStatus.FAILED, error=text)
            if ownerless:
                await inbox.settle(_ids(ownerless), WebhookEventStatus.IGNORED)
        _count(ownerless, "ignored")
        _tell_failures(failed)
        return by_owner

    async def _hand_on(self, owner: Owner, events: Events) -> None:
        """Signal one workflow, and mark its events or put them off."""
        async with self._calls:
            error = self._outage or await self._signal(owner, events)
        if error is not None:
            await self._put_off(events, error, is_passing=can_pass(error))
            return
        try:
            async with self._sessions.begin() as session:
                inbox = WebhookInboxRepository(session)
                await inbox.settle(_ids(events), WebhookEventStatus.DELIVERED, owner=owner)
        except Exception as failure:  # noqa: BLE001 - one owner must not hold up the others
            await self._put_off(events, failure, is_passing=is_passing(failure))
            return
        _count(events, "delivered")
        now = datetime.now(UTC)
        for event in events:
            WEBHOOK_LAG.observe(max((now - event.received_at).total_seconds(), 0))

    async def _signal(self, owner: Owner, events: Events) -> Exception | None:
        """Send one hint; return what went wrong, or None."""
        try:
            await send_hint(self._temporal, owner, [event.stripe_event_id for event in events])
        except Exception as error:  # noqa: BLE001 - whatever it is, others' events go on
            log.warning("webhook_delivery_failed", owner_id=str(owner.our_id), error=_words(error))
            if is_temporal_down(error):
                self._outage = error
            return error
        return None

    async def _put_off(self, events: Events, error: Exception, *, is_passing: bool) -> None:
        """Try again later; give up what failed often enough, and for a reason of its own."""
        text = _words(error)
        hopeless = [] if is_passing else [event for event in events if _is_hopeless(event, text)]
        later = [event for event in events if event not in hopeless]
        async with self._sessions.begin() as session:
            inbox = WebhookInboxRepository(session)
            if later:
                await inbox.postpone(_ids(later), text)
            if hopeless:
                await inbox.settle(_ids(hopeless), WebhookEventStatus.FAILED, error=text)
        _tell_failures([(event, text) for event in hopeless])


def _is_hopeless(event: WebhookEvent, text: str) -> bool:
    """Tell whether an event has failed often enough, and the last time for the same reason.

    Reason: `attempt_count` also counts the attempts of an outage, after which the first failure of
    another kind must not be the end.
    """
    is_same = (event.last_error or "").partition(":")[0] == text.partition(":")[0]
    return is_same and event.attempt_count >= MOST_ATTEMPTS


def _tell_failures(failed: Sequence[tuple[WebhookEvent, str]]) -> None:
    _count([event for event, _ in failed], "failed")
    for event, text in failed:
        log.error("webhook_event_failed", webhook_event_id=str(event.webhook_event_id), error=text)


def _words(error: Exception) -> str:
    """Return what went wrong, in a text that PostgreSQL can store."""
    text = f"{type(error).__name__}: {error}".replace("\0", "\\0")
    return text.encode(errors="backslashreplace").decode()[:WORDS_LENGTH]


def _reference(event: WebhookEvent) -> Reference | None:
    """Read which subscription or payment an event is about; None if it is for nobody.

    Raises:
        ValueError: The body is no JSON object, or names an object by what is no id.
        RuntimeError: The body cannot be decompressed.
    """
    body = read_event(unpacked(event.body))
    if handler_of(event.event_type) is Handler.IGNORED:
        return None
    return reference_of(body)


def _group(
    events: Events,
    references: dict[UUID, Reference | None],
    owners: Sequence[Owner],
) -> tuple[dict[Owner, list[WebhookEvent]], list[WebhookEvent]]:
    """Put events that were read to their owners; the rest is nobody's."""
    by_owner: dict[Owner, list[WebhookEvent]] = defaultdict(list)
    ownerless: list[WebhookEvent] = []
    for event in sorted(events, key=lambda each: each.received_at):
        if event.webhook_event_id not in references:
            continue
        reference = references[event.webhook_event_id]
        owner = owner_of(reference, owners) if reference else None
        (by_owner[owner] if owner else ownerless).append(event)
    return by_owner, ownerless


def _count(events: Events, outcome: str) -> None:
    for event in events:
        WEBHOOK_EVENTS.labels(type_label(event.event_type), outcome).inc()


def _ids(events: Events) -> list[UUID]:
    return [event.webhook_event_id for event in events]
