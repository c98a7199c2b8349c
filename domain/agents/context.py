"""What a model gets to read, under a limit of tokens. Pure.

In this order of worth: the system's prompt, the question, what the user has said since the model
spoke last, recent messages, relevant passages. A tool call is never parted from its results.
"""

from collections.abc import Sequence

from domain.base import Frozen
from domain.errors import InvalidInputError
from domain.llm.messages import ChatMessage, Role
from domain.llm.token_estimates import (
    BYTES_PER_TOKEN,
    TOKENS_PER_MESSAGE,
    worst_case,
    worst_case_of_message,
)

# Of a tool's result that is too long, its end is kept too: it closes the fence.
CUT_MARK = "\n[... cut ...]\n"
CUT_END_LENGTH = 64


class NumberedPassage(Frozen):
    """A passage as the model sees it: what it cites by `[number]`."""

    number: int
    text: str


class Sources(Frozen):
    """What a prompt is made of.

    Args:
        system: The agent's prompt.
        messages: The conversation, oldest first.
        question: Which of the messages began the run: it is never left out, however much tools have
            brought since. None: the last one.
        passages: What retrieval found, the best first.
    """

    system: str
    messages: tuple[ChatMessage, ...]
    question: int | None = None
    passages: tuple[NumberedPassage, ...] = ()


class Context(Frozen):
    """A prompt, and what found no room in it."""

    messages: tuple[ChatMessage, ...]
    passage_numbers: tuple[int, ...]
    dropped_message_count: int


def assemble(sources: Sources, token_limit: int) -> Context:
    """Put a prompt together.

    Args:
        sources: What there is.
        token_limit: The whole prompt at its worst case takes no more than this.

    Returns:
        The messages for the model; the system's one first.

    Raises:
        InvalidInputError: Prompt, question and newest message alone are too long
            (`context_too_long`).
    """
    room = token_limit - worst_case_of_message(ChatMessage(role=Role.SYSTEM, content=""))
    room -= worst_case(sources.system)
    kept = _keep(sources, room)
    room -= sum(_size(messages) for messages in kept)
    text, numbers = sources.system, []
    for passage in sources.passages:
        part = f"\n\n{passage.text}"
        if (size := worst_case(part)) <= room:
            room -= size
            text += part
            numbers.append(passage.number)
    recent = tuple(message for messages in kept for message in messages)
    return Context(
        messages=(ChatMessage(role=Role.SYSTEM, content=text), *recent),
        passage_numbers=tuple(numbers),
        dropped_message_count=len(sources.messages) - len(recent),
    )


def _keep(sources: Sources, room: int) -> list[Sequence[ChatMessage]]:
    """Choose what must be read, and as many of the newest groups as there is room for."""
    groups = group(sources.messages)
    kept = _pinned(sources, groups)
    room -= sum(_size(groups[place]) for place in kept)
    if not groups or room < 0:
        raise _too_long()
    for place in range(len(groups) - 1, -1, -1):
        if place in kept:
            continue
        if place == len(groups) - 1 and _size(groups[place]) > room:
            # Reason: what a tool has just brought was paid for; a part of it beats an error.
            groups[place] = _cut_results(groups[place], room)
        if (size := _size(groups[place])) > room:
            break
        room -= size
        kept.add(place)
    chosen = [groups[place] for place in sorted(kept)]
    # Reason: strict servers refuse a conversation that the assistant begins.
    while chosen[0][0].role is Role.ASSISTANT and len(chosen) > 1:
        chosen.pop(0)
    return chosen


def _pinned(sources: Sources, groups: Sequence[Sequence[ChatMessage]]) -> set[int]:
    """Return which groups are never left out: the question, and what nobody has answered yet."""
    heads = [messages[0] for messages in groups]
    users = [place for place, head in enumerate(heads) if head.role is not Role.ASSISTANT]
    said = [place for place, head in enumerate(heads) if head.role is Role.ASSISTANT]
    unanswered = {place for place in users if place > (said[-1] if said else -1)}
    if sources.question is None:
        return unanswered | set(users[-1:])
    asked = sources.messages[sources.question]
    question = [place for place in users if heads[place] == asked]
    return unanswered | set(users[-1:]) | set(question[-1:])


def _cut_results(messages: Sequence[ChatMessage], room: int) -> Sequence[ChatMessage]:
    """Shorten the results of tools until they fit, each to the same share."""
    head, *results = messages
    if not results:
        raise _too_long()
    share = (room - worst_case_of_message(head)) // len(results) - TOKENS_PER_MESSAGE
    if share * BYTES_PER_TOKEN < 2 * (len(CUT_MARK) + CUT_END_LENGTH):
        raise _too_long()
    return (head, *(_cut_to(result, share) for result in results))


def _cut_to(result: ChatMessage, tokens: int) -> ChatMessage:
    """Take out the middle of a result."""
    if worst_case(result.content) <= tokens:
        return result
    end = CUT_MARK + result.content[-CUT_END_LENGTH:]
    size = tokens * BYTES_PER_TOKEN - len(end.encode())
    beginning = result.content.encode()[: max(0, size)].decode(errors="ignore")
    return result.model_copy(update={"content": beginning + end})


def _too_long() -> InvalidInputError:
    return InvalidInputError("this is more than the model can read at once", "context_too_long")


def _size(messages: Sequence[ChatMessage]) -> int:
    return sum(worst_case_of_message(message) for message in messages)


def group(messages: Sequence[ChatMessage]) -> list[Sequence[ChatMessage]]:
    """Part a conversation into what belongs together: a tool's results follow their call.

    What a user wrote while the tools were at work comes after their results.

    Args:
        messages: Oldest first; each call has an id of its own.

    Returns:
        Groups of messages, each with one message at its head and the results of its calls after
        it. A result whose call is not there is left out, and so is a call without a result.
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
    """Leave out calls that nobody answered: a run that was canceled leaves some behind."""
    answered = {result.provider_call_id for result in results}
    calls = tuple(call for call in head.tool_calls if call.provider_call_id in answered)
    # Reason: an answer of no words is one that strict servers refuse to read.
    if head.role is Role.ASSISTANT and not calls and not head.content.strip():
        return ()
    return (head.model_copy(update={"tool_calls": calls}), *results)
