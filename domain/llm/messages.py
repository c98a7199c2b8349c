"""Requests to models and their replies, the same for all providers."""

from enum import StrEnum
from typing import Any

from pydantic import Field

from domain.base import Frozen


class Role(StrEnum):
    """Author of a message."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


class Difficulty(StrEnum):
    """Difficulty of a step, by which routing chooses the model."""

    SMALL = "small"
    LARGE = "large"


class ProviderSlot(StrEnum):
    """Which of the configured providers is meant."""

    PRIMARY = "primary"
    FALLBACK = "fallback"


class FinishReason(StrEnum):
    """Why a model stopped; a stream that ends without a reason has failed."""

    STOP = "stop"
    TOOL_CALLS = "tool_calls"
    LENGTH = "length"
    CONTENT_FILTER = "content_filter"
    REFUSED = "refused"


class ToolDefinition(Frozen):
    """A tool as shown to a model.

    Args:
        name: Unique within a request.
        description: When to use the tool, for the model.
        parameters: JSON schema of the arguments, of type object.
    """

    name: str
    description: str
    parameters: dict[str, Any]


class RequestedCall(Frozen):
    """A tool call that a model asked for.

    Args:
        provider_call_id: In a reply, the model's id of the call, which may repeat or be empty; in a
            request, the id that connects the call and its result.
        tool: Name of the tool as the model wrote it.
        arguments: JSON text as the model wrote it; may be malformed.
        parts: Other fields of the call that the provider expects to get back.
        given_id: In a request, the id that the provider gave; empty if it gave none.
    """

    provider_call_id: str
    tool: str
    arguments: str
    parts: dict[str, Any] = {}
    given_id: str = ""


class ProviderCallParts(Frozen):
    """The provider's own fields of one tool call.

    Args:
        id: The provider's id of the call; may be empty.
        parts: Other fields of the call.
    """

    id: str = ""
    parts: dict[str, Any] = {}


class ProviderParts(Frozen):
    """Fields of an answer that the same model expects back; other models cannot read them.

    Args:
        model: Model that wrote the answer.
        parts: Fields of the message, such as reasoning or thinking blocks.
        calls: Fields of each tool call of the message, in order.
        slot: Provider of the model; the same name may be another model there.
    """

    model: str
    slot: ProviderSlot = ProviderSlot.PRIMARY
    parts: dict[str, Any] = {}
    calls: tuple[ProviderCallParts, ...] = ()


class ChatMessage(Frozen):
    """One message of a request.

    Args:
        role: Author of the message.
        content: Text; may be empty if there are tool calls.
        tool_calls: Tool calls that an assistant's message asked for.
        provider_call_id: Call that a tool's message answers.
        provider: Fields that the provider sent with an assistant's message.
    """

    role: Role
    content: str
    tool_calls: tuple[RequestedCall, ...] = ()
    provider_call_id: str | None = None
    provider: ProviderParts | None = None


class ModelRequest(Frozen):
    """Request of one model call.

    Args:
        model: The provider's name of the model.
        slot: Provider that is called.
        messages: Messages of the prompt; the system message is the first.
        tools: Tools that the model may call.
        max_tokens: Most tokens that the model may write.
        temperature: 0 for the most probable answer.
        output_schema: JSON schema of the answer, for servers that can enforce one; None for any.
    """

    model: str
    slot: ProviderSlot = ProviderSlot.PRIMARY
    messages: tuple[ChatMessage, ...]
    tools: tuple[ToolDefinition, ...] = ()
    max_tokens: int = Field(gt=0)
    temperature: float = 0.0
    output_schema: dict[str, Any] | None = None


class TokenUsage(Frozen):
    """Usage of a model call, as the provider reports it.

    Args:
        prompt_tokens: Tokens of the prompt, including those read from or written to a cache.
        completion_tokens: Tokens of the completion, including reasoning.
        cached_prompt_tokens: Tokens of the prompt that came from a cache.
        cache_write_tokens: Tokens of the prompt that were written to a cache.
        reasoning_tokens: Tokens of the completion that were reasoning.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_prompt_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0


class ModelReply(Frozen):
    """Complete reply of a model, assembled from its stream.

    Args:
        text: Text that the model wrote.
        tool_calls: Tool calls that the model asks for, in order.
        finish_reason: Why the model stopped.
        usage: Usage as reported; None if the provider reported none.
        parts: Other fields of the message that the provider expects to get back.
        has_call_as_text: Whether the text contains a tool call that the server did not recognise;
            such a text is not an answer for people.
    """

    text: str
    tool_calls: tuple[RequestedCall, ...] = ()
    finish_reason: FinishReason
    usage: TokenUsage | None = None
    parts: dict[str, Any] = {}
    has_call_as_text: bool = False

    def provider_parts(
        self, model: str, slot: ProviderSlot = ProviderSlot.PRIMARY
    ) -> ProviderParts:
        """Return the fields that must be sent back to the model with this reply.

        Args:
            model: Model that wrote the reply.
            slot: Provider of the model.
        """
        calls = tuple(
            ProviderCallParts(id=call.provider_call_id, parts=call.parts)
            for call in self.tool_calls
        )
        return ProviderParts(model=model, slot=slot, parts=self.parts, calls=calls)
