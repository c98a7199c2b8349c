"""Models reached by their real SDKs: what comes back, and what every fault becomes."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from typing import Any

import httpx
import pytest

from adapters.llm.gateway import Models, open_models
from adapters.llm.pricing import Cost, Prices
from adapters.llm.provider import Progress
from adapters.tls import trusted
from domain.errors import ApplicationError, ProviderRejectedError, ProviderUnavailableError
from domain.llm.messages import (
    ChatMessage,
    FinishReason,
    ModelRequest,
    RequestedCall,
    Role,
    TokenUsage,
    ToolDefinition,
)
from observability.metrics import CIRCUIT_BREAKER_STATE, LLM_COST_CENTS, LLM_REQUESTS, LLM_TOKENS
from tests.conftest import free_port, start_sandbox, wait_for_url

MODELS = {"openai": "gpt-4.1", "anthropic": "claude-opus-4-8"}
PATHS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}
SECRET = "sk-very-secret"
PROMPT = "the moon is made of cheese"
SYSTEM = ChatMessage(role=Role.SYSTEM, content="Be brief.")
QUESTION = ChatMessage(role=Role.USER, content=PROMPT)
SEARCH = ToolDefinition(
    name="search_memory",
    description="Search what is remembered.",
    parameters={"type": "object", "properties": {"query": {"type": "string"}}},
)


class Sandbox:
    """The stand-in's controls."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.http = httpx.Client(base_url=url, verify=trusted())

    def script(self, *items: dict[str, Any]) -> None:
        posted = self.http.post("/_sandbox/script", json={"items": list(items)})
        assert posted.is_success, posted.text

    def last(self) -> dict[str, Any]:
        items: list[dict[str, Any]] = self.http.get("/_sandbox/requests").json()["items"]
        return items[-1]

    def count(self) -> int:
        return len(self.http.get("/_sandbox/requests").json()["items"])


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A stand-in of this module's own: others shall not take what is scripted here."""
    port = free_port()
    data = tmp_path_factory.mktemp("llm")
    child = start_sandbox("sandbox.llm", data, "--port", str(port), "--token-seconds", "0.001")
    url = f"http://127.0.0.1:{port}"
    wait_for_url(f"{url}/_sandbox/health")
    mine = Sandbox(url)
    yield mine
    mine.http.close()
    child.terminate()
    child.wait(10)


