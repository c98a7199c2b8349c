"""Routes for the files that runs make."""

from typing import Any
from uuid import UUID

from fastapi.responses import Response

from api.deps import PagingDep, SessionsDep
from api.http.routing import ApiRouter
from api.lookup import or_404
from api.openapi.problems import no_such, problems
from api.routes.agent_run_reads import OwnDep
from api.schemas.artifacts import ArtifactOut
from api.schemas.common import Listing
from database.agents.artifacts import ArtifactRepository
from domain.agents.artifacts import MEDIA_TYPES

router = ApiRouter(prefix="/agent-runs", tags=["agent-runs"])

# Reason: models have written these files. No browser may take one for a page of this origin.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
}
_FILE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The content of the file, to be saved under its name.",
        "content": {
            media_type: {"schema": {"type": "string", "format": "binary"}}
            for media_type in MEDIA_TYPES
        },
    },
}


@router.get("/{agent_run_id}/artifacts", responses=problems(no_such("agent run")))
async def list_agent_run_artifacts(
    run: OwnDep, sessions: SessionsDep, paging: PagingDep
) -> Listing[ArtifactOut]:
    """List the files that a run has made, newest first."""
    async with sessions() as session:
        page = await ArtifactRepository(session).list(
            None, paging.limit, paging.cursor, {"agent_run_id": run.agent_run_id}
        )
    return Listing[ArtifactOut].of(page, ArtifactOut.of)


@router.get(
    "/{agent_run_id}/artifacts/{artifact_id}",
    response_class=Response,
    responses=_FILE | problems(no_such("agent run"), no_such("artifact")),
)
async def get_agent_run_artifact(artifact_id: UUID, run: OwnDep, sessions: SessionsDep) -> Response:
    """Return the content of a file that a run has made.

    It is sent to be saved: a browser does not show it, and runs nothing in it.
    """
    async with sessions() as session:
        row = await ArtifactRepository(session).with_content(run.agent_run_id, artifact_id)
    found = or_404(row, "artifact")
    # Reason: names have no characters that need an escape.
    disposition = {"Content-Disposition": f'attachment; filename="{found.name}"'}
    return Response(found.content, media_type=found.media_type, headers=_HEADERS | disposition)
