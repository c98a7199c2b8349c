"""Which answers may be given again, and what makes two requests the same."""

import pytest

from domain.llm.answer_cache import cache_key, is_repeatable
from domain.llm.messages import (
    ChatMessage,
    FinishReason,
    ModelReply,
    ModelRequest,
    ProviderSlot,
    RequestedCall,
    Role,
    ToolDefinition,
)

REQUEST = ModelRequest(
    model="m", messages=(ChatMessage(role=Role.USER, content="Well?"),), max_tokens=100
)
ANSWER = ModelReply(text="Well.", finish_reason=FinishReason.STOP)
CALL = RequestedCall(provider_call_id="1", tool="t", arguments="{}")


def test_the_same_request_has_the_same_key() -> None:
    again = ModelRequest.model_validate_json(REQUEST.model_dump_json())
    assert cache_key("a", "v1", REQUEST) == cache_key("a", "v1", again)


@pytest.mark.parametrize(
    "other",
    [
        {"model": "n"},
        {"slot": ProviderSlot.FALLBACK},
        {"messages": (ChatMessage(role=Role.USER, content="Well? "),)},
        {"messages": (ChatMessage(role=Role.USER, content="\ud800"),)},
        {"tools": (ToolDefinition(name="t", description="d", parameters={}),)},
        {"max_tokens": 101},
        {"temperature": 0.5},
        {"output_schema": {"type": "object"}},
    ],
)
def test_whatever_differs_makes_another_key(other: dict[str, object]) -> None:
    assert cache_key("a", "v1", REQUEST.model_copy(update=other)) != cache_key("a", "v1", REQUEST)


def test_agent_and_version_of_the_prompt_make_other_keys() -> None:
    keys = {cache_key(*names, REQUEST) for names in (("a", "v1"), ("a", "v2"), ("b", "v1"))}
    assert len(keys) == 3


@pytest.mark.parametrize(
    ("change", "is_kept"),
    [
        ({}, True),
        ({"finish_reason": FinishReason.LENGTH}, False),
        ({"finish_reason": FinishReason.CONTENT_FILTER}, False),
        ({"finish_reason": FinishReason.TOOL_CALLS, "tool_calls": (CALL,)}, False),
        ({"tool_calls": (CALL,)}, False),
        ({"text": " "}, False),
        ({"has_call_as_text": True}, False),
    ],
)
def test_only_finished_answers_without_calls_are_repeatable(
    change: dict[str, object], is_kept: bool
) -> None:
    assert is_repeatable(ANSWER.model_copy(update=change)) is is_kept
