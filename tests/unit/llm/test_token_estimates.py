"""How many tokens are reserved for texts, messages and tools."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.llm.messages import ChatMessage, ProviderParts, RequestedCall, Role, ToolDefinition
from domain.llm.token_estimates import (
    TOKENS_PER_MESSAGE,
    estimate_message_tokens,
    estimate_tokens,
    estimate_tool_tokens,
)

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@pytest.mark.parametrize(
    ("text", "count"),
    [("", 0), ("a", 1), ("ab", 1), ("abc", 2), ("é", 1), ("a€", 2), ("🚆", 2)],
)
def test_two_bytes_are_a_token_and_halves_count(text: str, count: int) -> None:
    assert estimate_tokens(text) == count


@given(TEXTS, TEXTS)
def test_parts_are_never_less_than_the_whole(one: str, other: str) -> None:
    """A prompt is put together of parts, each reckoned by itself."""
    apart = estimate_tokens(one) + estimate_tokens(other)
    assert estimate_tokens(one + other) <= apart <= estimate_tokens(one + other) + 1


def test_a_message_costs_its_text_its_calls_and_what_is_around_them() -> None:
    call = RequestedCall(provider_call_id="c", tool="search", arguments='{"a": 1}')
    plain = ChatMessage(role=Role.USER, content="abcd")
    calling = ChatMessage(role=Role.ASSISTANT, content="", tool_calls=(call, call))
    assert estimate_message_tokens(plain) == TOKENS_PER_MESSAGE + 2
    assert estimate_message_tokens(calling) == 3 * TOKENS_PER_MESSAGE + 2 * 7


def test_what_goes_back_to_a_provider_costs_too() -> None:
    call = RequestedCall(provider_call_id="c", tool="f", arguments="{}", parts={"x": "y"})
    given_parts = ProviderParts(model="m", parts={"reasoning_content": "a" * 100})
    plain = ChatMessage(role=Role.ASSISTANT, content="", tool_calls=(call,))
    full = plain.model_copy(update={"provider": given_parts})
    assert estimate_message_tokens(full) > estimate_message_tokens(plain) + 50
    bare = plain.model_copy(update={"tool_calls": (call.model_copy(update={"parts": {}}),)})
    assert estimate_message_tokens(plain) == estimate_message_tokens(bare) + 5


@given(st.dictionaries(TEXTS, TEXTS, max_size=3))
def test_tools_cost_their_schemas_and_none_cost_nothing(parameters: dict[str, Any]) -> None:
    tool = ToolDefinition(name="search", description="für dich", parameters=parameters)
    one = estimate_tool_tokens([tool])
    shown = sum(estimate_tokens(key) + estimate_tokens(value) for key, value in parameters.items())
    assert one >= estimate_tokens("search") + estimate_tokens("für dich") + shown / 2
    assert estimate_tool_tokens([tool, tool]) == 2 * one
    assert estimate_tool_tokens([]) == 0
