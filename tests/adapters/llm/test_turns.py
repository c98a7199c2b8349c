"""What of a conversation is sent to a model: roles, ids, and what the provider gave."""

import re
from typing import Any

import pytest

from adapters.llm.providers.anthropic_request import wire_request
from adapters.llm.providers.openai_messages import wire_messages
from adapters.llm.turns import turns_of
from domain.llm.messages import (
    ChatMessage,
    ModelRequest,
    ProviderParts,
    ProviderSlot,
    RequestedCall,
    Role,
)

MODEL = "magistral"
NINE = re.compile(r"[A-Za-z0-9]{9}")


def user(text: str) -> ChatMessage:
    return ChatMessage(role=Role.USER, content=text)


def said(text: str) -> ChatMessage:
    return ChatMessage(role=Role.ASSISTANT, content=text)


def asked(
    *ids: tuple[str, str],
    model: str = MODEL,
    text: str = "",
    parts: dict[str, Any] | None = None,
    call_parts: dict[str, Any] | None = None,
) -> ChatMessage:
    """An assistant's message with calls: our id and the provider's of each."""
    calls = tuple(
        RequestedCall(
            provider_call_id=ours,
            tool="search",
            arguments="{}",
            given_id=theirs,
            parts=call_parts or {},
        )
        for ours, theirs in ids
    )
    given = ProviderParts(model=model, parts=parts or {})
    return ChatMessage(role=Role.ASSISTANT, content=text, tool_calls=calls, provider=given)


def found(ours: str) -> ChatMessage:
    return ChatMessage(role=Role.TOOL, content=f"found {ours}", provider_call_id=ours)


def request_of(*messages: ChatMessage, model: str = MODEL) -> ModelRequest:
    return ModelRequest(model=model, messages=messages, max_tokens=10)


def openai_ids(request: ModelRequest) -> tuple[list[str], list[str]]:
    """The ids of a request's calls, and those of its results."""
    wire = wire_messages(request)
    calls = [call["id"] for each in wire for call in each.get("tool_calls", ())]
    return calls, [each["tool_call_id"] for each in wire if "tool_call_id" in each]


def anthropic_ids(request: ModelRequest) -> tuple[list[str], list[str]]:
    blocks = [block for turn in wire_request(request)["messages"] for block in turn["content"]]
    calls = [block["id"] for block in blocks if block["type"] == "tool_use"]
    return calls, [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]


WIRES = pytest.mark.parametrize("ids_of", [openai_ids, anthropic_ids])


@WIRES
def test_a_models_own_ids_go_back_to_it(ids_of: Any) -> None:
    history = (user("?"), asked(("a", "abcDEF123"), ("b", "xyz")), found("a"), found("b"))
    assert ids_of(request_of(*history)) == (["abcDEF123", "xyz"], ["abcDEF123", "xyz"])


@WIRES
@pytest.mark.parametrize(
    ("theirs", "model"),
    [(("", ""), MODEL), (("call_0", "call_0"), MODEL), (("abcDEF123", "xyz"), "another")],
)
def test_other_ids_are_derived_from_ours(ids_of: Any, theirs: tuple[str, str], model: str) -> None:
    """Empty, repeated, or another model's: nine letters, each once, the same each time."""
    first, second = theirs
    history = (
        user("?"),
        asked(("a", first), model=model),
        found("a"),
        asked(("b", second), model=model),
        found("b"),
    )
    calls, results = ids_of(request_of(*history))
    assert calls == results == ids_of(request_of(*history))[0]
    assert len(set(calls)) == 2
    assert all(NINE.fullmatch(each) for each in calls)


@WIRES
def test_calls_from_before_have_ids_too(ids_of: Any) -> None:
    call = RequestedCall(provider_call_id="a", tool="search", arguments="{}")
    old = ChatMessage(role=Role.ASSISTANT, content="", tool_calls=(call,))
    calls, results = ids_of(request_of(user("?"), old, found("a")))
    assert calls == results
    assert NINE.fullmatch(calls[0])


