"""Repository of the files that runs make; the caller owns the transaction."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.dialects.postgresql import distinct_on, insert
from sqlalchemy.orm import undefer

from database.agents.models import AgentRun, RunArtifact
from database.repository import OwnedRepository
from domain.agents.artifacts import ArtifactTotals


class ArtifactRepository(OwnedRepository[RunArtifact]):
    """Reads and writes `run_artifacts` within one session; rows come without their content."""

    table = RunArtifact

    async def add(self, values: Mapping[str, Any]) -> None:
        """Store a file, unless the same call has stored one of the same name."""
        await self._session.execute(insert(RunArtifact).values(**values).on_conflict_do_nothing())

    async def of_call(self, call_id: UUID) -> Sequence[RunArtifact]:
        """Return the files that a tool call has made."""
        statement = select(RunArtifact).where(RunArtifact.call_id == call_id)
        return (await self._session.scalars(statement)).all()

    async def totals(self, agent_run_id: UUID) -> ArtifactTotals:
        """Return how many files and bytes a run has stored."""
        statement = select(func.count(), func.coalesce(func.sum(RunArtifact.size_bytes), 0)).where(
            RunArtifact.agent_run_id == agent_run_id
        )
        file_count, byte_count = (await self._session.execute(statement)).one()
        return ArtifactTotals(file_count, int(byte_count))

    async def with_content(self, agent_run_id: UUID, artifact_id: UUID) -> RunArtifact | None:
        """Return a file of a run with its content, or None."""
        statement = select(RunArtifact).where(
            RunArtifact.artifact_id == artifact_id, RunArtifact.agent_run_id == agent_run_id
        )
        return await self._session.scalar(statement.options(undefer(RunArtifact.content)))

    async def in_conversation(self, run: AgentRun, artifact_id: UUID) -> RunArtifact | None:
        """Return a file of the run's conversation with its content, or None."""
        statement = _of_conversation(run).where(RunArtifact.artifact_id == artifact_id)
        return await self._session.scalar(statement.options(undefer(RunArtifact.content)))

    async def newest_named(
        self, run: AgentRun, names: Sequence[str], before: datetime
    ) -> Sequence[RunArtifact]:
        """Return files of the run's conversation with their contents.

        Args:
            run: The run.
            names: Names of the files; of several files of one name the newest is returned.
            before: Only files that were stored before this time.
        """
        statement = (
            _of_conversation(run)
            .where(RunArtifact.name.in_(names), RunArtifact.created_at < before)
            .order_by(
                RunArtifact.name, RunArtifact.created_at.desc(), RunArtifact.artifact_id.desc()
            )
        )
        newest = statement.ext(distinct_on(RunArtifact.name))
        found = await self._session.scalars(newest.options(undefer(RunArtifact.content)))
        return found.all()

    async def names(self, run: AgentRun, limit: int) -> Sequence[str]:
        """Return names of files of the run's conversation."""
        files = _of_conversation(run).subquery()
        statement = select(files.c.name).distinct().order_by(files.c.name).limit(limit)
        return (await self._session.scalars(statement)).all()


def _of_conversation(run: AgentRun) -> Select[RunArtifact]:
    return (
        select(RunArtifact)
        .join(AgentRun, AgentRun.agent_run_id == RunArtifact.agent_run_id)
        .where(AgentRun.conversation_id == run.conversation_id, RunArtifact.user_id == run.user_id)
    )