@pytest.fixture(params=["openai", "anthropic"])
def provider(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def models(provider: str, sandbox: Sandbox) -> AsyncIterator[Models]:
    url = f"{sandbox.url}/v1"
    async with open_models(provider, url, SECRET, 5, Prices(provider)) as models:
        yield models


def request_of(provider: str, *messages: ChatMessage, **more: Any) -> ModelRequest:
    return ModelRequest(
        **{
            "model": MODELS[provider],
            "messages": messages or (SYSTEM, QUESTION),
            "max_tokens": 500,
            **more,
        },
    )


def metric(counter: Any, *labels: str) -> float:
    return float(counter.labels(*labels)._value.get())


async def test_an_answer_comes_in_pieces_with_its_usage(
    models: Models,
    provider: str,
    sandbox: Sandbox,
) -> None:
    model = MODELS[provider]
    before = metric(LLM_REQUESTS, model, "succeeded"), metric(LLM_TOKENS, model, "completion")
    cents = metric(LLM_COST_CENTS, model)
    sandbox.script({"text": "No, of basalt: that is älter.", "path": PATHS[provider]})
    pieces: list[str] = []
    progress = Progress()
    reply = await models.ask(request_of(provider), pieces.append, progress)
    log = sandbox.last()

    assert reply.text == "".join(pieces) == "No, of basalt: that is älter."
    assert len(pieces) > 3
    assert reply.finish_reason is FinishReason.STOP
    assert reply.tool_calls == ()
    assert reply.usage == TokenUsage(
        prompt_tokens=log["prompt_tokens"],
        completion_tokens=log["completion_tokens"],
    )
    assert progress == Progress(
        has_begun=True,
        token_count=len(pieces),
        usage=reply.usage,
        was_sent=True,
        is_final=True,
        pieces=pieces,
    )
    assert metric(LLM_REQUESTS, model, "succeeded") == before[0] + 1
    assert metric(LLM_TOKENS, model, "completion") == before[1] + log["completion_tokens"]
    cost = Prices(provider).cost(model, reply.usage)
    assert cost.is_priced
    assert metric(LLM_COST_CENTS, model) - cents == pytest.approx(float(cost.cents))


async def test_the_request_is_said_in_the_providers_words(
    models: Models,
    provider: str,
    sandbox: Sandbox,
) -> None:
    calls = (
        RequestedCall(provider_call_id="call_1", tool="search_memory", arguments='{"query": "a"'),
        RequestedCall(provider_call_id="call_2", tool="search_memory", arguments="nonsense"),
    )
    history = (
        SYSTEM,
        QUESTION,
        ChatMessage(role=Role.ASSISTANT, content="", tool_calls=calls),
        ChatMessage(role=Role.TOOL, content="found a", provider_call_id="call_1"),
        ChatMessage(role=Role.TOOL, content="unreadable", provider_call_id="call_2"),
        ChatMessage(role=Role.USER, content="Go on."),
        ChatMessage(role=Role.SYSTEM, content="And be polite."),
    )
    sandbox.script({"text": "Fine.", "path": PATHS[provider]})
    await models.ask(request_of(provider, *history, tools=(SEARCH,)), lambda _: None)
    body = sandbox.last()["body"]

    assert body["max_tokens"] == 500
    read = {"query": "a"}, {"malformed_arguments": "nonsense"}
    if provider == "openai":
        assert body["temperature"] == 0
        assert body["stream_options"] == {"include_usage": True}
        roles = ["system", "user", "assistant", "tool", "tool", "user", "system"]
        assert [message["role"] for message in body["messages"]] == roles
        asked = [call["function"]["arguments"] for call in body["messages"][2]["tool_calls"]]
        assert tuple(json.loads(arguments) for arguments in asked) == read
        ids = [call["id"] for call in body["messages"][2]["tool_calls"]]
        assert [message.get("tool_call_id") for message in body["messages"][3:5]] == ids
        assert body["tools"][0]["function"]["parameters"] == SEARCH.parameters
    else:
        assert [block["text"] for block in body["system"]] == ["Be brief.", "And be polite."]
        assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]
        assert tuple(block["input"] for block in body["messages"][1]["content"]) == read
        results = body["messages"][2]["content"]
        assert [block["type"] for block in results] == ["tool_result", "tool_result", "text"]
        ids = [block["id"] for block in body["messages"][1]["content"]]
        assert [block["tool_use_id"] for block in results[:2]] == ids
        assert body["tools"][0]["input_schema"] == SEARCH.parameters


async def test_parallel_calls_are_told_apart(
    models: Models,
    provider: str,
    sandbox: Sandbox,
) -> None:
    sandbox.script(
        {
            "path": PATHS[provider],
            "text": "Let me see.",
            "tool_calls": [
                {"name": "search_memory", "arguments": {"query": "moon, cheese"}, "id": "one"},
                {"name": "search_memory", "arguments": {"query": "basalt"}, "id": "two"},
                {"name": "search_memory", "arguments": '{"query": "broken', "id": "three"},
                {"name": "search_memory", "arguments": {}},
            ],
        },
    )
    progress = Progress()
    request = request_of(provider, tools=(SEARCH,))
    reply = await models.ask(request, lambda _: None, progress)
    assert reply.finish_reason is FinishReason.TOOL_CALLS
    assert reply.text == "Let me see."
    assert [call.tool for call in reply.tool_calls] == ["search_memory"] * 4
    assert [call.provider_call_id for call in reply.tool_calls[:3]] == ["one", "two", "three"]
    assert json.loads(reply.tool_calls[0].arguments) == {"query": "moon, cheese"}
    assert json.loads(reply.tool_calls[1].arguments) == {"query": "basalt"}
    assert reply.tool_calls[2].arguments == '{"query": "broken'
    assert json.loads(reply.tool_calls[3].arguments) == {}
    assert progress.token_count >= sandbox.last()["completion_tokens"] - 1


async def test_calls_that_a_limit_has_cut_are_none(
    models: Models,
    provider: str,
    sandbox: Sandbox,
) -> None:
    call = {"name": "refund_payment", "arguments": {"payment_id": "p", "amount_cents": 1_000}}
    sandbox.script({"path": PATHS[provider], "text": "I will.", "tool_calls": [call]})
    reply = await models.ask(request_of(provider, max_tokens=6), lambda _: None)
    assert reply.finish_reason is FinishReason.LENGTH
    assert reply.tool_calls == ()
    assert reply.usage is not None
    assert reply.usage.completion_tokens == 6


