"""Scripted replies and faults of the models' stand-in, and what its log says of them."""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.sandbox import llm_server, servers
from tests.sandbox.llm_server import ModelServer
from tests.sandbox.test_llm_openai import NOTHING, user

_NUMBERS = itertools.count()


@pytest.fixture
def mark() -> str:
    """Words that no other test asks with."""
    return f"question-{next(_NUMBERS)}-of-the-script"


async def ask(client: openai.AsyncOpenAI, text: str, **more: Any) -> Any:
    return await client.chat.completions.create(model="m", messages=user(text), **more)


async def stream_of(client: openai.AsyncOpenAI, text: str) -> Any:
    return await ask(client, text, stream=True, stream_options={"include_usage": True})


async def texts(client: openai.AsyncOpenAI, text: str) -> AsyncIterator[str]:
    """Yield the pieces of text of a stream, as they come."""
    async for chunk in await stream_of(client, text):
        if chunk.choices and chunk.choices[0].delta.content:
            yield chunk.choices[0].delta.content


async def test_replies_are_taken_in_order_by_whom_they_are_meant_for(
    models: ModelServer, mark: str
) -> None:
    models.script(
        {"match": f"{mark}-a", "text": "first", "repeat": 2},
        {"match": f"{mark}-b", "text": "for b"},
        {"match": f"{mark}-a", "text": "last"},
    )
    async with models.openai() as client:
        names = ["a", "b", "a", "a", "a"]
        said = [(await ask(client, f"{mark}-{name}")).choices[0].message.content for name in names]
    assert said == ["first", "for b", "first", "last", NOTHING]
    assert [item["scripted"] for item in models.requests(mark)] == [True] * 4 + [False]


async def test_errors_are_ordered_in_openais_shape(models: ModelServer, mark: str) -> None:
    models.script(
        {"match": mark, "status": 429, "retry_after": 1.5, "code": "insufficient_quota"},
        {"match": mark, "status": 500, "message": "broken"},
        {"match": mark, "status": 503, "delay_seconds": 0.1},
    )
    async with models.openai() as client:
        with pytest.raises(openai.RateLimitError) as limited:
            await ask(client, mark)
        with pytest.raises(openai.InternalServerError, match="broken") as broken:
            await stream_of(client, mark)
        begun = time.monotonic()
        with pytest.raises(openai.InternalServerError):
            await ask(client, mark)
    assert time.monotonic() - begun >= 0.1
    assert limited.value.response.headers["retry-after"] == "1.5"
    assert (limited.value.code, limited.value.type) == ("insufficient_quota", "rate_limit_error")
    assert broken.value.type == "server_error"
    seen = [(item["status"], item["prompt_tokens"]) for item in models.requests(mark)]
    assert seen == [(429, 0), (500, 0), (503, 0)]


async def test_malformed_arguments_and_ids_arrive_as_ordered(
    models: ModelServer, mark: str
) -> None:
    call = {"name": "f", "arguments": '{"a": ', "id": "call_again"}
    models.script({"match": mark, "tool_calls": [call, {"name": "g"}]})
    async with models.openai() as client:
        reply = await ask(client, mark)
    first, second = reply.choices[0].message.tool_calls
    assert (first.id, first.function.arguments) == ("call_again", '{"a": ')
    assert json.loads(second.function.arguments) == {}
    assert reply.choices[0].finish_reason == "tool_calls"


@pytest.mark.parametrize("token_count", [0, 1, 5, 500])
async def test_an_answer_has_exactly_the_ordered_tokens(
    models: ModelServer, mark: str, token_count: int
) -> None:
    models.script(
        {"match": mark, "text": "Some words ", "token_count": token_count, "token_seconds": 0}
    )
    async with models.openai() as client:
        chunks = [chunk async for chunk in await stream_of(client, mark)]
    said = [c for c in chunks if c.choices and c.choices[0].delta.content]
    assert len(said) == token_count == chunks[-1].usage.completion_tokens


async def test_tokens_come_at_the_ordered_pace_and_their_times_are_kept(
    models: ModelServer, mark: str
) -> None:
    models.script({"match": mark, "token_count": 4, "token_seconds": 0.05, "timed": True})
    async with models.openai() as client:
        arrivals = [time.time() async for _ in texts(client, mark)]
    (item,) = models.requests(mark)
    assert len(item["token_wall_times"]) == 4
    assert item["token_wall_times"][-1] - item["token_wall_times"][0] >= 0.15
    lags = [seen - sent for sent, seen in zip(item["token_wall_times"], arrivals, strict=True)]
    assert all(lag >= 0 for lag in lags)
    assert "token_wall_times" not in models.requests()[0]


