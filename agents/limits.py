"""Limits of the length of user messages to an agent, in estimated tokens."""

from collections.abc import Iterable
from typing import Any

from agents.registry import prompt_text
from agents.spec import AgentSpec
from domain.agents.runs import MAX_UNREAD_MESSAGES, TOO_MANY_MESSAGES
from domain.errors import ApplicationError, InvalidInputError, TooManyRequestsError
from domain.llm.messages import ToolDefinition
from domain.llm.token_estimates import (
    TOKENS_PER_MESSAGE,
    Unread,
    estimate_tokens,
    estimate_tool_tokens,
)

# Tokens reserved for the latest tool calls and their results.
RESULT_TOKENS = 512
# Share of the user's room that the input may take; the rest is for later messages.
INPUT_PART = 0.9


def user_token_limit(spec: AgentSpec, prompt_version: str, tools: Iterable[ToolDefinition]) -> int:
    """Return how many tokens the input and later messages may take together.

    Args:
        spec: Spec of the agent.
        prompt_version: Version of the prompt that is read with the messages.
        tools: The agent's tools, which are read with the messages.
    """
    tool_tokens = estimate_tool_tokens(tools)
    prompt = estimate_tokens(prompt_text(spec.name, prompt_version)) + TOKENS_PER_MESSAGE
    # Reason: an answer is limited in real tokens, but estimated when it is read again.
    answer = 2 * spec.max_answer_tokens + TOKENS_PER_MESSAGE
    return spec.context_tokens - tool_tokens - prompt - answer - RESULT_TOKENS


def check_input(
    text: str, spec: AgentSpec, prompt_version: str, tools: Iterable[ToolDefinition]
) -> None:
    """Refuse an input that is too long for the agent's model.

    Args:
        text: Text of the user.
        spec: Spec of the agent.
        prompt_version: Version of the prompt that is read with the input.
        tools: The agent's tools.

    Raises:
        InvalidInputError: The input is too long (`input_too_long`); `details` has size and limit.
    """
    limit = int(user_token_limit(spec, prompt_version, tools) * INPUT_PART)
    if (size := _size(text)) > limit:
        raise InvalidInputError(
            f"the input has about {size} tokens, and the agent can read {limit}",
            "input_too_long",
            _facts(size, limit),
        )


def check_message(
    text: str,
    unread: Unread,
    spec: AgentSpec,
    prompt_version: str,
    tools: Iterable[ToolDefinition],
) -> None:
    """Refuse a message that the model cannot read together with the other unread messages.

    Args:
        text: Text of the user.
        unread: Size of the input and the unread messages.
        spec: Spec of the agent.
        prompt_version: Version of the prompt that is read with the messages.
        tools: The agent's tools.

    Raises:
        InvalidInputError: The message is too long to be read with the input (`message_too_long`).
        TooManyRequestsError: The model has to read earlier messages first (`too_many_messages`).
    """
    room, size = user_token_limit(spec, prompt_version, tools), _size(text)
    left = room - unread.token_count
    if size <= left and unread.message_count < MAX_UNREAD_MESSAGES:
        return
    is_alone = unread.message_count <= 1
    if is_alone:
        raise InvalidInputError(
            f"the message has about {size} tokens, and {max(0, left)} are left beside the input",
            "message_too_long",
            _facts(size, max(0, left)),
        )
    raise too_many_messages_error(
        _facts(size, max(0, left)) | {"unread_message_count": unread.message_count}
    )


def too_many_messages_error(details: dict[str, Any]) -> ApplicationError:
    """Return the error for a message while too many others are unread."""
    return TooManyRequestsError(
        "the run has many messages that the model has not read yet; try again later",
        TOO_MANY_MESSAGES,
        details,
    )


def _size(text: str) -> int:
    return estimate_tokens(text) + TOKENS_PER_MESSAGE


def _facts(size: int, limit: int) -> dict[str, int]:
    return {"token_count": size, "limit_token_count": limit}
