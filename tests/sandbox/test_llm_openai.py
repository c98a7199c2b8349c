"""The models' stand-in as the openai SDK sees it."""

import json
import math
from typing import Any

import openai
import pytest
from openai.types import CreateEmbeddingResponse, Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import BaseModel, Field

from sandbox.llm.tokens import count, pieces
from tests.sandbox.llm_server import ModelServer, strictly

NOTHING = "I found nothing about that in the documents."
REFUND: Any = {
    "type": "function",
    "function": {
        "name": "refund_payment",
        "description": "Give money back.",
        "parameters": {
            "type": "object",
            "properties": {
                "payment_id": {"type": "string", "format": "uuid"},
                "reason": {"type": "string"},
            },
            "required": ["payment_id", "reason"],
        },
    },
}
PAYMENT_ID = "3f2b8a44-1111-4222-8333-abcdefabcdef"


def user(text: str) -> Any:
    return [{"role": "user", "content": text}]


async def test_a_stream_has_one_token_a_delta_and_ends_with_its_usage(models: ModelServer) -> None:
    question = "What is streamed-by-tokens?"
    async with models.openai() as client:
        stream = await client.chat.completions.create(
            model="any-name",
            messages=user(question),
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in stream]
    deltas = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    said = [delta for delta in deltas if delta]
    assert said == pieces(NOTHING)
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-2:] == [None, "stop"]
    usage = chunks[-1].usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens) == (count(question) + 3, len(said))
    (item,) = models.requests(question)
    started, ended = item.pop("started_wall_time"), item.pop("ended_wall_time")
    assert ended - started > 0
    assert item.pop("seq") > 0
    assert item.pop("body")["messages"] == user(question)
    assert item == {
        "path": "/v1/chat/completions",
        "model": "any-name",
        "is_stream": True,
        "status": 200,
        "finish_reason": "stop",
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "is_complete": True,
        "is_client_gone": False,
        "scripted": False,
        "behaviour": None,
        "refusal": None,
        "piece_count": len(said),
        "piece_bytes": len(NOTHING.encode()),
    }


async def test_usage_is_streamed_only_if_asked_for(models: ModelServer) -> None:
    async with models.openai() as client:
        stream = await client.chat.completions.create(model="m", messages=user("x"), stream=True)
        assert [chunk.usage async for chunk in stream if chunk.usage] == []


def test_every_event_and_answer_is_what_the_sdk_declares(models: ModelServer) -> None:
    body = {"model": "m", "messages": user(f"Refund {PAYMENT_ID}"), "tools": [REFUND]}
    whole = models.http.post("/v1/chat/completions", json=body)
    assert whole.headers["x-request-id"]
    completion = strictly(ChatCompletion, whole.content)
    asked = {"stream": True, "stream_options": {"include_usage": True}}
    streamed = models.http.post("/v1/chat/completions", json=body | asked)
    assert streamed.headers["content-type"].startswith("text/event-stream")
    *events, done, rest = streamed.content.split(b"\n\n")
    assert (done, rest) == (b"data: [DONE]", b"")
    chunks = [strictly(ChatCompletionChunk, event.removeprefix(b"data: ")) for event in events]
    assert chunks[-1].usage == completion.usage


@pytest.mark.parametrize("is_stream", [False, True])
async def test_a_tool_is_called(models: ModelServer, is_stream: bool) -> None:
    question = f"Please refund payment {PAYMENT_ID}, it broke."
    async with models.openai() as client:
        asked: dict[str, Any] = {"model": "m", "messages": user(question), "tools": [REFUND]}
        if is_stream:
            async with client.chat.completions.stream(
                **asked, stream_options={"include_usage": True}
            ) as stream:
                completion: ChatCompletion = await stream.get_final_completion()
        else:
            completion = await client.chat.completions.create(**asked)
    (choice,) = completion.choices
    assert choice.finish_reason == "tool_calls"
    assert not choice.message.content
    (call,) = choice.message.tool_calls or []
    assert call.type == "function"
    assert call.id.startswith("call_")
    assert call.function.name == "refund_payment"
    assert json.loads(call.function.arguments) == {"payment_id": PAYMENT_ID, "reason": question}
    assert completion.usage is not None
    assert completion.usage.completion_tokens == 1 + count(call.function.arguments)


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
async def test_an_answer_is_cut_at_its_limit(models: ModelServer, name: str) -> None:
    limit: Any = {name: 3}
    async with models.openai() as client:
        completion = await client.chat.completions.create(
            model="m", messages=user("Say more"), **limit
        )
    (choice,) = completion.choices
    assert (choice.finish_reason, choice.message.content) == ("length", NOTHING[:7])
    assert completion.usage is not None
    assert completion.usage.completion_tokens == 3