@pytest.mark.parametrize("token_count", [0, 2])
async def test_a_connection_is_cut_after_so_many_tokens(
    models: ModelServer, mark: str, token_count: int
) -> None:
    models.script({"match": mark, "disconnect_after": token_count, "repeat": 2})
    said: list[str] = []

    async def listen(client: openai.AsyncOpenAI) -> None:
        async for text in texts(client, mark):
            said.append(text)  # noqa: PERF401 - the stream breaks off

    async with models.openai() as client:
        with pytest.raises(openai.APIConnectionError):
            await listen(client)
        with pytest.raises(openai.APIConnectionError):
            await ask(client, mark)
    assert len(said) == token_count
    for item in models.requests(mark):
        assert item["completion_tokens"] == token_count
        assert (item["is_complete"], item["is_client_gone"]) == (False, False)
        assert item["ended_wall_time"]


async def test_a_stream_can_lack_its_finish_reason(models: ModelServer, mark: str) -> None:
    models.script({"match": mark, "text": "Half an", "no_finish_reason": True})
    async with models.openai() as client:
        chunks = [chunk async for chunk in await stream_of(client, mark)]
    assert "".join(chunk.choices[0].delta.content for chunk in chunks) == "Half an"
    assert all(c.choices[0].finish_reason is None and c.usage is None for c in chunks)
    assert models.requests(mark)[0]["finish_reason"] is None


@pytest.mark.parametrize("reason", ["length", "content_filter"])
async def test_a_finish_reason_can_be_ordered(models: ModelServer, mark: str, reason: str) -> None:
    models.script({"match": mark, "finish_reason": reason})
    async with models.openai() as client:
        reply = await ask(client, mark)
    assert reply.choices[0].finish_reason == models.requests(mark)[0]["finish_reason"] == reason


async def test_a_client_that_leaves_is_noticed_at_once(models: ModelServer, mark: str) -> None:
    models.script({"match": mark, "token_count": 10_000, "token_seconds": 0.01})
    models.script({"match": mark, "delay_seconds": 60})
    async with models.openai() as client:
        stream = await stream_of(client, mark)
        async for chunk in stream:
            if chunk.choices[0].delta.content:
                break
        left = [time.time()]
        await stream.close()
        silent = asyncio.create_task(ask(client, mark))
        await asyncio.to_thread(servers.wait_for, "call 2", lambda: len(models.requests(mark)) == 2)
        left.append(time.time())
        silent.cancel()
        await asyncio.gather(silent, return_exceptions=True)
    servers.wait_for(
        "both ends", lambda: all(item["ended_wall_time"] for item in models.requests(mark))
    )
    streamed, waiting = models.requests(mark)
    assert 1 <= streamed["completion_tokens"] < 50
    assert (streamed["status"], waiting["status"]) == (200, None)
    for item, moment in zip((streamed, waiting), left, strict=True):
        assert (item["is_client_gone"], item["is_complete"]) == (True, False)
        assert item["ended_wall_time"] - moment > -0.1


async def test_faults_can_be_meant_for_other_paths(models: ModelServer, mark: str) -> None:
    models.script(
        {"path": "/v1/embeddings", "match": mark, "status": 500},
        {"path": "/v1/models", "status": 401},
    )
    async with models.openai() as client:
        with pytest.raises(openai.AuthenticationError) as refused:
            await client.models.list()
        assert refused.value.code == "invalid_api_key"
        with pytest.raises(openai.InternalServerError):
            await client.embeddings.create(model="e", input=mark)
        await client.embeddings.create(model="e", input=mark)
        await client.models.list()
    seen = [(item["status"], item["prompt_tokens"] > 0) for item in models.requests(mark)]
    assert seen == [(500, False), (200, True)]


@pytest.mark.parametrize(
    "body",
    [{}, {"items": []}, {"items": [{"txt": "typo"}]}, {"items": [{"status": 200}]}, "{"],
)
def test_a_bad_script_is_refused(models: ModelServer, body: Any) -> None:
    content = body if isinstance(body, str) else json.dumps(body)
    reply = models.http.post("/_sandbox/script", content=content)
    assert reply.status_code == 400
    assert reply.json()["error"]["type"] == "invalid_request_error"


async def test_log_and_script_survive_sigkill(tmp_path: Path) -> None:
    port = servers.free_port()
    first = llm_server.start(tmp_path, port=port)
    first.script({"token_count": 1_000}, {"text": "after the kill"})
    said: list[str] = []

    async def listen_and_kill(client: openai.AsyncOpenAI) -> None:
        async for text in texts(client, "x"):
            said.append(text)
            if len(said) == 3:
                first.kill()

    async with first.openai() as client:
        with pytest.raises(openai.APIConnectionError):
            await listen_and_kill(client)
    second = llm_server.start(tmp_path, port=port)
    async with second.openai() as client:
        assert (await ask(client, "x")).choices[0].message.content == "after the kill"
    cut, done = second.requests()
    assert (cut["ended_wall_time"], cut["is_complete"]) == (None, False)
    assert len(said) <= cut["completion_tokens"] <= len(said) + 20
    assert (cut["seq"], done["seq"]) == (1, 2)
    second.script({"text": "never said"})
    second.http.post("/_sandbox/reset").raise_for_status()
    assert second.requests() == []
    async with second.openai() as client:
        assert (await ask(client, "x")).choices[0].message.content == NOTHING
    second.stop()
