"""Repository of the schedules of runs; the caller owns the transaction."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from database.agents.models import RunSchedule
from database.repository import OwnedRepository


class RunScheduleRepository(OwnedRepository[RunSchedule]):
    """Reads and writes `run_schedules` within one session."""

    table = RunSchedule

    async def add(self, values: Mapping[str, Any]) -> None:
        """Store a schedule, unless it is already stored."""
        await self._session.execute(insert(RunSchedule).values(**values).on_conflict_do_nothing())

    async def change(self, run_schedule_id: UUID, values: Mapping[str, Any]) -> None:
        """Change some columns of a schedule."""
        await self._session.execute(
            update(RunSchedule)
            .where(RunSchedule.run_schedule_id == run_schedule_id)
            .values(**values),
        )

    async def count(self, user_id: UUID) -> int:
        """Return how many schedules a user has."""
        statement = select(func.count()).where(RunSchedule.user_id == user_id)
        return await self._session.scalar(statement) or 0

    async def delete(self, run_schedule_id: UUID) -> None:
        """Delete a schedule."""
        await self._session.execute(
            delete(RunSchedule).where(RunSchedule.run_schedule_id == run_schedule_id),
        )
