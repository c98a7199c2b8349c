"""Repository of run events; the caller owns the transaction."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Select,
    Text,
    Uuid,
    bindparam,
    cast,
    column,
    func,
    insert,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased
from sqlalchemy.sql.selectable import TableValuedAlias

from database.agents.models import AgentRun, RunEvent
from domain.agents.run_events import NewRunEvent, RunEventKind
from domain.errors import NotFoundError

RUN_EVENTS_CHANNEL = "run_events"
# Reason: NOTIFY takes less than 8,000 bytes, and an id with its comma has 37.
RUNS_PER_NOTIFY = 200

Notes = Sequence[NewRunEvent]


class WatchedRun(NamedTuple):
    """The state of a run at the beginning of its stream."""

    agent_run_id: UUID
    user_id: UUID
    run_status: str
    last_event_seq: int
    completed_at: datetime | None


_WATCHED = select(
    AgentRun.agent_run_id,
    AgentRun.user_id,
    AgentRun.run_status,
    AgentRun.last_event_seq,
    AgentRun.completed_at,
)


def _rows(name: str, **columns: tuple[type[Any], str]) -> TableValuedAlias:
    """Build a table from parameters that are lists, one per column."""
    arrays = (bindparam(given, type_=ARRAY(kind)) for kind, given in columns.values())
    typed = (column(title, kind) for title, (kind, _) in columns.items())
    return func.unnest(*arrays).table_valued(*typed).render_derived(name=name)


def _store() -> Select[Any]:
    """Build the statement that numbers and stores events and notifies listeners."""
    notes = _rows(
        "notes",
        agent_run_id=(Uuid, "note_run_ids"),
        place=(BigInteger, "places"),
        kind=(Text, "kinds"),
        event_data=(JSONB, "datas"),
    )
    counts = _rows(
        "counts",
        agent_run_id=(Uuid, "run_ids"),
        note_count=(BigInteger, "note_counts"),
    )
    locked = (
        select(AgentRun.agent_run_id, counts.c.note_count)
        .join(counts, counts.c.agent_run_id == AgentRun.agent_run_id)
        .where(AgentRun.completed_at.is_(None))
        .order_by(AgentRun.agent_run_id)
        .with_for_update(key_share=True, of=AgentRun)
        .cte("locked")
    )
    seq = AgentRun.last_event_seq
    numbered = (
        update(AgentRun)
        .where(AgentRun.agent_run_id == locked.c.agent_run_id)
        .values(last_event_seq=seq + locked.c.note_count)
        .returning(
            AgentRun.agent_run_id,
            seq,
            (seq - locked.c.note_count + 1).label("first_seq"),
        )
        .cte("numbered")
    )
    events = select(
        notes.c.agent_run_id,
        numbered.c.first_seq + notes.c.place,
        notes.c.kind,
        notes.c.event_data,
    ).join(numbered, numbered.c.agent_run_id == notes.c.agent_run_id)
    stored = insert(RunEvent).from_select(["agent_run_id", "seq", "kind", "event_data"], events)
    ids = func.string_agg(cast(numbered.c.agent_run_id, Text), ",")
    notice = select(func.pg_notify(RUN_EVENTS_CHANNEL, ids)).scalar_subquery()
    return select(numbered.c.agent_run_id, numbered.c.last_event_seq, notice).add_cte(
        stored.cte("stored"),
    )


def _following() -> Select[RunEvent]:
    """Build the statement that selects the next events of each run, by one index scan per run."""
    positions = _rows("positions", agent_run_id=(Uuid, "run_ids"), after=(BigInteger, "after"))
    walk = (
        select(RunEvent)
        .where(RunEvent.agent_run_id == positions.c.agent_run_id, RunEvent.seq > positions.c.after)
        .order_by(RunEvent.seq)
        .limit(bindparam("event_limit", type_=BigInteger))
        .lateral("walk")
    )
    found = aliased(RunEvent, walk)
    return (
        select(found)
        .select_from(positions.join(walk, true()))
        .order_by(found.agent_run_id, found.seq)
    )


# Reason: building these statements takes longer than executing them.
_STORE = _store()
_FOLLOWING = _following()


class RunEventRepository:
    """Reads and writes `run_events` within one session.

    The numbers of a run have no gaps and become visible in order, because a writer locks the row of
    the run until it commits.
    """

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def append(self, agent_run_id: UUID, notes: Notes) -> int:
        """Store events of a run; listeners are notified when the transaction commits.

        The end of a run must append `done` before it sets `completed_at`, in one transaction.

        Args:
            agent_run_id: Run that the events belong to.
            notes: New events, in order.

        Returns:
            Number of the last event.

        Raises:
            NotFoundError: There is no such run, or it has ended: `done` is its last event.
        """
        last = await self.append_many({agent_run_id: notes})
        if agent_run_id not in last:
            raise NotFoundError("there is no such run, or it has ended")
        return last[agent_run_id]

    async def append_many(self, by_run: Mapping[UUID, Notes]) -> dict[UUID, int]:
        """Store events of several runs, with one notification for all of them.

        Args:
            by_run: New events by run, in order.

        Returns:
            The last number of each run. Runs that have ended or do not exist are left out and
            nothing is stored for them, so that an abandoned attempt adds no event after `done`.
        """
        last: dict[UUID, int] = {}
        # Reason: all writers take locks in the same order, so that they cannot deadlock.
        runs = sorted(by_run)
        for first in range(0, len(runs), RUNS_PER_NOTIFY):
            batch = {run: by_run[run] for run in runs[first : first + RUNS_PER_NOTIFY]}
            rows = await self._session.execute(_STORE, _columns(batch))
            last |= {row.agent_run_id: row.last_event_seq for row in rows}
        return last

    async def holds(self, agent_run_id: UUID, seq: int, note: NewRunEvent) -> bool:
        """Tell whether an event is stored, after waiting for transactions that may store it."""
        await self._session.execute(
            select(AgentRun.agent_run_id)
            .where(AgentRun.agent_run_id == agent_run_id)
            .with_for_update(key_share=True),
        )
        found = await self._session.get(RunEvent, (agent_run_id, seq))
        return found is not None and (found.kind, found.event_data) == (note.kind, note.data)

    async def list(self, agent_run_id: UUID, after: int, limit: int) -> Sequence[RunEvent]:
        """Return events with numbers above `after`, oldest first."""
        return await self.list_many({agent_run_id: after}, limit)

    async def streamed_text(self, agent_run_id: UUID, step: int, attempt: int) -> str:
        """Return the text that an attempt at a step has streamed so far."""
        data = RunEvent.event_data
        statement = (
            select(data["text"].astext)
            .where(
                RunEvent.agent_run_id == agent_run_id,
                RunEvent.kind == RunEventKind.TOKEN,
                data["step"].as_integer() == step,
                data["attempt"].as_integer() == attempt,
            )
            .order_by(RunEvent.seq)
        )
        return "".join((await self._session.scalars(statement)).all())

    async def list_many(self, after: Mapping[UUID, int], limit: int) -> Sequence[RunEvent]:
        """Return the next events of several runs, each run's oldest first.

        Args:
            after: Number after which to begin, by run.
            limit: Most events per run.
        """
        parameters = {"run_ids": list(after), "after": list(after.values()), "event_limit": limit}
        return (await self._session.scalars(_FOLLOWING, parameters)).all()

    async def owner_of(self, agent_run_id: UUID, user_id: UUID | None) -> WatchedRun | None:
        """Return a run of this user, or None; for `user_id` None, of any user."""
        statement = _WATCHED.where(AgentRun.agent_run_id == agent_run_id)
        if user_id is not None:
            statement = statement.where(AgentRun.user_id == user_id)
        row = (await self._session.execute(statement)).one_or_none()
        return None if row is None else WatchedRun(*row)


def _columns(by_run: Mapping[UUID, Notes]) -> dict[str, list[Any]]:
    """Return the parameters of `_STORE` for these events."""
    noted = [
        (run, place, note) for run, notes in by_run.items() for place, note in enumerate(notes)
    ]
    return {
        "run_ids": list(by_run),
        "note_counts": [len(notes) for notes in by_run.values()],
        "note_run_ids": [run for run, _, _ in noted],
        "places": [place for _, place, _ in noted],
        "kinds": [note.kind for _, _, note in noted],
        "datas": [note.data for _, _, note in noted],
    }
