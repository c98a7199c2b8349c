"""What a model is asked and what it answers, whoever provides it."""

from enum import StrEnum
from typing import Any

from pydantic import Field

from domain.base import Frozen


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
    CONTENT_FILTER = "content_filter"
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
        provider_call_id: The model's own id, which it may repeat or leave empty; in a request, the
            id that ties the call to its result.
        tool: The name as the model wrote it.
        arguments: JSON text as the model wrote it; it may be malformed.
        parts: Other fields that the provider sent with the call and wants back.
        given_id: In a request, the id that the provider gave; empty if it gave none.
    """

    provider_call_id: str
    tool: str
    arguments: str
    parts: dict[str, Any] = {}
    given_id: str = ""


class GivenCall(Frozen):
    """What a provider sent with one call.

    Args:
        id: Its own id of the call; may be empty.
        parts: Other fields of the call.
    """

    id: str = ""
    parts: dict[str, Any] = {}


class ProviderParts(Frozen):
    """What a provider sent with an answer and wants back with it; no other model can read it.

    Args:
        model: Who wrote the answer.
        parts: Fields of the message: reasoning, thinking blocks.
        calls: One for each tool call of the message, in its order.
    """

    model: str
    parts: dict[str, Any] = {}
    calls: tuple[GivenCall, ...] = ()


class ChatMessage(Frozen):
    """One message of a request.

    Args:
        role: Who speaks.
        content: Text; may be empty beside tool calls.
        tool_calls: What an assistant's message asked for.
        provider_call_id: Which call a tool's message answers.
        provider: What the provider sent with an assistant's message.
    """

    role: Role
    content: str
    tool_calls: tuple[RequestedCall, ...] = ()
    provider_call_id: str | None = None
    provider: ProviderParts | None = None


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
    """What a provider says that a call used.

    Args:
        prompt_tokens: All that was read, cached and written to a cache included.
        completion_tokens: All that was written, reasoning included.
        cached_prompt_tokens: Those of the prompt that came from a cache.
        cache_write_tokens: Those of the prompt that were written to a cache.
        reasoning_tokens: Those of the completion that were reasoning.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_prompt_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0


class ModelReply(Frozen):
    """A whole answer, put together from its stream.

    Args:
        text: What it wrote.
        tool_calls: What it asks for, in its order.
        finish_reason: Why it stopped.
        usage: As reported; None if the provider reported none.
        parts: Fields beside the text that the provider wants back with this message.
        has_call_as_text: Whether the text holds a call of an offered tool, which a server has not
            recognised; no answer for a person.
    """

    text: str
    tool_calls: tuple[RequestedCall, ...] = ()
    finish_reason: FinishReason
    usage: TokenUsage | None = None
    parts: dict[str, Any] = {}
    has_call_as_text: bool = False

    def provider_parts(self, model: str) -> ProviderParts:
        """Return what has to go back with this answer.

        Args:
            model: Who wrote it.
        """
        calls = tuple(
            GivenCall(id=call.provider_call_id, parts=call.parts) for call in self.tool_calls
        )
        return ProviderParts(model=model, parts=self.parts, calls=calls)
