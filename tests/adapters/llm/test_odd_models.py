"""Servers that speak the providers' languages in their own way, word for word over a socket."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from adapters.llm.gateway import open_models
from adapters.llm.pricing import Prices
from adapters.llm.provider import Progress
from adapters.llm.providers.openai_provider import limit_name
from domain.errors import ApplicationError
from domain.llm.messages import (
    ChatMessage,
    FinishReason,
    ModelReply,
    ModelRequest,
    ProviderParts,
    RequestedCall,
    Role,
    TokenUsage,
)

REQUEST = ModelRequest(
    model="odd",
    messages=(ChatMessage(role=Role.USER, content="Well?"),),
    max_tokens=10,
)
STREAM = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
DONE = "data: [DONE]\n\n"


class Odd:
    """Answers each request with the next of its texts, and keeps the bodies of the requests."""

    def __init__(self, *answers: str) -> None:
        self._answers = list(answers)
        self.bodies: list[dict[str, Any]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length:")[2].split()[0])
        self.bodies.append(json.loads(await reader.readexactly(length)))
        writer.write(self._answers.pop(0).encode())
        await writer.drain()
        writer.close()


@asynccontextmanager
async def listening(odd: Odd) -> AsyncIterator[str]:
    async with await asyncio.start_server(odd.serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"


async def ask(provider: str, odd: Odd, progress: Progress | None = None) -> ModelReply:
    async with (
        listening(odd) as url,
        open_models(provider, url, "none", 5, Prices(provider)) as models,
    ):
        return await models.ask(REQUEST, lambda _: None, progress)


async def refusal(provider: str, odd: Odd) -> ApplicationError:
    with pytest.raises(ApplicationError) as caught:
        await ask(provider, odd)
    return caught.value


def chunk(finish_reason: str | None = None, **delta: Any) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return f"data: {json.dumps({'id': 'x', 'model': 'odd', 'choices': [choice]})}\n\n"


def event(kind: str, **facts: Any) -> str:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **facts})}\n\n"


def plain(status: int, body: Any, *headers: str) -> str:
    text = json.dumps(body)
    lines = (f"HTTP/1.1 {status} Odd", "Content-Type: application/json", "Connection: close")
    return "\r\n".join([*lines, f"Content-Length: {len(text)}", *headers, "", text])


def call(index: int | None, id: str | None, name: str | None, arguments: str) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"index": index, "id": id, "function": function}


START = event("message_start", message={"usage": {"input_tokens": 7, "output_tokens": 1}})
STOP = event("message_stop")


async def test_calls_that_all_have_the_index_zero_are_told_apart_by_their_ids() -> None:
    calls = (
        chunk(tool_calls=[call(0, "a", "one", "{}")]),
        chunk(tool_calls=[call(0, "b", "two", "{")]),
    )
    rest = chunk(tool_calls=[call(0, None, None, '"x": 1}')])
    # It says `stop` beside calls, as some do.
    reply = await ask("openai", Odd(STREAM + "".join(calls) + rest + chunk("stop") + DONE))
    assert [
        (found.provider_call_id, found.tool, found.arguments) for found in reply.tool_calls
    ] == [
        ("a", "one", "{}"),
        ("b", "two", '{"x": 1}'),
    ]
    assert reply.finish_reason is FinishReason.TOOL_CALLS
    assert reply.usage is None


@pytest.mark.parametrize("index", [0, 1, None])
async def test_calls_without_ids_are_told_apart(index: int | None) -> None:
    calls = [
        call(0, None, "one", "{}"),
        call(index, "", "one", '{"x"'),
        call(index, "", "one", ": 1}"),
    ]
    calls.append(call(2 if index else index, None, "two", ""))
    reply = await ask("openai", Odd(STREAM + chunk(tool_calls=calls) + chunk("tool_calls") + DONE))
    assert [(found.tool, found.arguments) for found in reply.tool_calls] == [
        ("one", "{}"),
        ("one", '{"x": 1}'),
        ("two", ""),
    ]
    assert {found.provider_call_id for found in reply.tool_calls} == {""}


async def test_chunks_may_lack_anything() -> None:
    usage = '{"id": "x", "choices": null, "usage": {"prompt_tokens": 3, "completion_tokens": null}}'
    empty = '{"choices": [{"index": 0, "delta": null, "finish_reason": null}]}'
    text = f"{STREAM}data: {empty}\n\n{chunk(content='Yes')}{chunk('tool_calls')}data: {usage}\n\n"
    reply = await ask("openai", Odd(text + DONE))
    assert (reply.text, reply.finish_reason) == ("Yes", FinishReason.STOP)
    assert reply.usage == TokenUsage(prompt_tokens=3, completion_tokens=0)


async def test_text_that_no_database_takes_is_made_storable() -> None:
    text = STREAM + chunk(content="a\x00b") + chunk(content="\ud83d") + chunk("stop") + DONE
    reply = await ask("openai", Odd(text))
    assert reply.text == "ab?"


async def test_a_refusal_is_one() -> None:
    refused = chunk(refusal="I will not."), chunk("stop")
    reply = await ask("openai", Odd(STREAM + "".join(refused) + DONE))
    assert (reply.text, reply.finish_reason) == ("I will not.", FinishReason.REFUSED)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (chunk(content="Y") + chunk("abort") + DONE, "model_stream_incomplete"),
        (chunk(content="Y"), "model_stream_incomplete"),
        ('data: {"choices": [\n\n', "model_unanswered"),
        ('data: {"error": {"message": "boom"}}\n\n', "model_unavailable"),
        ('data: {"error": {"message": "boom", "code": 400}}\n\n', "model_rejected"),
        ('data: {"error": {"message": "slow", "code": 429}}\n\n', "model_rate_limited"),
        (
            'data: {"error": {"message": "boom", "code": "context_length_exceeded"}}\n\n',
            "model_context_too_long",
        ),
    ],
)
async def test_trouble_within_openais_stream(said: str, code: str) -> None:
    assert (await refusal("openai", Odd(STREAM + said))).error_code == code


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("overloaded_error", "model_unavailable"),
        ("api_error", "model_unavailable"),
        ("rate_limit_error", "model_rate_limited"),
        ("invalid_request_error", "model_rejected"),
        ("billing_error", "model_credentials"),
    ],
)
async def test_trouble_within_anthropics_stream(kind: str, code: str) -> None:
    trouble = event("error", error={"type": kind, "message": "boom"})
    error = await refusal("anthropic", Odd(STREAM + START + trouble))
    assert error.error_code == code
    assert error.details["provider_code"] == kind
    assert error.details["has_begun"]


async def test_garbage_within_anthropics_stream() -> None:
    error = await refusal("anthropic", Odd(f"{STREAM}{START}event: message_delta\ndata: {{\n\n"))
    assert error.error_code == "model_unanswered"


async def test_anthropics_cached_prompt_is_paid_for_too() -> None:
    usage = {"input_tokens": 2, "cache_read_input_tokens": 30, "cache_creation_input_tokens": 4}
    begun = event("message_start", message={"usage": usage | {"output_tokens": 1}})
    block = event("content_block_start", index=0, content_block={"type": "text", "text": "Y"})
    whole = event(
        "content_block_start",
        index=1,
        content_block={
            "type": "tool_use",
            "id": "t",
            "name": "one",
            "input": {"x": 1},
        },
    )
    ended = event("message_delta", delta={"stop_reason": "tool_use"}, usage={"output_tokens": 9})
    progress = Progress()
    text = STREAM + begun + block + whole + event("ping") + ended + STOP
    reply = await ask("anthropic", Odd(text), progress)
    assert reply.usage == TokenUsage(
        prompt_tokens=36, completion_tokens=9, cached_prompt_tokens=30, cache_write_tokens=4
    )
    assert (reply.text, reply.tool_calls[0].arguments) == ("Y", '{"x": 1}')
    assert (progress.token_count, progress.text) == (2, 'Yone{"x": 1}')
    assert progress.is_final


@pytest.mark.parametrize("stop_reason", ["refusal", "max_tokens", "model_context_window_exceeded"])
async def test_anthropics_other_ends(stop_reason: str) -> None:
    ended = event("message_delta", delta={"stop_reason": stop_reason}, usage={"output_tokens": 9})
    reply = await ask("anthropic", Odd(STREAM + START + ended + STOP))
    is_refused = stop_reason == "refusal"
    assert reply.finish_reason is (FinishReason.REFUSED if is_refused else FinishReason.LENGTH)


async def test_an_empty_account_is_no_matter_of_waiting() -> None:
    body = {
        "error": {"message": "pay!", "type": "insufficient_quota", "code": "insufficient_quota"}
    }
    error = await refusal("openai", Odd(plain(429, body, "Retry-After: 3")))
    assert (error.error_code, error.is_retryable) == ("model_credentials", False)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        (("Retry-After: 2.5",), 2.5),
        (("Retry-After: -1",), 0),
        (
            (
                "Date: Wed, 21 Oct 2026 07:28:00 GMT",
                "Retry-After: Wed, 21 Oct 2026 07:28:30 GMT",
            ),
            30,
        ),
        (("Retry-After: Wed, 21 Oct 2015 07:28:00 GMT",), 0),
        (("Retry-After: soon",), None),
        (("Retry-After: inf",), None),
        ((), None),
    ],
)
async def test_waits_are_seconds_or_dates(headers: tuple[str, ...], seconds: float | None) -> None:
    error = await refusal("openai", Odd(plain(429, {"error": {"message": "slow"}}, *headers)))
    assert error.error_code == "model_rate_limited"
    assert error.details.get("retry_after_seconds") == seconds


async def test_who_refuses_a_temperature_is_asked_without_from_then_on() -> None:
    refused = plain(
        400, {"error": {"message": "no", "param": "temperature", "code": "unsupported"}}
    )
    good = STREAM + chunk(content="Y") + chunk("stop") + DONE
    odd = Odd(refused, good, good)
    async with (
        listening(odd) as url,
        open_models("openai", url, "none", 5, Prices("openai")) as models,
    ):
        for _ in range(2):
            assert (await models.ask(REQUEST, lambda _: None)).text == "Y"
    assert ["temperature" in body for body in odd.bodies] == [True, False, False]


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://api.openai.com/v1", "max_completion_tokens"),
        ("https://eu.api.openai.com/v1", "max_completion_tokens"),
        ("https://mine.openai.azure.com/openai/v1", "max_completion_tokens"),
        ("http://127.0.0.1:11434/v1", "max_tokens"),
        ("https://notopenai.com/v1", "max_tokens"),
    ],
)
def test_the_limit_goes_by_the_name_that_the_server_heeds(url: str, name: str) -> None:
    assert limit_name(url) == name


def counted(**usage: Any) -> str:
    return f"data: {json.dumps({'choices': [], 'usage': usage})}\n\n"


@pytest.mark.parametrize(
    ("usage", "expected", "is_final"),
    [
        (
            {
                "prompt_tokens": 100,
                "completion_tokens": 20,
                "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 30},
                "completion_tokens_details": {"reasoning_tokens": 15},
            },
            (100, 20, 60, 30, 15),
            True,
        ),
        (
            {"prompt_tokens": 100, "completion_tokens": 20, "prompt_cache_hit_tokens": 64},
            (100, 20, 64, 0, 0),
            True,
        ),
        # xAI: reasoning beside the completion; the total tells, and without one the sizes do.
        (
            {
                "prompt_tokens": 100,
                "completion_tokens": 120,
                "total_tokens": 720,
                "completion_tokens_details": {"reasoning_tokens": 500},
            },
            (100, 620, 0, 0, 500),
            True,
        ),
        (
            {
                "prompt_tokens": 100,
                "completion_tokens": 120,
                "completion_tokens_details": {"reasoning_tokens": 500},
            },
            (100, 620, 0, 0, 500),
            True,
        ),
        (
            {"prompt_tokens": 7, "completion_tokens": None, "prompt_tokens_details": [1]},
            (7, 0, 0, 0, 0),
            False,
        ),
    ],
)
async def test_openais_classes_of_tokens(
    usage: dict[str, Any], expected: tuple[int, ...], is_final: bool
) -> None:
    progress = Progress()
    text = STREAM + chunk(content="Y") + chunk("stop") + counted(**usage) + DONE
    reply = await ask("openai", Odd(text), progress)
    assert reply.usage == TokenUsage(**dict(zip(TokenUsage.model_fields, expected, strict=True)))
    assert progress.is_final == is_final


@pytest.mark.parametrize("usage", ["many", [], {"prompt_tokens": None}, {"prompt_tokens": -1}])
async def test_a_usage_that_counts_nothing_is_none(usage: Any) -> None:
    progress = Progress()
    count = f"data: {json.dumps({'choices': [], 'usage': usage})}\n\n"
    reply = await ask("openai", Odd(STREAM + chunk(content="Y") + chunk("stop") + count), progress)
    assert reply.usage is None
    assert not progress.is_final


async def test_a_count_in_each_chunk_is_final_only_at_the_end() -> None:
    """Some servers report a running count; a stream that breaks off leaves it unfinished."""
    choice = {"index": 0, "delta": {"content": "Y"}, "finish_reason": None}
    running = {"prompt_tokens": 9, "completion_tokens": 1}
    said = f"data: {json.dumps({'choices': [choice], 'usage': running})}\n\n"
    progress = Progress()
    with pytest.raises(ApplicationError):
        await ask("openai", Odd(STREAM + said), progress)
    assert progress.usage == TokenUsage(prompt_tokens=9, completion_tokens=1)
    assert not progress.is_final


async def test_anthropics_first_count_is_not_final() -> None:
    progress = Progress()
    with pytest.raises(ApplicationError):
        await ask("anthropic", Odd(STREAM + START), progress)
    assert progress.usage == TokenUsage(prompt_tokens=7, completion_tokens=1)
    assert (progress.was_sent, progress.has_begun, progress.is_final) == (True, True, False)


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
@pytest.mark.parametrize(
    ("error", "code"),
    [
        ({"message": "slow", "code": 429}, "model_rate_limited"),
        ({"message": "no", "code": "400"}, "model_rejected"),
        ({"message": "no", "type": "invalid_request_error"}, "model_rejected"),
        ({"message": ["?"], "code": [1]}, "model_unavailable"),
        ("boom", "model_unavailable"),
    ],
)
async def test_an_error_may_come_as_a_success(provider: str, error: Any, code: str) -> None:
    assert (await refusal(provider, Odd(plain(200, {"error": error})))).error_code == code


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
@pytest.mark.parametrize("body", ["[]", '"text"', "null", '{"choices": "none"}', '{"content": 1}'])
async def test_a_body_of_another_shape_is_no_answer(provider: str, body: str) -> None:
    head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"
    for said in (head + body, f"{STREAM}event: message_delta\ndata: {body}\n\n"):
        error = await refusal(provider, Odd(said))
        assert error.error_code == "model_stream_incomplete"


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
async def test_what_no_reader_can_take_is_named(provider: str) -> None:
    deep = f"{STREAM}event: message_start\ndata: {'[' * 200_000}\n\n"
    error = await refusal(provider, Odd(deep))
    assert (error.error_code, error.is_retryable) == ("model_answer_unreadable", False)
    assert error.__suppress_context__


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
@pytest.mark.parametrize("body", [["no"], {"error": "no"}, {"error": {"code": 7, "message": 8}}])
async def test_a_refusal_of_any_shape_is_one(provider: str, body: Any) -> None:
    assert (await refusal(provider, Odd(plain(400, body)))).error_code == "model_rejected"


async def test_reasoning_that_is_refused_is_left_out() -> None:
    call = RequestedCall(provider_call_id="ours", tool="f", arguments="{}", given_id="a")
    given = ProviderParts(model="odd", parts={"reasoning_content": "Hm."})
    history = (
        *REQUEST.messages,
        ChatMessage(role=Role.ASSISTANT, content="", tool_calls=(call,), provider=given),
        ChatMessage(role=Role.TOOL, content="r", provider_call_id="ours"),
    )
    refused = plain(400, {"error": {"message": "messages.1.reasoning_content is not supported"}})
    odd = Odd(refused, STREAM + chunk(content="Y") + chunk("stop") + DONE)
    request = REQUEST.model_copy(update={"messages": history})
    async with (
        listening(odd) as url,
        open_models("openai", url, "none", 5, Prices("openai")) as models,
    ):
        assert (await models.ask(request, lambda _: None)).text == "Y"
    assert ["reasoning_content" in body["messages"][1] for body in odd.bodies] == [True, False]


async def test_thinking_that_is_refused_is_left_out() -> None:
    block = {"type": "thinking", "thinking": "Hm.", "signature": "old"}
    parts = {"thinking": [{"place": 0, "block": block}]}
    said = ChatMessage(
        role=Role.ASSISTANT, content="Yes.", provider=ProviderParts(model="odd", parts=parts)
    )
    words = "messages.1.content.0: Invalid `signature` in `thinking` block"
    refused = plain(400, {"error": {"type": "invalid_request_error", "message": words}})
    ended = event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 9})
    odd = Odd(refused, STREAM + START + ended + STOP)
    history = (*REQUEST.messages, said, *REQUEST.messages)
    request = REQUEST.model_copy(update={"messages": history})
    async with (
        listening(odd) as url,
        open_models("anthropic", url, "none", 5, Prices("anthropic")) as models,
    ):
        await models.ask(request, lambda _: None)
    sent = [[block["type"] for block in body["messages"][1]["content"]] for body in odd.bodies]
    assert sent == [["thinking", "text"], ["text"]]


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
async def test_a_limit_whose_value_is_wrong_is_not_given_up(provider: str) -> None:
    words = "Invalid 'max_tokens': integer below minimum value."
    error = {"type": "invalid_request_error", "message": words, "param": "max_tokens"}
    odd = Odd(plain(400, {"error": error}))
    assert (await refusal(provider, odd)).error_code == "model_rejected"
    assert len(odd.bodies) == 1