async def test_everything_that_is_sent_counts_as_prompt(models: ModelServer) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 12345}'}}
    messages: Any = [
        {"role": "system", "content": [{"type": "text", "text": "Be brief."}]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "ok"},
    ]
    async with models.openai() as client:
        plain = await client.chat.completions.create(model="m", messages=messages)
        tooled = await client.chat.completions.create(model="m", messages=messages, tools=[REFUND])
    assert plain.usage is not None
    assert tooled.usage is not None
    assert plain.usage.prompt_tokens == 3 * 3 + count("Be brief.") + count('{"a": 12345}') + 1
    schema = json.dumps(REFUND["function"]["parameters"], separators=(",", ":"))
    more = count("refund_payment") + count("Give money back.") + count(schema)
    assert tooled.usage.prompt_tokens - plain.usage.prompt_tokens == more


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "a",
        "a b c d e f",
        "internationalisation",
        " x \n\n y  ",
        "a\u2003é€😀 😀",
        "\n" * 9_999,
    ],
)
def test_tokens_are_never_more_than_half_of_the_bytes(text: str) -> None:
    assert "".join(pieces(text)) == text
    assert len(pieces(text)) <= -(-len(text.encode()) // 2)


class Verdict(BaseModel):
    is_good: bool
    score: int = Field(ge=3)
    words: list[str]


async def test_structured_output_is_valid(models: ModelServer) -> None:
    async with models.openai() as client:
        parsed = await client.chat.completions.parse(
            model="m", messages=user("x"), response_format=Verdict
        )
        assert parsed.choices[0].message.parsed == Verdict(is_good=False, score=3, words=[])
        some = await client.chat.completions.create(
            model="m", messages=user("x"), response_format={"type": "json_object"}
        )
        assert json.loads(some.choices[0].message.content or "") == {"answer": NOTHING}


async def test_embeddings_are_of_length_one_and_near_for_like_texts(models: ModelServer) -> None:
    texts = ["the night train to Varna", "A night train to Varna!", "grace periods of invoices"]
    async with models.openai() as client:
        made = await client.embeddings.create(model="text-embedding-3-small", input=texts)
        plain = await client.embeddings.create(
            model="text-embedding-3-small", input=texts[0], encoding_format="float"
        )
        short = await client.embeddings.create(model="e", input=[[1, 2], [3]], dimensions=64)
        with pytest.raises(openai.BadRequestError, match="empty"):
            await client.embeddings.create(model="e", input="")
    vectors = [row.embedding for row in made.data]
    assert all(math.isclose(math.hypot(*vector), 1, rel_tol=1e-6) for vector in vectors)
    assert plain.data[0].embedding == pytest.approx(vectors[0], abs=1e-7)
    near, far = (sum(map(math.prod, zip(vectors[0], v, strict=True))) for v in vectors[1:])
    assert near > 0.7
    assert far < 0.2
    assert [len(row.embedding) for row in short.data] == [64, 64]
    assert made.usage.prompt_tokens == sum(map(count, texts))
    reply = models.http.post("/v1/embeddings", json={"model": "e", "input": "x"})
    strictly(CreateEmbeddingResponse, reply.content)
    assert models.requests(texts[2])[0]["path"] == "/v1/embeddings"


async def test_models_are_listed_and_every_name_is_one(models: ModelServer) -> None:
    async with models.openai() as client:
        assert "gpt-4.1" in [model.id async for model in client.models.list()]
        assert (await client.models.retrieve("org/any:thing")).id == "org/any:thing"
    strictly(Model, models.http.get("/v1/models/x").content)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"messages": user("x")}, "model: str required"),
        ({"model": "m"}, "messages: list required"),
        ({"model": "m", "messages": []}, "at least one"),
        ({"model": "m", "messages": user("x"), "max_tokens": 0}, "max_tokens: at least 1"),
        ({"model": "m", "messages": ["x"]}, "role: str required"),
        ({"model": "m", "messages": user("x"), "tools": [{"type": "function"}]}, "function"),
        ({"model": "m", "messages": [{"role": "assistant", "tool_calls": [{}]}]}, "right shape"),
        ([], "messages: list required"),
    ],
)
def test_a_bad_request_is_refused_in_openais_shape(
    models: ModelServer, body: Any, words: str
) -> None:
    logged = len(models.requests())
    reply = models.http.post("/v1/chat/completions", json=body)
    assert reply.status_code == 400
    error = reply.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    assert words in error["message"]
    assert len(models.requests()) == logged


async def test_what_is_not_there_is_not_found(models: ModelServer) -> None:
    assert models.http.post("/v1/chat/completions", content=b"{").status_code == 400
    async with models.openai() as client:
        with pytest.raises(openai.NotFoundError, match="Invalid URL") as caught:
            await client.responses.create(model="m", input="x")
    assert caught.value.code == "unknown_url"