@pytest.mark.parametrize(
    ("item", "kind", "code"),
    [
        ({"status": 429}, ProviderUnavailableError, "model_rate_limited"),
        ({"status": 500}, ProviderUnavailableError, "model_unavailable"),
        ({"status": 529}, ProviderUnavailableError, "model_unavailable"),
        ({"status": 408}, ProviderUnavailableError, "model_unanswered"),
        ({"disconnect_after": 0}, ProviderUnavailableError, "model_unanswered"),
        ({"status": 400}, ProviderRejectedError, "model_rejected"),
        ({"status": 422}, ProviderRejectedError, "model_rejected"),
        ({"status": 401}, ProviderRejectedError, "model_credentials"),
        ({"status": 402}, ProviderRejectedError, "model_credentials"),
        ({"status": 403}, ProviderRejectedError, "model_credentials"),
        ({"status": 404}, ProviderRejectedError, "model_not_found"),
        ({"status": 413}, ProviderRejectedError, "model_context_too_long"),
        (
            {"status": 400, "message": "This model's maximum context length is 8192 tokens."},
            ProviderRejectedError,
            "model_context_too_long",
        ),
        (
            {"status": 400, "message": "prompt is too long: 9 tokens > 8 maximum"},
            ProviderRejectedError,
            "model_context_too_long",
        ),
    ],
)
async def test_errors_become_ours_and_quote_nothing(
    models: Models,
    provider: str,
    sandbox: Sandbox,
    item: dict[str, Any],
    kind: type[ApplicationError],
    code: str,
) -> None:
    before = metric(LLM_REQUESTS, MODELS[provider], code)
    quoting = {"message": f"bad key {SECRET} for {PROMPT}"} | item
    sandbox.script({"path": PATHS[provider], **quoting})
    progress = Progress()
    with pytest.raises(kind) as caught:
        await models.ask(request_of(provider), lambda _: None, progress)
    error = caught.value
    # Refused before it began costs nothing; a connection that broke may have.
    assert progress.was_sent == (item.get("status", 408) == 408)
    assert error.error_code == code
    assert error.details["model"] == MODELS[provider]
    assert (error.details["has_begun"], error.details["received_token_count"]) == (False, 0)
    assert "retry_after_seconds" not in error.details
    if "status" in item:
        assert error.details["provider_status"] == item["status"]
        assert error.details["provider_request_id"].startswith("req_")
    # Temporal writes the chain of causes into its history.
    assert error.__cause__ is None
    assert error.__suppress_context__
    said = f"{error} {error.details}"
    assert SECRET not in said
    assert PROMPT not in said
    assert metric(LLM_REQUESTS, MODELS[provider], code) == before + 1


@pytest.mark.parametrize("status", [429, 503])
async def test_a_wait_that_is_asked_for_is_passed_on(
    models: Models,
    provider: str,
    sandbox: Sandbox,
    status: int,
) -> None:
    sandbox.script({"path": PATHS[provider], "status": status, "retry_after": 7})
    with pytest.raises(ProviderUnavailableError) as caught:
        await models.ask(request_of(provider), lambda _: None)
    assert caught.value.details["retry_after_seconds"] == 7


async def test_a_stream_without_a_finish_reason_is_no_answer(
    models: Models,
    provider: str,
    sandbox: Sandbox,
) -> None:
    sandbox.script({"path": PATHS[provider], "text": "It is", "no_finish_reason": True})
    pieces: list[str] = []
    with pytest.raises(ProviderUnavailableError) as caught:
        await models.ask(request_of(provider), pieces.append)
    assert caught.value.error_code == "model_stream_incomplete"
    assert caught.value.details["has_begun"]
    assert caught.value.details["received_token_count"] == len(pieces) > 0


async def test_a_connection_that_breaks_in_the_middle_tells_how_far_it_came(
    models: Models,
    provider: str,
    sandbox: Sandbox,
) -> None:
    sandbox.script({"path": PATHS[provider], "token_count": 50, "disconnect_after": 4})
    pieces: list[str] = []
    progress = Progress()
    with pytest.raises(ProviderUnavailableError) as caught:
        await models.ask(request_of(provider), pieces.append, progress)
    assert caught.value.error_code == "model_stream_incomplete"
    assert caught.value.details["received_token_count"] == len(pieces) == 4
    assert (progress.was_sent, progress.is_final, progress.text) == (True, False, "".join(pieces))
    assert sandbox.last()["completion_tokens"] == 4


async def test_nobody_there_is_said_soon(provider: str) -> None:
    url = f"http://127.0.0.1:{free_port()}/v1"
    async with open_models(provider, url, SECRET, 5, Prices(provider)) as models:
        progress = Progress()
        with pytest.raises(ProviderUnavailableError) as caught:
            await models.ask(request_of(provider), lambda _: None, progress)
    assert caught.value.error_code == "model_unavailable"
    assert not progress.was_sent


