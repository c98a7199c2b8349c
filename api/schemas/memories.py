"""Schema of memories."""

from pydantic import (
    ConfigDict,
)

from api.schemas.common import Output
from domain.knowledge.documents import Memory


class MemoryOut(Output, Memory):
    """A fact that agents remember about a user."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "memory_id": "a1b2c3d4-e5f6-4a7b-8c9d-0e1f2a3b4c5d",
                    "text": "They travel with a dog.",
                    "created_at": "2026-11-02T10:00:00Z",
                    "score": 0.71,
                },
            ],
        },
    )
