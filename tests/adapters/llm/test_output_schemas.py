"""Schemas of answers: sent as each provider has them, and left out where they are refused."""

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from adapters.llm.gateway import open_models
from adapters.llm.pricing import Prices
from adapters.llm.refusals import Refusals
from domain.llm.messages import ChatMessage, ModelRequest, Role, ToolDefinition
from tests.sandbox import llm_server
from tests.sandbox.llm_server import ModelServer

NUMBERS = count()
SCHEMA = {
    "type": "object",
    "properties": {"mood": {"type": "string", "enum": ["calm", "angry"]}},
    "required": ["mood"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    started = llm_server.start(tmp_path_factory.mktemp("llm"), "--token-seconds", "0.001")
    yield started
    started.stop()


def request_with(schema: dict[str, Any], tag: str, *, has_tools: bool = False) -> ModelRequest:
    tool = ToolDefinition(name="search", description="Search.", parameters={"type": "object"})
    return ModelRequest(
        model=tag,
        messages=(ChatMessage(role=Role.USER, content=f"{tag} How are they?"),),
        tools=(tool,) if has_tools else (),
        max_tokens=100,
        output_schema=schema,
    )


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
@pytest.mark.parametrize("has_tools", [False, True], ids=["alone", "with tools"])
async def test_a_schema_is_enforced_by_the_server(
    server: ModelServer, provider: str, has_tools: bool
) -> None:
    tag = f"enforced-{next(NUMBERS)}"
    async with open_models(provider, f"{server.url}/v1", "none", 5, Prices(provider)) as models:
        request = request_with(SCHEMA, tag, has_tools=has_tools)
        reply = await models.ask(request, lambda _: None)
    assert reply.text == '{"mood":"calm"}'
    (log,) = server.requests(tag)
    if provider == "openai":
        sent = log["body"]["response_format"]["json_schema"]
        assert sent == {"name": "answer", "schema": SCHEMA, "strict": True}
    else:
        assert log["body"]["output_config"] == {"format": {"type": "json_schema", "schema": SCHEMA}}


async def test_a_schema_that_cannot_be_strict_is_sent_as_it_is(server: ModelServer) -> None:
    tag, loose = f"loose-{next(NUMBERS)}", {**SCHEMA, "required": []}
    async with open_models("openai", f"{server.url}/v1", "none", 5, Prices("openai")) as models:
        await models.ask(request_with(loose, tag), lambda _: None)
    (log,) = server.requests(tag)
    assert log["body"]["response_format"]["json_schema"]["strict"] is False


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
async def test_a_schema_that_is_refused_is_left_out(server: ModelServer, provider: str) -> None:
    tag = f"refused-{next(NUMBERS)}"
    server.script({"match": tag, "behaviour": "no_output_schema", "repeat": 9})
    async with open_models(provider, f"{server.url}/v1", "none", 5, Prices(provider)) as models:
        for _ in range(2):
            reply = await models.ask(request_with(SCHEMA, tag), lambda _: None)
            assert reply.text.strip() == "Forty-two."
    names = {"response_format", "output_config"}
    assert [bool(names & set(log["body"])) for log in server.requests(tag)] == [True, False, False]


# What servers have said.
WORDS = [
    (
        "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this "
        "model.",
        None,
    ),
    (
        "Invalid schema for response_format 'answer': In context=(), 'additionalProperties' is "
        "required to be supplied and to be false.",
        "response_format",
    ),
    ("This response_format type is unavailable now", None),
    ("This model does not support response format `json_schema`. See supported models.", None),
    ("Function calling with a response mime type: 'application/json' is unsupported", None),
    (
        'Invalid JSON payload received. Unknown name "additionalProperties" at '
        "'generation_config.response_schema': Cannot find field.",
        None,
    ),
    ("json mode cannot be combined with tool/function calling", None),
    ("output_config: Extra inputs are not permitted", None),
    (
        "output_config.format.schema: For 'object' type, 'additionalProperties' must be explicitly "
        "set to false",
        None,
    ),
    ("Structured outputs are not available for this model.", None),
]


@pytest.mark.parametrize(("words", "param"), WORDS)
@pytest.mark.parametrize("name", ["response_format", "output_config"])
def test_words_of_refusals_are_understood(words: str, param: str | None, name: str) -> None:
    refusals, sent = Refusals(), {"model": "m", "messages": [], "max_tokens": 9, name: {}}
    sent_param = name if param else None
    assert refusals.learn("m", sent, words, sent_param)
    assert name not in refusals.apply("m", sent)
    assert refusals.apply("other", sent) == sent


def test_other_words_are_no_refusal_of_a_schema() -> None:
    sent = {"model": "m", "messages": [], "max_tokens": 9, "response_format": {}}
    refusals = Refusals()
    assert not refusals.learn("m", sent, "messages: roles must alternate", None)
    assert refusals.apply("m", sent) == sent
