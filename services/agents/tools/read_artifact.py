"""Tool `read_artifact`: reads a part of a text file of the run's conversation."""

from agents.tools.read_artifact import READ_ARTIFACT, ReadArtifact
from database.agents.artifacts import ArtifactRepository
from database.agents.models import AgentRun, ToolCall
from domain.agents.artifacts import read_page, text_of
from domain.agents.tools.tool_calls import ToolCallStatus
from domain.errors import InvalidInputError, NotFoundError
from services.agents.tools.catalog import Effect, Tool, ToolResources


async def read_artifact(resources: ToolResources, run: AgentRun, call: ToolCall) -> Effect:
    """Read a part of a file.

    Raises:
        NotFoundError: The conversation has no such file (`unknown_artifact`).
        InvalidInputError: The file is no text (`artifact_not_text`).
    """
    wanted = ReadArtifact.model_validate(call.arguments_data)
    async with resources.sessions() as session:
        row = await ArtifactRepository(session).in_conversation(run, wanted.artifact_id)
    if row is None:
        raise NotFoundError("this conversation has no such file", "unknown_artifact")
    if (text := text_of(row.content)) is None:
        raise InvalidInputError(f"{row.name} is no text in UTF-8", "artifact_not_text")
    page = read_page(text, wanted.offset, wanted.length)
    return Effect(ToolCallStatus.DONE, {"name": row.name, **page._asdict()})


READ_ARTIFACT_TOOL = Tool(READ_ARTIFACT, read_artifact)
