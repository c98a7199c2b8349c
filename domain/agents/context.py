"""Assembles the prompt of a model within a token limit. Pure.

Priorities: the system prompt, the question, user messages since the model's last answer, recent
messages, retrieved passages. A tool call and its results are kept or dropped together.
"""

from collections.abc import Sequence

from domain.base import Frozen
from domain.errors import InvalidInputError
from domain.llm.messages import ChatMessage, Role
from domain.llm.token_estimates import (
    BYTES_PER_TOKEN,
    TOKENS_PER_MESSAGE,
    estimate_message_tokens,
    estimate_tokens,
)

# The end of a tool result that is cut is kept as well, because it closes the fence.
CUT_MARK = "\n[... cut ...]\n"
CUT_END_LENGTH = 64


class NumberedPassage(Frozen):
    """A passage as shown to the model, which cites it as `[number]`."""

    number: int
    text: str


class PromptSources(Frozen):
    """The material of a prompt.

    Args:
        system: Prompt of the agent.
        messages: Messages of the conversation, oldest first.
        question: Index of the message that began the run, which is never left out; None for the
            last user message.
        passages: Passages that retrieval found, the best first.
    """

    system: str
    messages: tuple[ChatMessage, ...]
    question: int | None = None
    passages: tuple[NumberedPassage, ...] = ()


class Prompt(Frozen):
    """An assembled prompt, with the passages it has and the count of messages left out."""

    messages: tuple[ChatMessage, ...]
    passage_numbers: tuple[int, ...]
    dropped_message_count: int


def assemble_prompt(sources: PromptSources, token_limit: int) -> Prompt:
    """Assemble the prompt of a model call.

    Args:
        sources: Material of the prompt.
        token_limit: Most tokens that the whole prompt may have at the worst case.

    Returns:
        The messages for the model; the system message is the first.

    Raises:
        InvalidInputError: System prompt, question and newest message alone are too long
            (`context_too_long`).
    """
    room = token_limit - estimate_message_tokens(ChatMessage(role=Role.SYSTEM, content=""))
    room -= estimate_tokens(sources.system)
    kept = _keep(sources, room)
    room -= sum(_size(messages) for messages in kept)
    text, numbers = sources.system, []
    for passage in sources.passages:
        part = f"\n\n{passage.text}"
        if (size := estimate_tokens(part)) <= room:
            room -= size
            text += part
            numbers.append(passage.number)
    recent = tuple(message for messages in kept for message in messages)
    return Prompt(
        messages=(ChatMessage(role=Role.SYSTEM, content=text), *recent),
        passage_numbers=tuple(numbers),
        dropped_message_count=len(sources.messages) - len(recent),
    )


def _keep(sources: PromptSources, room: int) -> list[Sequence[ChatMessage]]:
    """Return the groups that must be kept, and as many of the newest others as fit."""
    groups = group(sources.messages)
    kept = _pinned(sources, groups)
    room -= sum(_size(groups[index]) for index in kept)
    if not groups or room < 0:
        raise _too_long()
    for index in range(len(groups) - 1, -1, -1):
        if index in kept:
            continue
        if index == len(groups) - 1 and _size(groups[index]) > room:
            # Reason: the newest tool results were paid for; a part of them is better than an error.
            groups[index] = _cut_results(groups[index], room)
        if (size := _size(groups[index])) > room:
            break
        room -= size
        kept.add(index)
    chosen = [groups[index] for index in sorted(kept)]
    # Reason: strict servers refuse a conversation whose first message is the assistant's.
    while chosen[0][0].role is Role.ASSISTANT and len(chosen) > 1:
        chosen.pop(0)
    return chosen


def _pinned(sources: PromptSources, groups: Sequence[Sequence[ChatMessage]]) -> set[int]:
    """Return the indexes of groups never left out: the question and unanswered user messages."""
    heads = [messages[0] for messages in groups]
    users = [index for index, head in enumerate(heads) if head.role is not Role.ASSISTANT]
    answers = [index for index, head in enumerate(heads) if head.role is Role.ASSISTANT]
    unanswered = {index for index in users if index > (answers[-1] if answers else -1)}
    if sources.question is None:
        return unanswered | set(users[-1:])
    asked = sources.messages[sources.question]
    question = [index for index in users if heads[index] == asked]
    return unanswered | set(users[-1:]) | set(question[-1:])


def _cut_results(messages: Sequence[ChatMessage], room: int) -> Sequence[ChatMessage]:
    """Shorten tool results to equal shares of the room that is left."""
    head, *results = messages
    if not results:
        raise _too_long()
    share = (room - estimate_message_tokens(head)) // len(results) - TOKENS_PER_MESSAGE
    if share * BYTES_PER_TOKEN < 2 * (len(CUT_MARK) + CUT_END_LENGTH):
        raise _too_long()
    return (head, *(_cut_to(result, share) for result in results))


def _cut_to(result: ChatMessage, tokens: int) -> ChatMessage:
    """Cut the middle out of a tool result."""
    if estimate_tokens(result.content) <= tokens:
        return result
    end = CUT_MARK + result.content[-CUT_END_LENGTH:]
    size = tokens * BYTES_PER_TOKEN - len(end.encode())
    beginning = result.content.encode()[: max(0, size)].decode(errors="ignore")
    return result.model_copy(update={"content": beginning + end})


def _too_long() -> InvalidInputError:
    return InvalidInputError(
        "the input is longer than the model can read at once", "context_too_long"
    )


def _size(messages: Sequence[ChatMessage]) -> int:
    return sum(estimate_message_tokens(message) for message in messages)


def group(messages: Sequence[ChatMessage]) -> list[Sequence[ChatMessage]]:
    """Group messages so that tool results follow the message that asked for them.

    User messages that arrived while tools ran come after the results.

    Args:
        messages: Oldest first; each tool call has a unique id.

    Returns:
        Groups of one message and the results of its tool calls. Results without a call and calls
        without a result are left out.
    """
    groups: list[list[ChatMessage]] = []
    by_call: dict[str, list[ChatMessage]] = {}
    for message in messages:
        if message.role is Role.TOOL:
            by_call.get(message.provider_call_id or "", []).append(message)
        else:
            groups.append([message])
            by_call |= {call.provider_call_id: groups[-1] for call in message.tool_calls}
    return [kept for each in groups if (kept := _without_open_calls(*each))]


def _without_open_calls(head: ChatMessage, *results: ChatMessage) -> Sequence[ChatMessage]:
    """Drop tool calls without a result, which a canceled run leaves behind."""
    answered = {result.provider_call_id for result in results}
    calls = tuple(call for call in head.tool_calls if call.provider_call_id in answered)
    # Reason: strict servers refuse an assistant message that is empty.
    if head.role is Role.ASSISTANT and not calls and not head.content.strip():
        return ()
    return (head.model_copy(update={"tool_calls": calls}), *results)
