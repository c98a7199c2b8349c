"""Tool calls that a model wrote as text."""

import pytest

from domain.llm.calls_as_text import has_call_as_text

TOOLS = ("search_memory", "refund_payment")


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>\n{"name": "search_memory", "arguments": {"query": "a"}}\n</tool_call>',
        'Let me see. <tool_call>{"name": "search_memory", "arguments": {}}',
        "<tool_call>\n<function=search_memory>\n<parameter=query>a</parameter>",
        '<function=refund_payment>{"payment_id": "p"}</function>',
        '<|python_tag|>{"name": "search_memory", "parameters": {"query": "a"}}',
        '[TOOL_CALLS] [{"name": "search_memory", "arguments": {"query": "a"}}]',
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>search_memory",  # noqa: RUF001
        "<|tool_calls_section_begin|><|tool_call_begin|>functions.search_memory:0",
        "<|channel|>commentary to=functions.search_memory <|message|>{}",
        '<function_calls><invoke name="refund_payment">',
        '{"name": "search_memory", "parameters": {"query": "a"}}',
        '```json\n[{"name": "search_memory", "arguments": {}}]\n```',
    ],
)
def test_a_call_is_recognised(text: str) -> None:
    assert has_call_as_text(text, TOOLS)
    assert not has_call_as_text(text, ())
    assert not has_call_as_text(text, ("other",))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I would use search_memory for that.",
        "Models write <tool_call> before a call.",
        '{"name": "search_memory"}',
        '{"name": "Ann", "arguments": []}',
        "{broken",
        "[" * 100_000,
        f"<tool_call> {'word ' * 100} search_memory",
    ],
)
def test_other_text_is_none(text: str) -> None:
    assert not has_call_as_text(text, TOOLS)
