"""Tool `read_artifact`: reads a file that a run of the conversation has made, part by part."""

from datetime import timedelta
from uuid import UUID

from pydantic import Field

from agents.tools.spec import Arguments, ToolSpec

MAX_LENGTH = 10_000


class ReadArtifact(Arguments):
    """Arguments of `read_artifact`."""

    artifact_id: UUID = Field(description="Which file: its artifact_id, as a tool told it.")
    offset: int = Field(
        default=0, ge=0, le=2**31, description="Number of characters to leave out before the part."
    )
    length: int = Field(
        default=8_000, ge=1, le=MAX_LENGTH, description="Most characters of the part."
    )


READ_ARTIFACT = ToolSpec(
    name="read_artifact",
    description=(
        "Read a text file of this conversation, also a tool's result that was too long: the part"
        " from offset on. next_offset is where the next part begins; null at the end."
    ),
    arguments=ReadArtifact,
    patience=timedelta(seconds=15),
    # Reason: a character takes up to six bytes as JSON, and a part that was asked for is not cut.
    output_limit_bytes=6 * MAX_LENGTH + 1_000,
)
