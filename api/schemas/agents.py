"""Schemas of agents and their prompts."""

from pydantic import ConfigDict, Field

from api.schemas.common import Output


class ToolOut(Output):
    """A tool that an agent may call."""

    name: str
    description: str
    approver_role: str | None = Field(
        description="Role that must approve each call; null if no approval is needed."
    )


class AgentOut(Output):
    """An agent, as its spec defines it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "agent": "research",
                    "description": "Answers from a customer's own documents, with citations.",
                    "pattern": "pipeline",
                    "prompt_version": "v1",
                    "tools": [
                        {
                            "name": "refund_payment",
                            "description": "Refund one of this user's payments.",
                            "approver_role": "admin",
                        }
                    ],
                    "max_step_count": 12,
                }
            ]
        }
    )

    agent: str
    description: str
    pattern: str
    prompt_version: str
    tools: list[ToolOut]
    max_step_count: int


class PromptOut(Output):
    """One version of an agent's prompt."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "agent": "research",
                    "prompt_version": "v1",
                    "is_current": True,
                    "text": "You answer questions…",
                }
            ]
        }
    )

    agent: str
    prompt_version: str
    is_current: bool = Field(description="Whether new runs use it.")
    text: str