def test_what_openai_servers_sent_with_a_call_goes_back() -> None:
    signature = {"extra_content": {"google": {"thought_signature": "c2ln"}}}
    thought = {"reasoning_content": "I should search.", "reasoning_details": [{"data": "x"}]}
    message = asked(("a", "1"), parts=thought, call_parts=signature)
    answer = said("Yes.").model_copy(
        update={"provider": ProviderParts(model=MODEL, parts=thought | signature)}
    )
    history = (user("?"), message, found("a"), answer, user("And?"))
    wire = wire_messages(request_of(*history))
    assert wire[1].items() >= thought.items()
    assert wire[1]["tool_calls"][0].items() >= signature.items()
    assert wire[1]["tool_calls"][0]["function"] == {"name": "search", "arguments": "{}"}
    # Beside an answer reasoning is of no use, and DeepSeek's older models refuse it there.
    assert wire[3] == {"role": "assistant", "content": "Yes."} | signature
    for other in wire_messages(request_of(*history, model="another")):
        assert set(other) <= {"role", "content", "tool_calls", "tool_call_id"}
        assert all(set(call) == {"id", "type", "function"} for call in other.get("tool_calls", ()))


def test_anthropics_thinking_goes_back_where_it_stood() -> None:
    blocks = [
        {"place": 0, "block": {"type": "thinking", "thinking": "First.", "signature": "s1"}},
        {"place": 1, "block": {"type": "redacted_thinking", "data": "x"}},
    ]
    message = asked(("a", "t1"), text="Let me see.", parts={"thinking": blocks})
    history = (user("?"), message, found("a"))
    sent = wire_request(request_of(*history))["messages"][1]["content"]
    kinds = ["thinking", "text", "redacted_thinking", "tool_use"]
    assert [block["type"] for block in sent] == kinds
    assert (sent[0]["signature"], sent[2]["data"]) == ("s1", "x")
    other = wire_request(request_of(*history, model="another"))["messages"][1]["content"]
    assert [block["type"] for block in other] == ["text", "tool_use"]


def test_neighbours_of_one_role_are_one_message() -> None:
    history = (user("One."), user("Two."), said(""), said("A."), said("B."), user("Three."))
    assert [(each.role, each.content) for each in turns_of(request_of(*history))] == [
        (Role.USER, "One.\n\nTwo."),
        (Role.ASSISTANT, "A.\n\nB."),
        (Role.USER, "Three."),
    ]
    roles = [turn["role"] for turn in wire_request(request_of(*history))["messages"]]
    assert roles == ["user", "assistant", "user"]


def test_text_before_calls_joins_them_and_results_stay_apart() -> None:
    history = (user("?"), said("Well."), asked(("a", "1"), ("b", "2")), found("a"), found("b"))
    turns = turns_of(request_of(*history))
    assert [turn.role for turn in turns] == [Role.USER, Role.ASSISTANT, Role.TOOL, Role.TOOL]
    assert (turns[1].content, len(turns[1].tool_calls)) == ("Well.", 2)


def test_a_user_begins_also_where_older_messages_are_left_out() -> None:
    system = ChatMessage(role=Role.SYSTEM, content="Be brief.")
    request = request_of(system, asked(("a", "1")), found("a"), user("And?"))
    assert [each["role"] for each in wire_messages(request)][:3] == ["system", "user", "assistant"]
    assert wire_request(request)["messages"][0]["role"] == "user"


def test_a_request_never_ends_with_the_assistant() -> None:
    request = request_of(user("?"), said("Answer."))
    assert wire_messages(request)[-1]["role"] == "user"
    assert wire_request(request)["messages"][-1]["role"] == "user"
    assert "assistant" not in str(wire_messages(request_of(user("?"), said(" "))))


def test_the_same_name_at_another_provider_is_another_model() -> None:
    parts = {"reasoning_content": "Hm.", "thinking": [{"place": 0, "block": {"type": "thinking"}}]}
    call_parts = {"extra_content": {"google": {"thought_signature": "c2ln"}}}
    said_before = asked(("ours", "theirs"), parts=parts, call_parts=call_parts)
    request = request_of(user("q"), said_before, found("ours"))
    assert "theirs" in str(wire_messages(request))
    assert "thought_signature" in str(wire_messages(request))
    other = request.model_copy(update={"slot": ProviderSlot.FALLBACK})
    for wire in (wire_messages(other), wire_request(other)):
        for mine in ("theirs", "thought_signature", "Hm.", "thinking"):
            assert mine not in str(wire)
