"""Repository of subscription events; the caller owns the transaction."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Select,
    Uuid,
    column,
    func,
    insert,
    literal,
    select,
    true,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from database.subscriptions.models import SubscriptionEvent
from database.subscriptions.subscriptions import SubscriptionRepository
from domain.subscriptions.events import STATUS_CHANGED
from domain.subscriptions.messages import NewSubscriptionEvent


class SubscriptionEventRepository:
    """Reads and writes `subscription_events` within one session."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def append(self, subscription_id: UUID, notes: Sequence[NewSubscriptionEvent]) -> None:
        """Store new events; events whose source key is already stored are left out.

        Args:
            subscription_id: Subscription whose row the caller has locked, so that numbers have no
                gaps.
            notes: New events, in order.
        """
        known = set(
            await self._session.scalars(
                select(SubscriptionEvent.source_key).where(
                    SubscriptionEvent.subscription_id == subscription_id,
                    SubscriptionEvent.source_key.in_([note.source_key for note in notes]),
                ),
            ),
        )
        fresh = {note.source_key: note for note in notes if note.source_key not in known}
        if not fresh:
            return
        first = await SubscriptionRepository(self._session).take_seqs(subscription_id, len(fresh))
        rows = [
            {
                "subscription_id": subscription_id,
                "seq": seq,
                "kind": note.kind,
                "summary": note.summary,
                "event_data": note.data,
                "source_key": note.source_key,
            }
            for seq, note in enumerate(fresh.values(), first)
        ]
        await self._session.execute(insert(SubscriptionEvent), rows)

    async def list(
        self,
        subscription_id: UUID,
        after: int,
        limit: int,
    ) -> Sequence[SubscriptionEvent]:
        """Return events with numbers above `after`, oldest first."""
        return await self.list_many({subscription_id: after}, limit)

    async def list_since_status(
        self, subscription_id: UUID, limit: int
    ) -> Sequence[SubscriptionEvent]:
        """Return the newest events since the last change of the status but one, oldest first.

        Args:
            subscription_id: The subscription.
            limit: Most events; the oldest ones are left out.
        """
        own = SubscriptionEvent.subscription_id == subscription_id
        changes = select(SubscriptionEvent.seq).where(own, SubscriptionEvent.kind == STATUS_CHANGED)
        before = changes.order_by(SubscriptionEvent.seq.desc()).offset(1).limit(1)
        since = SubscriptionEvent.seq > func.coalesce(before.scalar_subquery(), 0)
        newest = select(SubscriptionEvent).where(own, since)
        newest = newest.order_by(SubscriptionEvent.seq.desc()).limit(limit)
        return (await self._session.scalars(newest)).all()[::-1]

    async def list_many(
        self,
        after: Mapping[UUID, int],
        limit: int,
    ) -> Sequence[SubscriptionEvent]:
        """Return the next events of several subscriptions, oldest first for each.

        Args:
            after: Number after which to begin, by subscription.
            limit: Most events per subscription.
        """
        return (await self._session.scalars(_following(after, limit))).all()


def _following(after: Mapping[UUID, int], limit: int) -> Select[SubscriptionEvent]:
    """Build the statement that selects the next events, by one index scan per subscription."""
    positions = (
        func.unnest(
            literal(list(after), ARRAY(Uuid)),
            literal(list(after.values()), ARRAY(BigInteger)),
        )
        .table_valued(column("subscription_id", Uuid), column("after", BigInteger))
        .render_derived(name="positions")
    )
    walk = (
        select(SubscriptionEvent)
        .where(
            SubscriptionEvent.subscription_id == positions.c.subscription_id,
            SubscriptionEvent.seq > positions.c.after,
        )
        .order_by(SubscriptionEvent.seq)
        .limit(limit)
        .lateral("walk")
    )
    found = aliased(SubscriptionEvent, walk)
    return (
        select(found)
        .select_from(positions.join(walk, true()))
        .order_by(found.subscription_id, found.seq)
    )
