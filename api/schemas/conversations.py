"""Schemas of conversations and their messages."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import ConfigDict, Field

from api.schemas.common import Input, Output, Title
from database.agents.models import Message
from domain.llm.messages import Role


class NewConversation(Input):
    """A new conversation."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"title": "Trains"}]})

    title: Title | None = None
    user_id: UUID | None = Field(
        default=None,
        description="User on whose behalf an administrator acts; by default the caller.",
    )


class ConversationOut(Output):
    """A conversation, to which runs add messages."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "conversation_id": "0f7c2b1a-4d3e-4f5a-8b6c-7d8e9f0a1b2c",
                    "user_id": "e3a1c5d7-9b2f-4c6e-8d0a-1f3b5c7d9e2a",
                    "title": "Trains",
                    "created_at": "2026-11-23T09:00:00Z",
                }
            ]
        }
    )

    conversation_id: UUID
    user_id: UUID
    title: str | None
    created_at: datetime


class MessageOut(Output):
    """One message of a conversation."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "message_id": "77aa1b2c-3d4e-4f5a-8b6c-9d0e1f2a3b4c",
                    "seq": 2,
                    "role": "assistant",
                    "content": "It leaves from platform 12 [1].",
                    "tool_calls": [],
                    "call_id": None,
                    "agent_run_id": "3c2d51f0-8a4e-4b7f-9c1d-6e2f7a8b9c0d",
                    "created_at": "2026-11-23T09:00:02Z",
                }
            ]
        }
    )

    message_id: UUID
    seq: int
    role: Role
    content: str
    tool_calls: list[dict[str, Any]]
    call_id: UUID | None
    agent_run_id: UUID | None
    created_at: datetime

    @classmethod
    def of(cls, row: Message) -> "MessageOut":
        """Render the row of a message."""
        facts = {name: getattr(row, name) for name in cls.model_fields if hasattr(row, name)}
        return cls(**facts, tool_calls=row.tool_calls_data)
