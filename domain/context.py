"""What a model gets to read, under a limit of tokens. Pure.

In this order of worth: the system's prompt, the question, recent messages, relevant passages. A
tool call is never parted from its results.
"""

from collections.abc import Sequence

from domain.errors import InvalidInputError
from domain.llm import ChatMessage, Role
from domain.messages import Frozen
from domain.tokens import worst_case, worst_case_of_message


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
    """Choose the question, and as many of the newest groups as there is room for."""
    groups = group(sources.messages)
    asked = None if sources.question is None else sources.messages[sources.question]
    pinned = next((messages for messages in reversed(groups) if messages[0] == asked), None)
    room -= _size(pinned or ())
    kept: list[Sequence[ChatMessage]] = []
    for messages in reversed(groups):
        size = 0 if messages is pinned else _size(messages)
        if size > room:
            break
        room -= size
        kept.insert(0, messages)
    if not kept or room < 0:
        raise InvalidInputError("this is more than the model can read at once", "context_too_long")
    is_dropped = pinned is not None and all(messages is not pinned for messages in kept)
    return [pinned, *kept] if pinned is not None and is_dropped else kept


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
    if head.tool_calls and not calls and not head.content:
        return ()
    return (head.model_copy(update={"tool_calls": calls}), *results)
