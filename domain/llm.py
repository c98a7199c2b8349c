"""What a model is asked and what it answers, whoever provides it."""

from enum import StrEnum
from typing import Any

from pydantic import Field

from domain.messages import Frozen


class Role(StrEnum):
    """Who speaks."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


class Difficulty(StrEnum):
    """What a step asks of a model; routing makes a model's name of it."""

    SMALL = "small"
    LARGE = "large"


class FinishReason(StrEnum):
    """Why a model stopped. A stream that ends without one is a failure, never an answer."""

    STOP = "stop"
    TOOL_CALLS = "tool_calls"
    LENGTH = "length"
    REFUSED = "refused"


class ToolDefinition(Frozen):
    """A tool as a model sees it.

    Args:
        name: Unique within a request.
        description: When to use it, for the model.
        parameters: JSON schema of its arguments, an object.
    """

    name: str
    description: str
    parameters: dict[str, Any]


class RequestedCall(Frozen):
    """A call that a model asked for.

    Args:
        provider_call_id: The model's own id, which it may repeat.
        tool: The name as the model wrote it.
        arguments: JSON text as the model wrote it; it may be malformed.
    """

    provider_call_id: str
    tool: str
    arguments: str


class ChatMessage(Frozen):
    """One message of a request.

    Args:
        role: Who speaks.
        content: Text; may be empty beside tool calls.
        tool_calls: What an assistant's message asked for.
        provider_call_id: Which call a tool's message answers.
    """

    role: Role
    content: str
    tool_calls: tuple[RequestedCall, ...] = ()
    provider_call_id: str | None = None


class ModelRequest(Frozen):
    """One call of a model.

    Args:
        model: The provider's name of it.
        messages: The system's first.
        tools: What it may ask for.
        max_tokens: It writes no more than this.
        temperature: 0 for the most probable answer.
    """

    model: str
    messages: tuple[ChatMessage, ...]
    tools: tuple[ToolDefinition, ...] = ()
    max_tokens: int = Field(gt=0)
    temperature: float = 0.0


class TokenUsage(Frozen):
    """What a provider says that a call used."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


class ModelReply(Frozen):
    """A whole answer, put together from its stream.

    Args:
        text: What it wrote.
        tool_calls: What it asks for, in its order.
        finish_reason: Why it stopped.
        usage: As reported; None if the provider reported none.
    """

    text: str
    tool_calls: tuple[RequestedCall, ...] = ()
    finish_reason: FinishReason
    usage: TokenUsage | None = None
