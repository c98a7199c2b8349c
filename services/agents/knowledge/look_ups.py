"""Waits for look-ups on behalf of a run: bounded in time, and slow ones shown on its stream."""

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

# Reason: with the pauses between its attempts, a look-up ends after about 20 seconds.
PATIENCE = timedelta(seconds=15)
TELL_AFTER_SECONDS = 2.0

CHROMA = "chroma"
EMBEDDINGS = "embeddings"

Answer = TypeVar("Answer")


class LookUps:
    """Waits for outside systems on behalf of runs, and reports slow ones on the run's stream."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def wait(
        self,
        agent_run_id: UUID,
        step: str,
        system: str,
        operation: Coroutine[Any, Any, Answer],
    ) -> Answer:
        """Wait for one operation of a look-up, and tell the run's stream if it is slow or fails.

        Args:
            agent_run_id: Run whose stream gets the event.
            step: Current step of the run: `retrieve`, or a tool's name.
            system: Outside system that is waited for.
            operation: The call to wait for.

        Raises:
            UnavailableError: The outside system is down.
        """
        task = asyncio.ensure_future(operation)
        try:
            done, _ = await asyncio.wait({task}, timeout=TELL_AFTER_SECONDS)
            if not done or isinstance(task.exception(), UnavailableError):
                await self.tell(agent_run_id, {"step": step, "waiting_for": system})
            return await task
        finally:
            task.cancel()

    async def tell(self, agent_run_id: UUID, data: dict[str, Any]) -> None:
        """Append a step event to a run's stream; a closed run takes no more events."""
        event = NewRunEvent(kind=RunEventKind.STEP, data=data)
        async with self._sessions.begin() as session:
            await RunEventRepository(session).append_many({agent_run_id: [event]})


def is_overdue(patience: timedelta = PATIENCE) -> bool:
    """Return whether the current activity, including all its attempts, has taken this long."""
    return datetime.now(UTC) - activity.info().scheduled_time >= patience
