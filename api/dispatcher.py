"""From the inbox to the workflows: one signal for all that came for one subscription or payment.

Several processes may run this at once. Nothing is locked while Temporal is called: a claim moves
the events' next attempt ahead, so that another process takes them up if this one dies. What was
signalled and not marked is signalled again, which a mailbox absorbs.
"""

import asyncio
from asyncio import Event, Semaphore, Task
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import orjson
import structlog
from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import TemporalError

from api.errors import from_temporal
from database.models import WebhookEvent
from database.session import DATABASE_DOWN, Sessions
from database.webhook_events import unpacked
from database.webhook_inbox import WebhookInboxRepository
from domain.billing import SubscriptionStart
from domain.ids import payment_workflow_id, subscription_workflow_id
from domain.payments import PaymentStart
from domain.webhooks import (
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
from workflows.payment import PaymentWorkflow
from workflows.queues import BILLING
from workflows.search_attributes import starting_attributes
from workflows.subscription import SubscriptionWorkflow

BATCH_SIZE = 200
LEASE = timedelta(seconds=10)
POLL_SECONDS = 1.0
CALLS_AT_ONCE = 16
RPC_TIMEOUT = timedelta(seconds=5)
# Reason: `rpc_timeout` does not cover the connecting of a lazy client.
CALL_SECONDS = 6.0
# What a call raises: a lazy client that cannot connect raises RuntimeError.
_CALL_FAILED = (TemporalError, RuntimeError, OSError, TimeoutError)

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
        self._outage: str | None = None

    async def deliver(self, events: Events) -> None:
        """Settle each event, or leave it for a later attempt."""
        by_owner = await self._sort(events)
        ends = await asyncio.gather(
            *[self._hand_on(owner, theirs) for owner, theirs in by_owner.items()],
            return_exceptions=True,
        )
        for end in ends:
            if end is not None:
                raise end

    async def _sort(self, events: Events) -> dict[Owner, list[WebhookEvent]]:
        """Group events by their owner, and settle those that have none."""
        references: dict[UUID, Reference | None] = {}
        failed: dict[UUID, str] = {}
        for event in events:
            try:
                references[event.webhook_event_id] = _reference(event)
            except (ValueError, RuntimeError) as error:
                failed[event.webhook_event_id] = f"{type(error).__name__}: {error}"
        async with self._sessions.begin() as session:
            inbox = WebhookInboxRepository(session)
            named = {reference for reference in references.values() if reference}
            owners = await inbox.owners(named) if named else ()
            by_owner, ownerless = _group(events, references, owners)
            for event_id, text in failed.items():
                await inbox.settle([event_id], WebhookEventStatus.FAILED, error=text)
            if ownerless:
                await inbox.settle(_ids(ownerless), WebhookEventStatus.IGNORED)
        _count(ownerless, "ignored")
        _count([event for event in events if event.webhook_event_id in failed], "failed")
        for event_id, text in failed.items():
            log.error("webhook_event_failed", webhook_event_id=str(event_id), error=text)
        return by_owner

    async def _hand_on(self, owner: Owner, events: Events) -> None:
        """Signal one workflow, and mark its events or put them off."""
        async with self._calls:
            error = self._outage or await self._signal(owner, events)
        async with self._sessions.begin() as session:
            inbox = WebhookInboxRepository(session)
            if error is not None:
                await inbox.postpone(_ids(events), error)
                return
            await inbox.settle(_ids(events), WebhookEventStatus.DELIVERED, owner=owner)
        _count(events, "delivered")
        now = datetime.now(UTC)
        for event in events:
            WEBHOOK_LAG.observe(max((now - event.received_at).total_seconds(), 0))

    async def _signal(self, owner: Owner, events: Events) -> str | None:
        """Send one hint, starting the workflow if need be; return what went wrong, or None."""
        target = _target(owner)
        try:
            async with asyncio.timeout(CALL_SECONDS):
                await self._temporal.start_workflow(
                    target.run,
                    target.start,
                    id=target.workflow_id,
                    task_queue=BILLING,
                    start_signal=owner.handler,
                    start_signal_args=[[event.stripe_event_id for event in events]],
                    id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                    id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                    search_attributes=starting_attributes(
                        user_id=owner.user_id,
                        subscription_id=target.subscription_id,
                    ),
                    static_summary="woken by Stripe's events",
                    rpc_timeout=RPC_TIMEOUT,
                )
        except _CALL_FAILED as error:
            text = f"{type(error).__name__}: {error}"
            log.warning("webhook_delivery_failed", workflow_id=target.workflow_id, error=text)
            if _is_outage(error):
                self._outage = text
            return text
        return None


class _Target(NamedTuple):
    """The workflow that hears of an owner's events."""

    run: Callable[..., Awaitable[Any]]
    start: SubscriptionStart | PaymentStart
    workflow_id: str
    subscription_id: UUID | None = None


def _target(owner: Owner) -> _Target:
    if owner.handler is Handler.PAYMENT_HINT:
        return _Target(
            PaymentWorkflow.run,
            PaymentStart(payment_id=owner.our_id),
            payment_workflow_id(owner.our_id),
        )
    return _Target(
        SubscriptionWorkflow.run,
        SubscriptionStart(subscription_id=owner.our_id),
        subscription_workflow_id(owner.our_id),
        owner.our_id,
    )


def _is_outage(error: Exception) -> bool:
    """Tell whether all other calls would fail too."""
    is_timeout = isinstance(error, TimeoutError)
    return is_timeout or from_temporal(error).error_code == "temporal_unavailable"


def _reference(event: WebhookEvent) -> Reference | None:
    """Read which subscription or payment an event is about; None if it is for nobody.

    Raises:
        ValueError: The body is no JSON object.
        RuntimeError: The body cannot be decompressed.
    """
    body = orjson.loads(unpacked(event.body))
    if not isinstance(body, dict):
        raise ValueError("the body is no object")  # noqa: TRY004 - like any other bad body
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
