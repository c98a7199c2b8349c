"""Stores the memories of completed runs, many at once."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import structlog

from database.agents.due_memories import DueMemory, DueMemoryRepository
from database.agents.models import AgentRun
from database.session import DATABASE_DOWN, Sessions
from domain.errors import ApplicationError
from domain.knowledge.documents import NewMemory
from services.knowledge.search import KnowledgeSearch

POLL_SECONDS = 2.0
# How long the first memory waits for others.
GATHER_SECONDS = 0.1
BATCH_SIZE = 50
LEASE = timedelta(seconds=30)
WRITE_SECONDS = 25.0

log = structlog.get_logger(__name__)


class MemoryWriter:
    """Stores question and answer of each completed run as a memory of its user.

    Runs are claimed for a while, so that several processes may run a writer, and a memory that
    could not be stored is tried again.
    """

    def __init__(self, library: KnowledgeSearch, sessions: Sessions) -> None:
        self._library = library
        self._sessions = sessions
        self._woken = asyncio.Event()
        self._is_down = False

    def wake(self) -> None:
        """Look for memories soon instead of at the next poll."""
        self._woken.set()

    async def run(self) -> None:
        """Store what is due, until cancelled."""
        while True:
            count = 0
            try:
                count = await self.write_due()
            except DATABASE_DOWN as error:
                log.warning("memories_wait_for_database", error=type(error).__name__)
            except Exception:
                log.exception("memories_not_stored")
            if count < BATCH_SIZE:
                await self._pause()

    async def write_due(self) -> int:
        """Store the memories that are due, up to one batch.

        Returns:
            Number of memories that were due.

        Raises:
            OperationalError: The database is down; the errors of `DATABASE_DOWN`.
        """
        async with self._sessions.begin() as session:
            due = await DueMemoryRepository(session).claim(BATCH_SIZE, LEASE)
        if due:
            await self._write(due)
        return len(due)

    async def _pause(self) -> None:
        # Reason: on Python 3.11 `wait_for` can swallow the cancellation that ends the loop.
        with suppress(TimeoutError):
            async with asyncio.timeout(POLL_SECONDS):
                await self._woken.wait()
                await asyncio.sleep(GATHER_SECONDS)
        self._woken.clear()

    async def _write(self, due: Sequence[DueMemory]) -> None:
        """Store memories; if that is refused, each one alone, so that only the bad one is lost."""
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await self._library.remember([memory_of(*each) for each in due])
        except Exception as error:
            is_refused = not isinstance(error, TimeoutError)
            if isinstance(error, ApplicationError):
                is_refused = not error.is_retryable
            if not is_refused:
                self._note_outage(error)
                return
            if len(due) > 1:
                for each in due:
                    await self._write([each])
                return
            # Reason: no retry stores it, and it would hold up the memories of others for ever.
            log.exception("memory_not_stored", agent_run_id=str(due[0].run.agent_run_id))
        self._is_down = False
        async with self._sessions.begin() as session:
            await DueMemoryRepository(session).settle([each.run.agent_run_id for each in due])

    def _note_outage(self, error: Exception) -> None:
        """Log once that memories wait, because each one is tried again."""
        if not self._is_down:
            log.warning("memories_wait", error=str(error) or type(error).__name__)
        self._is_down = True


def memory_of(run: AgentRun, question: str | None) -> NewMemory:
    """Build the memory of a completed run."""
    return NewMemory(
        memory_id=run.agent_run_id,
        user_id=run.user_id,
        text=f"The user asked: {question}\nThe answer was: {run.output}",
        conversation_id=run.conversation_id,
        agent_run_id=run.agent_run_id,
        created_at=run.completed_at or datetime.now(UTC),
    )
