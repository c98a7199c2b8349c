"""Batches reached by the real SDK: what comes back, what every end becomes, and what is found."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

import pytest

from adapters.llm.gateway import Models, open_models
from adapters.llm.pricing import Prices
from adapters.llm.provider import BatchEndpoint, Progress
from domain.errors import ApplicationError, ProviderRejectedError, ProviderUnavailableError
from domain.llm.messages import (
    ChatMessage,
    FinishReason,
    ModelReply,
    ModelRequest,
    Role,
    TokenUsage,
    ToolDefinition,
)
from observability.metrics import LLM_COST_CENTS, LLM_REQUESTS
from tests.sandbox import llm_server
from tests.sandbox.llm_server import ModelServer
from tests.sandbox.test_llm_batches import batches

NUMBERS = count()
SEARCH = ToolDefinition(
    name="search_memory",
    description="Search.",
    parameters={"type": "object", "properties": {"query": {"type": "string"}}},
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    options = ("--token-seconds", "0.001", "--batch-seconds", "0.1")
    started = llm_server.start(tmp_path_factory.mktemp("llm"), *options)
    yield started
    started.stop()


@pytest.fixture
async def models(server: ModelServer) -> AsyncIterator[Models]:
    async with open_models("openai", f"{server.url}/v1", "k", 5, Prices("openai")) as models:
        yield models


@pytest.fixture
def request_of_mine() -> ModelRequest:
    number = next(NUMBERS)
    return ModelRequest(
        # Reason: what a model refuses is remembered by its name.
        model=f"model-{number:04}",
        messages=(ChatMessage(role=Role.USER, content=f"mark-{number:04} Well?"),),
        tools=(SEARCH,),
        max_tokens=300,
    )


def mark_of(request: ModelRequest) -> str:
    return request.messages[-1].content.split()[0]


def key_of(request: ModelRequest) -> str:
    return f"agent-run-{mark_of(request)}:0:1"


async def answer(
    endpoint: BatchEndpoint, request: ModelRequest, progress: Progress, batch_id: str | None = None
) -> ModelReply:
    """Wait for the answer of a batch, which is created if there is none yet."""
    key = key_of(request)
    batch_id = batch_id or await endpoint.create(request, key)
    async with asyncio.timeout(60):
        while (result := await endpoint.fetch(batch_id, key)) is None:  # noqa: ASYNC110 - a process
            await asyncio.sleep(0.05)
    return endpoint.read(result, request, progress)


async def test_an_answer_comes_whole_with_its_usage(
    models: Models, server: ModelServer, request_of_mine: ModelRequest
) -> None:
    mark, progress = mark_of(request_of_mine), Progress()
    call = {"name": "search_memory", "arguments": {"query": "x"}, "id": "c1"}
    server.script({"match": mark, "text": "Let me see.", "tool_calls": [call]})
    reply = await answer(models.batches(request_of_mine), request_of_mine, progress)
    assert (reply.text, reply.finish_reason) == ("Let me see.", FinishReason.TOOL_CALLS)
    assert [(each.tool, each.provider_call_id) for each in reply.tool_calls] == [
        ("search_memory", "c1")
    ]
    (log,) = server.requests(mark)
    used = TokenUsage(
        prompt_tokens=log["prompt_tokens"], completion_tokens=log["completion_tokens"]
    )
    assert reply.usage == progress.usage == used
    assert (progress.is_final, progress.was_sent) == (True, True)
    sent = log["body"]
    assert sent["tools"][0]["function"]["name"] == "search_memory"
    assert "stream" not in sent
    assert "stream_options" not in sent
    (batch,) = batches(server, mark)
    assert batch["metadata"] == {"call": key_of(request_of_mine)}
    assert json.loads(batch["input"])["custom_id"] == key_of(request_of_mine)


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [
        ("batch_fails", "model_batch_failed"),
        ("batch_expires", "model_batch_expired"),
        ("batch_error_line", "model_batch_failed"),
        ("no_tools", "model_without_tools"),
        ("too_large", "model_request_too_large"),
    ],
)
async def test_an_end_without_an_answer_has_a_name_and_costs_nothing(
    models: Models,
    server: ModelServer,
    request_of_mine: ModelRequest,
    behaviour: str,
    code: str,
) -> None:
    server.script({"match": mark_of(request_of_mine), "behaviour": behaviour})
    progress = Progress()
    with pytest.raises(ProviderRejectedError) as caught:
        await answer(models.batches(request_of_mine), request_of_mine, progress)
    assert caught.value.error_code == code
    assert (progress.was_sent, progress.usage) == (False, None)


async def test_what_a_batch_failed_of_is_told(
    models: Models, server: ModelServer, request_of_mine: ModelRequest
) -> None:
    server.script({"match": mark_of(request_of_mine), "behaviour": "batch_fails"})
    with pytest.raises(ProviderRejectedError) as caught:
        await answer(models.batches(request_of_mine), request_of_mine, Progress())
    assert caught.value.details["provider_code"] == "token_limit_exceeded"


async def test_a_refused_parameter_is_left_out_of_the_next_batch(
    models: Models, server: ModelServer, request_of_mine: ModelRequest
) -> None:
    mark, endpoint = mark_of(request_of_mine), models.batches(request_of_mine)
    server.script({"match": mark, "behaviour": "no_temperature", "repeat": 2})
    progress = Progress()
    with pytest.raises(ProviderUnavailableError) as caught:
        await answer(endpoint, request_of_mine, progress)
    assert (caught.value.error_code, progress.was_sent) == ("model_rejected", False)
    assert (await answer(endpoint, request_of_mine, progress)).text
    assert ["temperature" in each["body"] for each in server.requests(mark)] == [True, False]


async def test_an_answer_without_a_finish_reason_is_none(
    models: Models, server: ModelServer, request_of_mine: ModelRequest
) -> None:
    server.script({"match": mark_of(request_of_mine), "text": "It is", "no_finish_reason": True})
    progress = Progress()
    with pytest.raises(ProviderUnavailableError) as caught:
        await answer(models.batches(request_of_mine), request_of_mine, progress)
    assert caught.value.error_code == "model_stream_incomplete"
    assert progress.was_sent
    assert progress.usage is not None


async def test_a_batch_whose_creation_got_no_answer_is_found(
    models: Models, server: ModelServer, request_of_mine: ModelRequest
) -> None:
    mark, endpoint, begun_at = (
        mark_of(request_of_mine),
        models.batches(request_of_mine),
        datetime.now(UTC),
    )
    key = key_of(request_of_mine)
    assert await endpoint.find(key, begun_at) is None
    server.script({"match": mark, "behaviour": "batch_answer_lost"})
    with pytest.raises(ProviderUnavailableError):
        await endpoint.create(request_of_mine, key)
    found = await endpoint.find(key, begun_at)
    assert found is not None
    assert (await answer(endpoint, request_of_mine, Progress(), found)).text
    assert len(batches(server, mark)) == 1


async def test_a_batch_is_found_behind_hundreds_of_others(
    models: Models, server: ModelServer, request_of_mine: ModelRequest
) -> None:
    endpoint, begun_at = models.batches(request_of_mine), datetime.now(UTC)
    made = await endpoint.create(request_of_mine, key_of(request_of_mine))
    (batch,) = batches(server, mark_of(request_of_mine))
    order = {name: batch[name] for name in ("input_file_id", "endpoint", "completion_window")}
    for _ in range(120):
        assert server.http.post("/v1/batches", json=order).is_success
    assert await endpoint.find(key_of(request_of_mine), begun_at) == made
    # What is much older than the call is not looked through.
    later = datetime.now(UTC) + timedelta(hours=1)
    assert await endpoint.find(key_of(request_of_mine), later) is None


async def test_a_batch_is_canceled_once(
    models: Models, server: ModelServer, request_of_mine: ModelRequest
) -> None:
    server.script({"match": mark_of(request_of_mine), "delay_seconds": 60})
    endpoint, progress = models.batches(request_of_mine), Progress()
    made = await endpoint.create(request_of_mine, key_of(request_of_mine))
    await endpoint.cancel(made)
    with pytest.raises(ProviderRejectedError) as caught:
        await answer(endpoint, request_of_mine, progress, made)
    assert (caught.value.error_code, progress.was_sent) == ("model_batch_canceled", False)
    await endpoint.cancel(made)  # it has ended, which is no error


@pytest.mark.parametrize(
    ("fault", "code", "is_retryable"),
    [
        ({"status": 404}, "batches_unsupported", False),
        ({"status": 401}, "model_credentials", False),
        ({"status": 400, "message": "no such model"}, "model_rejected", False),
        ({"status": 429, "retry_after": 9}, "model_rate_limited", True),
        ({"status": 503}, "model_unavailable", True),
        ({"disconnect_after": 0}, "model_unanswered", True),
    ],
)
@pytest.mark.parametrize("path", ["/v1/files", "/v1/batches"])
async def test_a_creation_that_fails(
    models: Models,
    server: ModelServer,
    request_of_mine: ModelRequest,
    fault: dict[str, Any],
    code: str,
    is_retryable: bool,
    path: str,
) -> None:
    server.script({"match": mark_of(request_of_mine), "path": path, **fault})
    with pytest.raises(ApplicationError) as caught:
        await models.batches(request_of_mine).create(request_of_mine, key_of(request_of_mine))
    assert (caught.value.error_code, caught.value.is_retryable) == (code, is_retryable)
    if "retry_after" in fault:
        assert caught.value.details["retry_after_seconds"] == 9


async def test_anthropic_has_none_that_can_be_used(
    server: ModelServer, request_of_mine: ModelRequest
) -> None:
    async with open_models("anthropic", server.url, "k", 5, Prices("anthropic")) as models:
        with pytest.raises(ProviderRejectedError) as caught:
            models.batches(request_of_mine)
    assert caught.value.error_code == "batches_unsupported"


async def test_metrics_count_a_batch_at_half_the_price(models: Models) -> None:
    request = ModelRequest(
        model="gpt-4.1", messages=(ChatMessage(role=Role.USER, content="?"),), max_tokens=9
    )
    usage = TokenUsage(prompt_tokens=1_000, completion_tokens=100)

    def read() -> tuple[float, float]:
        requests = LLM_REQUESTS.labels("gpt-4.1", "succeeded")._value.get()
        return requests, LLM_COST_CENTS.labels("gpt-4.1")._value.get()

    before = read()
    models.note_batch(request, "succeeded", usage)
    models.note_batch(request, "succeeded", None)
    after = read()
    full = Prices("openai").cost("gpt-4.1", usage).cents
    assert after[0] - before[0] == 2
    assert after[1] - before[1] == pytest.approx(float(full / Decimal(2)))
