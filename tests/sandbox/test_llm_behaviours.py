"""Odd behaviours of the models' stand-in, as its log and the wire show them."""

import asyncio
import itertools
from typing import Any

import anthropic
import httpx
import openai
import pytest

from sandbox.llm import strict
from sandbox.llm.behaviours import NAMES
from tests.sandbox import servers
from tests.sandbox.llm_server import ModelServer

_NUMBERS = itertools.count()
PATHS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}
HEADERS = {"anthropic-version": "2023-06-01", "x-api-key": "sandbox"}


@pytest.fixture
def mark() -> str:
    return f"oddity-{next(_NUMBERS)}-of-a-server"


def body_of(mark: str, provider: str = "openai", **more: Any) -> dict[str, Any]:
    tool: dict[str, Any] = {"name": "search_memory", "description": "s"}
    schema = {"type": "object", "properties": {"query": {"type": "string", "format": "uuid"}}}
    if provider == "openai":
        tool = {"type": "function", "function": tool | {"parameters": schema}}
        more = {"temperature": 0, "stream_options": {"include_usage": True}} | more
    else:
        tool |= {"input_schema": schema}
    messages = [{"role": "user", "content": mark}]
    body = {"model": "m", "messages": messages, "max_tokens": 900, "stream": True, "tools": [tool]}
    return body | more


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
@pytest.mark.parametrize("name", sorted(NAMES - {"endless"}))
def test_every_behaviour_answers_on_both_wires(
    models: ModelServer, mark: str, provider: str, name: str
) -> None:
    models.script({"match": mark, "behaviour": name, "token_seconds": 0})
    try:
        reply = models.http.post(PATHS[provider], json=body_of(mark, provider), headers=HEADERS)
    except httpx.RemoteProtocolError:
        assert name in {"broken", "running_usage"}
        reply = None
    (log,) = models.requests(mark)
    assert (log["behaviour"], log["status"] is not None) == (name, True)
    if reply is None:
        assert not log["is_complete"]
    elif reply.is_success:
        assert log["is_complete"]
        assert log["refusal"] is None
    else:
        assert log["refusal"] in str(reply.json())
        assert log["prompt_tokens"] == log["completion_tokens"] == 0


async def test_pieces_and_bills_are_logged_also_for_who_leaves(
    models: ModelServer, mark: str
) -> None:
    models.script({"match": mark, "behaviour": "endless", "token_seconds": 0.005})
    async with models.openai() as client:
        stream: Any = await client.chat.completions.create(**body_of(mark))
        seen = 0
        async for chunk in stream:
            seen += len(chunk.choices[0].delta.content)
            if seen > 50:
                break
        await stream.close()
    await asyncio.to_thread(
        servers.wait_for, "the end", lambda: models.requests(mark)[0]["ended_wall_time"]
    )
    (log,) = models.requests(mark)
    assert (log["is_client_gone"], log["is_complete"]) == (True, False)
    assert log["piece_bytes"] >= seen
    assert log["piece_count"] == log["completion_tokens"] == log["piece_bytes"] // 5


async def test_hidden_reasoning_is_billed_while_nothing_is_seen(
    models: ModelServer, mark: str
) -> None:
    models.script({"match": mark, "behaviour": "hidden_reasoning", "token_seconds": 0.002})
    async with models.anthropic() as client:
        stream: Any = await client.messages.create(**body_of(mark, "anthropic"))
        while models.requests(mark)[0]["completion_tokens"] < 5:  # noqa: ASYNC110 - a process
            await asyncio.sleep(0.02)
        assert models.requests(mark)[0]["piece_count"] == 0
        await stream.close()


def test_an_unknown_behaviour_is_refused(models: ModelServer) -> None:
    posted = models.http.post("/_sandbox/script", json={"items": [{"behaviour": "polite"}]})
    assert posted.status_code == 400


@pytest.mark.parametrize(
    ("messages", "is_well"),
    [
        ("u", True),
        ("uau", True),
        ("sua", False),
        ("uu", False),
        ("auu", False),
        ("uaau", False),
        ("usu", False),
        ("ucr", True),
        ("ucrau", True),
        ("ucra", False),
        ("uc", False),
        ("ucur", False),
        ("ur", False),
        ("ucrr", False),
        ("ueu", False),
    ],
)
def test_strict_rules_hold_for_the_order_of_messages(messages: str, *, is_well: bool) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    kinds: dict[str, dict[str, Any]] = {
        "s": {"role": "system", "content": "s"},
        "u": {"role": "user", "content": "u"},
        "a": {"role": "assistant", "content": "a"},
        "e": {"role": "assistant", "content": ""},
        "c": {"role": "assistant", "content": "", "tool_calls": [call]},
        "r": {"role": "tool", "content": "r", "tool_call_id": "1"},
    }
    found = strict.problem({"messages": [kinds[each] for each in messages]})
    assert (found is None) == is_well, found


def test_strict_rules_hold_for_anthropics_blocks() -> None:
    use = {"type": "tool_use", "id": "1", "name": "f", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "1", "content": "r"}
    text = {"type": "text", "text": "t"}
    asked = [{"role": "user", "content": "u"}, {"role": "assistant", "content": [text, use]}]
    assert (
        strict.problem({"messages": [*asked, {"role": "user", "content": [result, text]}]}) is None
    )
    assert strict.problem({"messages": [*asked, {"role": "user", "content": [text]}]})
    empty = {"role": "user", "content": [{"type": "text", "text": " "}]}
    assert strict.problem({"messages": [empty]})


async def test_strictness_is_switched_on_for_every_request(models: ModelServer, mark: str) -> None:
    bad = [{"role": "user", "content": mark}, {"role": "assistant", "content": "So"}]
    async with models.openai() as client, models.anthropic() as other:
        models.http.post("/_sandbox/strict", json={"is_on": True}).raise_for_status()
        try:
            with pytest.raises(openai.BadRequestError, match="prefill"):
                await client.chat.completions.create(**body_of(mark, messages=bad))
            with pytest.raises(anthropic.BadRequestError, match="prefill"):
                await other.messages.create(**body_of(mark, "anthropic", messages=bad))
            await client.chat.completions.create(**body_of(mark))
        finally:
            models.http.post("/_sandbox/strict", json={"is_on": False}).raise_for_status()
        await client.chat.completions.create(**body_of(mark, messages=bad))
    refused, _, *rest = models.requests(mark)
    assert "prefill" in refused["refusal"]
    assert [log["refusal"] for log in rest] == [None, None]
