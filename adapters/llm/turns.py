"""Arranges a conversation in an order and with ids that every provider accepts."""

import hashlib
from collections import Counter
from collections.abc import Iterator

from domain.llm.messages import ChatMessage, ModelRequest, ProviderParts, RequestedCall, Role

# Nine letters or digits: Mistral accepts only such ids, and all other providers accept them.
ID_LENGTH = 9
EARLIER = ChatMessage(role=Role.USER, content="(Earlier messages are left out.)")
GO_ON = ChatMessage(role=Role.USER, content="Go on.")
_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def turns_of(request: ModelRequest) -> list[ChatMessage]:
    """Return a request's messages, merged so that roles alternate except for tool results.

    Args:
        request: Request to send.

    Returns:
        Messages without empty ones of the assistant; after the system messages, neither the first
        nor the last message is the assistant's.
    """
    turns: list[ChatMessage] = []
    for message in request.messages:
        if message.role is Role.ASSISTANT and not (message.content.strip() or message.tool_calls):
            continue
        # Reason: Mistral, and templates such as Gemma's, refuse consecutive messages of one role,
        # which a canceled run leaves behind; for other models one long message means the same.
        if turns and _is_one_turn(turns[-1], message):
            turns[-1] = _merged(turns[-1], message)
        else:
            turns.append(message)
    first = next((index for index, each in enumerate(turns) if each.role is not Role.SYSTEM), None)
    if first is not None and turns[first].role is Role.ASSISTANT:
        # Reason: strict servers require a user's message first, which may have been left out.
        turns.insert(first, EARLIER)
    if turns and turns[-1].role is Role.ASSISTANT:
        # Reason: Claude 4.6 and Mistral refuse such a request; others continue that message.
        turns.append(GO_ON)
    return turns


def sent_ids(request: ModelRequest) -> dict[str, str]:
    """Return the ids to send for the tool calls of a request.

    Args:
        request: Request to send.

    Returns:
        Id to send, by our own id: the provider's id for the model that gave it, if no other call
        of the request has the same one, or else an id that is derived from ours.
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
    """Return the provider's data of a message, if the same model is called again, else None."""
    provider = message.provider
    if provider is None or (provider.model, provider.slot) != (request.model, request.slot):
        return None
    return provider


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
