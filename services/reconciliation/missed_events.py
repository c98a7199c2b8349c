"""Stores events of Stripe in the inbox that no webhook delivered."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from adapters.stripe.listings import ListedEvent, StripeListings
from database.reconciliation.findings import ComparedRows
from database.reconciliation.marks import ReconciliationMarkRepository
from database.session import Sessions
from database.webhooks.inbox import IncomingEvent, WebhookInboxRepository
from domain.reconciliation.messages import (
    ReconciliationIds,
    ReconciliationScope,
    Repair,
    RepairAction,
    RepairKind,
    StageInput,
    StageResult,
)
from domain.reconciliation.rules import OVERLAP, is_followed
from services.reconciliation.pace import CallPace
from services.reconciliation.repairs import record_repairs


@dataclass(frozen=True)
class MissedEvents:
    """Compares Stripe's events with the inbox.

    Args:
        listings: Lists Stripe's events.
        pace: Pace of the calls.
        sessions: Database sessions.
        settle_seconds: How long an event is waited for before it counts as missed, because its
            webhook may be on its way.
    """

    listings: StripeListings
    pace: CallPace
    sessions: Sessions
    settle_seconds: float

    async def compare_page(self, given: StageInput) -> StageResult:
        """Store the missed events of one page of Stripe's list, newest first.

        Args:
            given: The reconciliation and the page. Events are listed from the newest one that
                the last complete reconciliation of the same scope has seen.

        Raises:
            ApplicationError: Stripe is down, or refuses.
        """
        since = await self._since(given.ids.scope)
        await self.pace.wait()
        page = await self.listings.events(since, given.page)
        newest = given.newest_event_at
        if given.page is None and page.events:
            newest = page.events[0].created_at
        missed = await self._missed(page.events)
        repair_count = await self._store(given.ids, missed) if missed else 0
        if page.next_page is None:
            await self._mark(given.ids.scope, newest or since)
        return StageResult(
            next_page=page.next_page,
            newest_event_at=newest,
            counts={"events_read": len(page.events), "stripe_calls": 1},
            repair_count=repair_count,
        )

    async def _since(self, scope: ReconciliationScope) -> datetime | None:
        async with self.sessions() as session:
            mark = await ReconciliationMarkRepository(session).get(events_mark(scope))
        return None if mark is None else mark.marked_at - OVERLAP

    async def _missed(self, listed: Sequence[ListedEvent]) -> Sequence[ListedEvent]:
        followed = [event for event in listed if is_followed(event.event_type)]
        missed = await self._not_stored(followed)
        if missed:
            await asyncio.sleep(self.settle_seconds)
            missed = await self._not_stored(missed)
        return missed

    async def _not_stored(self, events: Sequence[ListedEvent]) -> Sequence[ListedEvent]:
        async with self.sessions() as session:
            stored = await ComparedRows(session).stored_events(
                [event.stripe_event_id for event in events]
            )
        return [event for event in events if event.stripe_event_id not in stored]

    async def _store(self, ids: ReconciliationIds, missed: Sequence[ListedEvent]) -> int:
        incoming = [
            IncomingEvent(event.stripe_event_id, event.event_type, event.body) for event in missed
        ]
        async with self.sessions.begin() as session:
            await WebhookInboxRepository(session).add(incoming)
            return await record_repairs(session, ids, [_repair(event) for event in missed])

    async def _mark(self, scope: ReconciliationScope, newest: datetime | None) -> None:
        if newest is None:
            return
        async with self.sessions.begin() as session:
            await ReconciliationMarkRepository(session).move(events_mark(scope), newest)


def events_mark(scope: ReconciliationScope) -> str:
    """Return the name of the mark of the newest event that reconciliations of a scope have seen."""
    return f"{scope}_events"


def _repair(event: ListedEvent) -> Repair:
    return Repair(
        kind=RepairKind.EVENT_MISSED,
        resource_id=event.stripe_event_id,
        action=RepairAction.STORED,
        after={"event_type": event.event_type, "event_created_at": event.created_at.isoformat()},
    )
