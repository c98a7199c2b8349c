"""Look-ups that somebody waits for: told on the run's stream while they take long, and bounded."""

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from temporalio import activity

from database.agents.run_events import RunEventRepository
from database.session import Sessions
from domain.agents.run_events import NewRunEvent, RunEventKind
from domain.errors import UnavailableError

# Reason: with the pauses between its tries, a look-up is over after some 20 seconds.
PATIENCE = timedelta(seconds=15)
TELL_AFTER_SECONDS = 2.0

CHROMA = "chroma"
EMBEDDINGS = "embeddings"

Answer = TypeVar("Answer")


class LookUps:
    """Waits for outside systems on behalf of runs."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def wait(
        self,
        agent_run_id: UUID,
        step: str,
        what: str,
        work: Coroutine[Any, Any, Answer],
    ) -> Answer:
        """Wait for a part of a look-up; the run's stream tells if it takes long, or fails.

        Args:
            agent_run_id: Whose stream.
            step: What the run is doing: `retrieve`, or a tool's name.
            what: What is waited for.
            work: The part.

        Raises:
            UnavailableError: It is down.
        """
        task = asyncio.ensure_future(work)
        try:
            done, _ = await asyncio.wait({task}, timeout=TELL_AFTER_SECONDS)
            if not done or isinstance(task.exception(), UnavailableError):
                await self.tell(agent_run_id, {"step": step, "waiting_for": what})
            return await task
        finally:
            task.cancel()

    async def tell(self, agent_run_id: UUID, facts: dict[str, Any]) -> None:
        """Tell on a run's stream where it is; one that is over takes nothing more."""
        note = NewRunEvent(kind=RunEventKind.STEP, data=facts)
        async with self._sessions.begin() as session:
            await RunEventRepository(session).append_many({agent_run_id: [note]})


def is_overdue(patience: timedelta = PATIENCE) -> bool:
    """Tell whether the activity at hand, all of its tries included, has taken this long."""
    return datetime.now(UTC) - activity.info().scheduled_time >= patience
