"""Stores the files that runs make, once for each call and name, within the limits of a run."""

import hashlib
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from database.agents.agent_runs import AgentRunRepository
from database.agents.artifacts import ArtifactRepository
from database.agents.models import AgentRun, RunArtifact
from domain.agents.artifacts import NewArtifact, check_artifacts
from domain.ids import artifact_id


async def store_artifacts(
    session: AsyncSession, run: AgentRun, call_id: UUID, files: Sequence[NewArtifact]
) -> list[dict[str, Any]]:
    """Store the files that a tool call has made; what the call has stored before stays as it is.

    Args:
        session: Transaction in which the files are stored.
        run: The run of the call.
        call_id: The tool call.
        files: Files of different names.

    Returns:
        What the model is told of the files, in their order.

    Raises:
        InvalidInputError: A name is not allowed, or a limit is exceeded; nothing is stored.
    """
    # Reason: two calls of one run at the same time must not exceed its limits together.
    await AgentRunRepository(session).lock(run.agent_run_id)
    artifacts = ArtifactRepository(session)
    known = {row.name for row in await artifacts.of_call(call_id)}
    new = [file for file in files if file.name not in known]
    check_artifacts(new, await artifacts.totals(run.agent_run_id))
    for file in new:
        await artifacts.add(_row(run, call_id, file))
    stored = {row.name: row for row in await artifacts.of_call(call_id)}
    return [artifact_facts(stored[file.name]) for file in files]


def artifact_facts(row: RunArtifact) -> dict[str, Any]:
    """Return what a model is told of a file."""
    return {
        "artifact_id": str(row.artifact_id),
        "name": row.name,
        "media_type": row.media_type,
        "size_bytes": row.size_bytes,
    }


def _row(run: AgentRun, call_id: UUID, file: NewArtifact) -> dict[str, Any]:
    return {
        "artifact_id": artifact_id(call_id, file.name),
        "agent_run_id": run.agent_run_id,
        "user_id": run.user_id,
        "call_id": call_id,
        "name": file.name,
        "media_type": file.media_type,
        "size_bytes": len(file.content),
        "sha256": hashlib.sha256(file.content).hexdigest(),
        "content": file.content,
    }
