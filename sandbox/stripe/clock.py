"""The default clock, and the jobs that come due on it or on a test clock."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from sandbox.stripe.checks import Referee
from sandbox.stripe.session import Session
from sandbox.stripe.store import Row, Store

Job = Callable[[Session, str], None]
_LONGEST_WAIT = 3_600.0
ARRIVE = "arrive_test_clock"
"""The job that ends an advance of a test clock; while there is one, the clock is on its way."""

_NEXT_ON_TEST_CLOCKS = """
SELECT jobs.* FROM jobs JOIN jobs AS arrival
  ON arrival.clock = jobs.clock AND arrival.kind = ? AND jobs.due_at <= arrival.due_at
ORDER BY jobs.due_at, jobs.kind = ?, jobs.seq LIMIT 1
"""
log = logging.getLogger("sandbox.stripe.clock")


class Clock:
    """Real time plus what was advanced; it never goes back."""

    def __init__(self, store: Store) -> None:
        self._store = store
        row = store.db.row("SELECT value FROM settings WHERE name = 'offset'")
        self._offset: float = row["value"] if row else 0.0

    def now(self) -> float:
        """Return the sandbox's time in unix seconds."""
        return time.time() + self._offset

    def move_to(self, moment: float) -> None:
        """Advance to `moment`, unless it is past already."""
        ahead = moment - self.now()
        if ahead > 0:
            self._offset += ahead
            self._store.db.run(
                "INSERT INTO settings VALUES ('offset', ?) "
                "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                self._offset,
            )

    def reset(self) -> None:
        """Go back to real time."""
        self._offset = 0.0


class Units(Protocol):
    """Where units of work come from."""

    writer: asyncio.Lock
    referee: Referee

    def session(self, now: int, *, test_clock: str | None = None) -> Session:
        """Open one at a moment of the default clock or of a test clock."""

    def close(self, session: Session) -> None:
        """Write its events down."""


class Scheduler:
    """Does due jobs in order, each at its own moment, while no other writer is at work."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        jobs: Mapping[str, Job],
        *,
        units: Units,
    ) -> None:
        self._store = store
        self._clock = clock
        self._jobs = jobs
        self._units = units
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Look at the jobs again: there may be an earlier one."""
        self._wake.set()

    async def advance(self, seconds: float) -> None:
        """Move the clock, doing everything that comes due on the way."""
        async with self._units.writer:
            target = self._clock.now() + seconds
            await self._run_due(target)
            self._clock.move_to(target)
        self.wake()

    async def run(self) -> None:
        """Do jobs as real time makes them due, for ever."""
        while True:
            self._wake.clear()
            async with self._units.writer:
                await self._run_due(self._clock.now())
            await self._run_test_clocks()
            next_at = self._store.db.row(
                "SELECT min(due_at) AS due_at FROM jobs WHERE clock IS NULL"
            )
            due_at = next_at["due_at"] if next_at else None
            wait = _LONGEST_WAIT if due_at is None else due_at - self._clock.now()
            # Reason: on 3.11 `wait_for` can swallow the cancellation that is to end this loop.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(max(wait, 0.0), _LONGEST_WAIT)):
                    await self._wake.wait()

    async def _run_due(self, until: float) -> None:
        while True:
            job = self._store.db.row(
                "SELECT * FROM jobs WHERE clock IS NULL AND due_at <= ? "
                "ORDER BY due_at, seq LIMIT 1",
                until,
            )
            if job is None:
                return
            self._clock.move_to(job["due_at"])
            self._do(job)
            # Reason: reads and deliveries go on between two jobs; writers wait for the lock.
            await asyncio.sleep(0)

    async def _run_test_clocks(self) -> None:
        """Bring all test clocks that are advancing to where they are going."""
        while True:
            async with self._units.writer:
                job = self._store.db.row(_NEXT_ON_TEST_CLOCKS, ARRIVE, ARRIVE)
                if job is None:
                    return
                self._do(job)
            # Reason: others may write meanwhile; what lives on these clocks refuses to be changed.
            await asyncio.sleep(0)

    def _do(self, job: Row) -> None:
        session = self._units.session(job["due_at"], test_clock=job["clock"])
        try:
            with self._store.db.transaction():
                self._store.db.run("DELETE FROM jobs WHERE seq = ?", job["seq"])
                self._jobs[job["kind"]](session, job["object_id"])
                self._units.close(session)
        except Exception as error:
            log.exception("job %s of %s failed and is dropped", job["kind"], job["object_id"])
            self._units.referee.failure(f"job {job['kind']}", error)
            self._store.db.run("DELETE FROM jobs WHERE seq = ?", job["seq"])
