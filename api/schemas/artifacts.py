"""Schemas of the files that runs make."""

from datetime import datetime
from typing import Self
from uuid import UUID

from pydantic import ConfigDict, Field

from api.schemas.common import Output
from database.agents.models import RunArtifact


class ArtifactOut(Output):
    """A file that a run has made, without its content."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "artifact_id": "9d2f6c1e-4b7a-4e3d-8c5f-1a2b3c4d5e6f",
                    "agent_run_id": "3c2d51f0-8a4e-4b7f-9c1d-6e2f7a8b9c0d",
                    "user_id": "e3a1c5d7-9b2f-4c6e-8d0a-1f3b5c7d9e2a",
                    "call_id": "7e6d5c4b-3a29-4817-9605-f4e3d2c1b0a9",
                    "name": "chart.svg",
                    "media_type": "image/svg+xml",
                    "size_bytes": 2841,
                    "sha256": "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
                    "created_at": "2026-11-23T09:00:00Z",
                }
            ]
        }
    )

    artifact_id: UUID
    agent_run_id: UUID
    user_id: UUID
    call_id: UUID = Field(description="The tool call that made it.")
    name: str
    media_type: str
    size_bytes: int
    sha256: str = Field(description="Digest of the content.")
    created_at: datetime

    @classmethod
    def of(cls, row: RunArtifact) -> Self:
        """Render a row."""
        return cls(**{name: getattr(row, name) for name in cls.model_fields})
