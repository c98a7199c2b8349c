"""The models' stand-in as the anthropic SDK sees it."""

import json
from typing import Any

import anthropic
import pytest
from anthropic.types import Message, ModelInfo, RawMessageStreamEvent
from pydantic import TypeAdapter

from sandbox.llm.tokens import count, pieces
from tests.sandbox.llm_server import ModelServer, strictly
from tests.sandbox.test_llm_openai import NOTHING, PAYMENT_ID, REFUND, user

FUNCTION = REFUND["function"]
TOOL: Any = {
    "name": FUNCTION["name"],
    "description": FUNCTION["description"],
    "input_schema": FUNCTION["parameters"],
}


async def test_a_stream_has_anthropics_events(models: ModelServer) -> None:
    question = "What are anthropics events?"
    async with (
        models.anthropic() as client,
        client.messages.stream(
            model="any", max_tokens=99, system="Be brief.", messages=user(question)
        ) as stream,
    ):
        said = [text async for text in stream.text_stream]
        message = await stream.get_final_message()
    assert said == pieces(NOTHING)
    assert message.stop_reason == "end_turn"
    asked = count(question) + count("Be brief.") + 6
    assert (message.usage.input_tokens, message.usage.output_tokens) == (asked, len(said))
    (item,) = models.requests(question)
    assert (item["path"], item["is_complete"]) == ("/v1/messages", True)
    assert (item["prompt_tokens"], item["completion_tokens"]) == (asked, len(said))


@pytest.mark.parametrize("is_stream", [False, True])
async def test_a_tool_is_used(models: ModelServer, is_stream: bool) -> None:
    question = f"Refund payment {PAYMENT_ID}"
    asked: dict[str, Any] = {
        "model": "m",
        "max_tokens": 200,
        "messages": user(question),
        "tools": [TOOL],
    }
    async with models.anthropic() as client:
        if is_stream:
            async with client.messages.stream(**asked) as stream:
                message: Message = await stream.get_final_message()
        else:
            message = await client.messages.create(**asked)
    (block,) = message.content
    assert block.type == "tool_use"
    assert block.input == {"payment_id": PAYMENT_ID, "reason": question}
    assert message.stop_reason == "tool_use"
    assert message.usage.output_tokens > 20


async def test_text_and_several_calls_are_blocks_of_their_own(models: ModelServer) -> None:
    calls = [{"name": "a", "arguments": {"x": 1}}, {"name": "b", "arguments": {}}]
    models.script({"match": "several blocks", "text": "I will look.", "tool_calls": calls})
    async with (
        models.anthropic() as client,
        client.messages.stream(model="m", max_tokens=99, messages=user("several blocks")) as stream,
    ):
        message = await stream.get_final_message()
    text, *uses = message.content
    assert text.type == "text"
    assert text.text == "I will look."
    assert [(use.name, use.input) for use in uses if use.type == "tool_use"] == [
        ("a", {"x": 1}),
        ("b", {}),
    ]


async def test_a_tools_result_is_told(models: ModelServer) -> None:
    use: Any = {"type": "tool_use", "id": "t", "name": "refund_payment", "input": {"a": 1}}
    result: Any = {"type": "tool_result", "tool_use_id": "t", "content": '{"status": "rejected"}'}
    parts = [{"type": "text", "text": "rejected"}]
    async with models.anthropic() as client:
        for content in (result["content"], parts):
            message = await client.messages.create(
                model="m",
                max_tokens=99,
                messages=[
                    *user("Refund it"),
                    {"role": "assistant", "content": [use]},
                    {"role": "user", "content": [result | {"content": content}]},
                ],
            )
            (block,) = message.content
            assert block.type == "text"
            assert block.text.startswith("That was rejected, so nothing was done")


def test_every_event_and_answer_is_what_the_sdk_declares(models: ModelServer) -> None:
    for question in ("x", f"Refund {PAYMENT_ID}"):
        body = {"model": "m", "max_tokens": 99, "messages": user(question), "tools": [TOOL]}
        whole = models.http.post("/v1/messages", json=body)
        assert whole.headers["request-id"]
        strictly(Message, whole.content)
        reply = models.http.post("/v1/messages", json=body | {"stream": True})
        *events, rest = reply.text.split("\n\n")
        assert not rest
        kinds = []
        for event in events:
            name, data = event.split("\n")
            kinds.append(json.loads(data.removeprefix("data: "))["type"])
            assert name == f"event: {kinds[-1]}"
            TypeAdapter[Any](RawMessageStreamEvent).validate_json(
                data.removeprefix("data: "), strict=True
            )
        assert kinds[:2] == ["message_start", "content_block_start"]
        assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]


async def test_limits_structure_models_and_refusals(models: ModelServer) -> None:
    schema: dict[str, object] = {
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "required": ["n"],
    }
    async with models.anthropic() as client:
        cut = await client.messages.create(model="m", max_tokens=2, messages=user("x"))
        assert (cut.stop_reason, cut.usage.output_tokens) == ("max_tokens", 2)
        made = await client.messages.create(
            model="m",
            max_tokens=99,
            messages=user("x"),
            output_config={"format": {"type": "json_schema", "schema": schema}},
        )
        (block,) = made.content
        assert block.type == "text"
        assert json.loads(block.text) == {"n": 0}
        assert "claude-sonnet-4-5" in [model.id async for model in client.models.list()]
        strictly(
            ModelInfo,
            models.http.get("/v1/models/x", headers={"anthropic-version": "2023-06-01"}).content,
        )
        forced = await client.messages.create(
            model="m",
            max_tokens=99,
            messages=user("x"),
            tools=[TOOL],
            tool_choice={"type": "tool", "name": "refund_payment"},
        )
        assert forced.stop_reason == "tool_use"
        with pytest.raises(anthropic.BadRequestError, match="messages: at least one"):
            await client.messages.create(model="m", max_tokens=9, messages=[])
    reply = models.http.post("/v1/messages", json={"model": "m", "messages": user("x")})
    assert (reply.status_code, reply.json()["type"]) == (400, "error")
    assert reply.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("status", "kind", "name"),
    [
        (401, anthropic.AuthenticationError, "authentication_error"),
        (429, anthropic.RateLimitError, "rate_limit_error"),
        (500, anthropic.InternalServerError, "api_error"),
        (529, anthropic.InternalServerError, "overloaded_error"),
    ],
)
async def test_ordered_errors_have_anthropics_shape(
    models: ModelServer, status: int, kind: type[anthropic.APIStatusError], name: str
) -> None:
    text = f"anthropic fails with {status}"
    models.script({"match": text, "status": status, "retry_after": 2})
    async with models.anthropic() as client:
        with pytest.raises(kind) as caught:
            await client.messages.create(model="m", max_tokens=9, messages=user(text))
    assert caught.value.response.headers["retry-after"] == "2"
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["error"]["type"] == name


async def test_a_stream_without_its_end_just_ends(models: ModelServer) -> None:
    models.script({"match": "no end at all", "text": "Half", "no_finish_reason": True})
    async with models.anthropic() as client:
        stream = await client.messages.create(
            model="m", max_tokens=9, messages=user("no end at all"), stream=True
        )
        kinds = [event.type async for event in stream]
    assert kinds == ["message_start", "content_block_start", "content_block_delta"]
