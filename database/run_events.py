"""All SQL about the streams of runs. Never commits: the caller owns the transaction."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
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
    update,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased
from sqlalchemy.sql.dml import ReturningUpdate
from sqlalchemy.sql.elements import ColumnElement

from database.agent_models import AgentRun, RunEvent
from domain.errors import NotFoundError
from domain.run_events import RunEventKind, RunEventNote

RUN_EVENTS_CHANNEL = "run_events"
# Reason: NOTIFY takes less than 8,000 bytes, and an id with its comma has 37.
RUNS_PER_NOTIFY = 200

Notes = Sequence[RunEventNote]


class WatchedRun(NamedTuple):
    """A run as its stream begins."""

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


class RunEventRepository:
    """Reads and writes `run_events` within one session.

    A run's numbers have no gap and are seen in their order: whoever takes some holds the row of the
    run locked until they commit.
    """

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def append(self, agent_run_id: UUID, notes: Notes) -> int:
        """Store what happened, and tell who listens once the transaction commits.

        A run's end must append `done` before it sets `completed_at`, in the same transaction.

        Args:
            agent_run_id: Whose stream it is.
            notes: What happened, in order.

        Returns:
            The number of the last one.

        Raises:
            NotFoundError: There is no such run, or it is over: `done` is the last of its stream.
        """
        last = await self._session.scalar(
            update(AgentRun)
            .where(AgentRun.agent_run_id == agent_run_id, AgentRun.completed_at.is_(None))
            .values(last_event_seq=AgentRun.last_event_seq + len(notes))
            # Reason: a step appends often, and one question is quicker than two.
            .returning(AgentRun.last_event_seq, _notice(str(agent_run_id)))
            .execution_options(synchronize_session=False),
        )
        if last is None:
            raise NotFoundError("there is no such run, or it is over")
        await _insert(self._session, {agent_run_id: notes}, {agent_run_id: last})
        return int(last)

    async def append_many(self, by_run: Mapping[UUID, Notes]) -> dict[UUID, int]:
        """Store what happened in several runs, with one notice for all of them.

        Args:
            by_run: What happened, in order.

        Returns:
            The last number of each run. Runs that have ended, or are gone, take nothing more: an
            attempt that nobody waits for any longer must not speak after `done`.
        """
        rows = await self._session.execute(_taking_numbers(by_run))
        last = {run: seq for run, seq in rows}  # noqa: C416 - a row is no tuple to mypy
        await _insert(self._session, by_run, last)
        await _notify(self._session, last)
        return last

    async def holds(self, agent_run_id: UUID, seq: int, note: RunEventNote) -> bool:
        """Tell whether an event was stored, once no other transaction is about to do so."""
        await self._session.execute(
            select(AgentRun.agent_run_id)
            .where(AgentRun.agent_run_id == agent_run_id)
            .with_for_update(key_share=True),
        )
        found = await self._session.get(RunEvent, (agent_run_id, seq))
        return found is not None and (found.kind, found.event_data) == (note.kind, note.data)

    async def list(self, agent_run_id: UUID, after: int, limit: int) -> Sequence[RunEvent]:
        """Return events with a number above `after`, oldest first."""
        return await self.list_many({agent_run_id: after}, limit)

    async def told_text(self, agent_run_id: UUID, step: int, attempt: int) -> str:
        """Return what one attempt at a step has written so far."""
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
            after: Behind which number to begin, by run.
            limit: Events of one run at the most.
        """
        return (await self._session.scalars(_following(after, limit))).all()

    async def owner_of(self, agent_run_id: UUID, user_id: UUID | None) -> WatchedRun | None:
        """Return a run if it is this user's; anybody's, for None."""
        statement = _WATCHED.where(AgentRun.agent_run_id == agent_run_id)
        if user_id is not None:
            statement = statement.where(AgentRun.user_id == user_id)
        row = (await self._session.execute(statement)).one_or_none()
        return None if row is None else WatchedRun(*row)


def _taking_numbers(by_run: Mapping[UUID, Notes]) -> ReturningUpdate[UUID, int]:
    """Take as many numbers as each run has notes; runs that have ended get none."""
    counts = (
        func.unnest(
            literal(list(by_run), ARRAY(Uuid)),
            literal([len(notes) for notes in by_run.values()], ARRAY(BigInteger)),
        )
        .table_valued(column("agent_run_id", Uuid), column("note_count", BigInteger))
        .render_derived(name="counts")
    )
    # Reason: locks are taken in one order by all, so that no two writers wait for each other.
    locked = (
        select(AgentRun.agent_run_id, counts.c.note_count)
        .join(counts, counts.c.agent_run_id == AgentRun.agent_run_id)
        .where(AgentRun.completed_at.is_(None))
        .order_by(AgentRun.agent_run_id)
        .with_for_update(key_share=True, of=AgentRun)
        .cte("locked")
    )
    return (
        update(AgentRun)
        .where(AgentRun.agent_run_id == locked.c.agent_run_id)
        .values(last_event_seq=AgentRun.last_event_seq + locked.c.note_count)
        .returning(AgentRun.agent_run_id, AgentRun.last_event_seq)
        .execution_options(synchronize_session=False)
    )


def _following(after: Mapping[UUID, int], limit: int) -> Select[RunEvent]:
    """Select the next events of each run: one short walk along the key a run."""
    wanted = (
        func.unnest(
            literal(list(after), ARRAY(Uuid)),
            literal(list(after.values()), ARRAY(BigInteger)),
        )
        .table_valued(column("agent_run_id", Uuid), column("after", BigInteger))
        .render_derived(name="wanted")
    )
    walk = (
        select(RunEvent)
        .where(RunEvent.agent_run_id == wanted.c.agent_run_id, RunEvent.seq > wanted.c.after)
        .order_by(RunEvent.seq)
        .limit(limit)
        .lateral("walk")
    )
    found = aliased(RunEvent, walk)
    return (
        select(found).select_from(wanted.join(walk, true())).order_by(found.agent_run_id, found.seq)
    )


async def _insert(
    session: AsyncSession,
    by_run: Mapping[UUID, Notes],
    last: Mapping[UUID, int],
) -> None:
    """Store numbered events."""
    rows = [
        {"agent_run_id": run, "seq": seq, "kind": note.kind, "event_data": note.data}
        for run, last_seq in last.items()
        for seq, note in enumerate(by_run[run], last_seq - len(by_run[run]) + 1)
    ]
    if rows:
        await session.execute(insert(RunEvent), rows)


async def _notify(session: AsyncSession, runs: Iterable[UUID]) -> None:
    ids = [str(run) for run in runs]
    for first in range(0, len(ids), RUNS_PER_NOTIFY):
        await session.execute(select(_notice(",".join(ids[first : first + RUNS_PER_NOTIFY]))))


def _notice(ids: str) -> ColumnElement[None]:
    """Tell who listens, once the transaction commits."""
    return func.pg_notify(RUN_EVENTS_CHANNEL, ids)
