"""A conversation in an order and with ids that every provider takes."""

import hashlib
from collections import Counter
from collections.abc import Iterator

from domain.llm.messages import ChatMessage, ModelRequest, ProviderParts, RequestedCall, Role

# Nine letters or digits: Mistral takes no other ids, and everybody else takes these.
ID_LENGTH = 9
EARLIER = ChatMessage(role=Role.USER, content="(Earlier messages are left out.)")
GO_ON = ChatMessage(role=Role.USER, content="Go on.")
_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def turns_of(request: ModelRequest) -> list[ChatMessage]:
    """Return a request's messages so that no two neighbours but tools' results have one role.

    Args:
        request: What is asked.

    Returns:
        Its messages without empty ones of the assistant; neither the first nor the last one is the
        assistant's.
    """
    turns: list[ChatMessage] = []
    for message in request.messages:
        if message.role is Role.ASSISTANT and not (message.content.strip() or message.tool_calls):
            continue
        # Reason: Mistral, and templates such as Gemma's, refuse neighbours of one role, which a
        # canceled run leaves behind; to all others one long message says the same as two.
        if turns and _is_one_turn(turns[-1], message):
            turns[-1] = _merged(turns[-1], message)
        else:
            turns.append(message)
    first = next((place for place, each in enumerate(turns) if each.role is not Role.SYSTEM), None)
    if first is not None and turns[first].role is Role.ASSISTANT:
        # Reason: strict servers want a user to begin, and what is old is left out anywhere.
        turns.insert(first, EARLIER)
    if turns and turns[-1].role is Role.ASSISTANT:
        # Reason: Claude 4.6 and Mistral refuse such a request, and others write on at that text.
        turns.append(GO_ON)
    return turns


def sent_ids(request: ModelRequest) -> dict[str, str]:
    """Choose the ids of the calls in a request.

    Args:
        request: What is asked.

    Returns:
        By our id, what stands for it in call and result: the provider's own id for the model that
        gave it, if no other call of the request has it, or else one that is derived from ours.
    """
    calls = list(_calls(request))
    given = {call.provider_call_id: call.given_id for call, is_own in calls if is_own}
    counts = Counter(given.values())
    ids = {ours: theirs for ours, theirs in given.items() if theirs and counts[theirs] == 1}
    taken = set(ids.values())
    for call, _ in calls:
        if call.provider_call_id not in ids:
            ids[call.provider_call_id] = _derived(call.provider_call_id, taken)
            taken.add(ids[call.provider_call_id])
    return ids


def own_parts(message: ChatMessage, request: ModelRequest) -> ProviderParts | None:
    """Return what goes back with a message: only to the model that wrote it."""
    provider = message.provider
    return provider if provider and provider.model == request.model else None


def _calls(request: ModelRequest) -> Iterator[tuple[RequestedCall, bool]]:
    for message in request.messages:
        is_own = own_parts(message, request) is not None
        for call in message.tool_calls:
            yield call, is_own


def _derived(ours: str, taken: set[str]) -> str:
    number = 0
    while True:
        digest = hashlib.sha256(f"{ours}/{number}".encode()).digest()
        found = "".join(_LETTERS[byte % len(_LETTERS)] for byte in digest[:ID_LENGTH])
        if found not in taken:
            return found
        number += 1


def _is_one_turn(last: ChatMessage, message: ChatMessage) -> bool:
    return last.role is message.role is not Role.TOOL and not last.tool_calls


def _merged(last: ChatMessage, message: ChatMessage) -> ChatMessage:
    texts = [each for each in (last.content, message.content) if each.strip()]
    return message.model_copy(update={"content": "\n\n".join(texts)})
