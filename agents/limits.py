"""How much a user may say to an agent at once, reckoned like everything that models read."""

from typing import Any

from agents.registry import prompt_text
from agents.spec import AgentSpec
from agents.tools import TOOLS
from domain.agents.runs import MAX_UNREAD_MESSAGES, TOO_MANY_MESSAGES
from domain.errors import ApplicationError, InvalidInputError, TooManyRequestsError
from domain.llm.token_estimates import TOKENS_PER_MESSAGE, Unread, worst_case, worst_case_of_tools

# What the model has called last, and the results of it, find room beside what a user says.
RESULT_TOKENS = 512
# Of the room for a user's words the input may take this part; the rest is for what comes later.
INPUT_PART = 0.9


def room_for_user(spec: AgentSpec, prompt_version: str) -> int:
    """Return how many tokens the input and later messages may take together.

    Args:
        spec: The agent.
        prompt_version: Which of its prompts is read with them.
    """
    tools = worst_case_of_tools(TOOLS[name].definition for name in spec.tools)
    prompt = worst_case(prompt_text(spec.name, prompt_version)) + TOKENS_PER_MESSAGE
    # Reason: an answer is counted in real tokens, and is read again at its worst case.
    answer = 2 * spec.max_answer_tokens + TOKENS_PER_MESSAGE
    return spec.context_tokens - tools - prompt - answer - RESULT_TOKENS


def check_input(text: str, spec: AgentSpec, prompt_version: str) -> None:
    """Refuse an input that the agent's model could not read.

    Args:
        text: The user's words.
        spec: The agent.
        prompt_version: Which of its prompts is read with them.

    Raises:
        InvalidInputError: It is too long (`input_too_long`); `details` has its size and the limit.
    """
    limit = int(room_for_user(spec, prompt_version) * INPUT_PART)
    if (size := _size(text)) > limit:
        raise InvalidInputError(
            f"the input takes about {size} tokens, and the agent can read {limit}",
            "input_too_long",
            _facts(size, limit),
        )


def check_message(text: str, unread: Unread, spec: AgentSpec, prompt_version: str) -> None:
    """Refuse a message that the run's model could not read with all that waits to be read.

    Args:
        text: The user's words.
        unread: What waits to be read, with the input.
        spec: The agent.
        prompt_version: Which of its prompts is read with them.

    Raises:
        InvalidInputError: It finds no room beside the input (`message_too_long`).
        TooManyRequestsError: It has to wait until the model has read what was said before
            (`too_many_messages`).
    """
    room, size = room_for_user(spec, prompt_version), _size(text)
    left = room - unread.token_count
    if size <= left and unread.message_count < MAX_UNREAD_MESSAGES:
        return
    is_alone = unread.message_count <= 1
    if is_alone:
        raise InvalidInputError(
            f"the message takes about {size} tokens, and {max(0, left)} are left beside the input",
            "message_too_long",
            _facts(size, max(0, left)),
        )
    raise too_many(_facts(size, max(0, left)) | {"unread_message_count": unread.message_count})


def too_many(details: dict[str, Any]) -> ApplicationError:
    """Return what a message is refused with until the model has read those before it."""
    return TooManyRequestsError(
        "the run has many messages that the model has not read yet; try again later",
        TOO_MANY_MESSAGES,
        details,
    )


def _size(text: str) -> int:
    return worst_case(text) + TOKENS_PER_MESSAGE


def _facts(size: int, limit: int) -> dict[str, int]:
    return {"token_count": size, "limit_token_count": limit}