@pytest.mark.parametrize("item", [{"delay_seconds": 30}, {"token_count": 9, "token_seconds": 30}])
async def test_silence_has_an_end(
    provider: str,
    sandbox: Sandbox,
    item: dict[str, Any],
) -> None:
    sandbox.script({"path": PATHS[provider], **item})
    url = f"{sandbox.url}/v1"
    async with open_models(provider, url, SECRET, 0.3, Prices(provider)) as models:
        progress = Progress()
        with pytest.raises(ProviderUnavailableError) as caught:
            await models.ask(request_of(provider), lambda _: None, progress)
    assert progress.was_sent
    has_begun = bool(progress.text)
    code = "model_stream_incomplete" if has_begun else "model_unanswered"
    assert caught.value.error_code == code
    assert caught.value.details["has_begun"] == ("token_count" in item)


@pytest.mark.parametrize(
    "item", [{"delay_seconds": 30}, {"token_count": 900, "token_seconds": 0.3}]
)
async def test_cancelling_closes_the_socket(
    models: Models,
    provider: str,
    sandbox: Sandbox,
    item: dict[str, Any],
) -> None:
    before, asked = metric(LLM_REQUESTS, MODELS[provider], "canceled"), sandbox.count()
    sandbox.script({"path": PATHS[provider], **item})
    began = asyncio.Event()
    progress = Progress()
    asking = asyncio.create_task(
        models.ask(request_of(provider), lambda _: began.set(), progress),
    )
    async with asyncio.timeout(100):
        if "token_count" in item:
            await began.wait()
        while sandbox.count() == asked:  # noqa: ASYNC110 - another process has no event of ours
            await asyncio.sleep(0.02)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    async with asyncio.timeout(100):
        while not sandbox.last()["is_client_gone"]:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.02)
    assert progress.has_begun == ("token_count" in item)
    assert metric(LLM_REQUESTS, MODELS[provider], "canceled") == before + 1


async def test_who_fails_again_and_again_is_left_alone(
    models: Models,
    provider: str,
    sandbox: Sandbox,
) -> None:
    model = f"broken-{provider}"
    request = request_of(provider, model=model)
    sandbox.script({"path": PATHS[provider], "status": 500, "match": model, "repeat": 4})
    # What says nothing about the model is not counted, and does not begin the count anew.
    sandbox.script({"path": PATHS[provider], "status": 429, "match": model})
    sandbox.script({"path": PATHS[provider], "status": 400, "match": model})
    sandbox.script({"path": PATHS[provider], "status": 500, "match": model})
    for _ in range(7):
        assert metric(CIRCUIT_BREAKER_STATE, model) == 0
        with pytest.raises(ApplicationError):
            await models.ask(request, lambda _: None)
    assert metric(CIRCUIT_BREAKER_STATE, model) == 2
    asked = sandbox.count()
    with pytest.raises(ProviderUnavailableError) as caught:
        await models.ask(request, lambda _: None)
    assert caught.value.error_code == "model_circuit_open"
    assert 0 < caught.value.details["retry_after_seconds"] <= 30
    assert sandbox.count() == asked
    assert metric(LLM_REQUESTS, model, "model_circuit_open") == 1
    # Each model has its own.
    await models.ask(request_of(provider), lambda _: None)


async def test_a_model_without_a_known_price_costs_nothing_and_is_flagged(provider: str) -> None:
    usage = TokenUsage(prompt_tokens=1_000, completion_tokens=100)
    assert Prices(provider).cost("llama3.2", usage) == Cost(Decimal(0), is_priced=False)
    own = Prices(provider, Decimal(30), Decimal(200))
    assert own.cost("llama3.2", usage) == (Decimal("0.05"), True)
    half = Prices(provider, prompt_cents_per_million=Decimal(30))
    assert half.cost(MODELS[provider], usage) == (Decimal("0.03"), True)
    free = Prices(provider, Decimal(0), Decimal(0))
    assert free.cost(MODELS[provider], usage) == Cost(Decimal(0), is_priced=True)


def test_prices_are_exact() -> None:
    # Published: 2 and 8 dollars a million; 5 and 25.
    usage = TokenUsage(prompt_tokens=1_000, completion_tokens=100)
    assert Prices("openai").cost("gpt-4.1", usage).cents == Decimal("0.28")
    assert Prices("anthropic").cost("claude-opus-4-8", usage).cents == Decimal("0.75")
