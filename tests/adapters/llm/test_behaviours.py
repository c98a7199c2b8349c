"""Model servers as they are: both real SDK adapters against each behaviour of the stand-in."""

from collections.abc import AsyncIterator, Iterator
from itertools import count
from typing import Any

import pytest
import structlog

from adapters.llm.gateway import Models, open_models
from adapters.llm.pricing import Prices
from adapters.llm.provider import OVERRUN_PIECES, Progress
from domain.errors import ApplicationError
from domain.llm.messages import (
    ChatMessage,
    FinishReason,
    ModelReply,
    ModelRequest,
    RequestedCall,
    Role,
    ToolDefinition,
)
from domain.llm.token_estimates import estimate_tokens
from tests.sandbox import llm_server
from tests.sandbox.llm_server import ModelServer

NUMBERS = count()
SEARCH = ToolDefinition(
    name="search_memory",
    description="Search.",
    parameters={
        "type": "object",
        "properties": {
            "query": {"type": "string"},
            "format": {"type": "string", "format": "uuid"},
        },
        "required": ["query"],
    },
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    started = llm_server.start(tmp_path_factory.mktemp("llm"), "--token-seconds", "0.001")
    yield started
    started.stop()


@pytest.fixture(params=["openai", "anthropic"])
def provider(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Talk:
    """A conversation with a model that behaves in one way."""

    def __init__(self, server: ModelServer, models: Models, behaviour: str, **item: Any) -> None:
        self._models = models
        self._server = server
        number = next(NUMBERS)
        self.tag = f"tag-{number:04}"
        # Reason: what a model refuses is remembered by its name.
        self.model = f"model-{number:04}"
        self.progress = Progress()
        self.messages = [ChatMessage(role=Role.USER, content=f"{self.tag} Well?")]
        server.script({"match": self.tag, "behaviour": behaviour, "repeat": 99} | item)

    async def ask(self, max_tokens: int = 500) -> ModelReply:
        self.progress = Progress()
        request = ModelRequest(
            model=self.model,
            messages=tuple(self.messages),
            tools=(SEARCH,),
            max_tokens=max_tokens,
        )
        return await self._models.ask(request, lambda _: None, self.progress)

    async def refusal(self) -> ApplicationError:
        with pytest.raises(ApplicationError) as caught:
            await self.ask()
        return caught.value

    def add(self, reply: ModelReply) -> None:
        """Keep an answer as the product does, with results of its calls."""
        given = reply.provider_parts(self.model)
        calls = tuple(
            RequestedCall(
                provider_call_id=f"ours-{len(self.messages)}-{place}",
                tool=call.tool,
                arguments=call.arguments,
                parts=call.parts,
                given_id=call.provider_call_id,
            )
            for place, call in enumerate(reply.tool_calls)
        )
        self.messages.append(
            ChatMessage(role=Role.ASSISTANT, content=reply.text, tool_calls=calls, provider=given)
        )
        self.messages += [
            ChatMessage(role=Role.TOOL, content="nothing", provider_call_id=call.provider_call_id)
            for call in calls
        ]

    def log(self) -> list[dict[str, Any]]:
        return self._server.requests(self.tag)


@pytest.fixture
async def talk(server: ModelServer, provider: str) -> AsyncIterator[Any]:
    async with open_models(provider, f"{server.url}/v1", "none", 5, Prices(provider)) as models:
        yield lambda behaviour, **item: Talk(server, models, behaviour, **item)


# -- streams -------------------------------------------------------------------------------------


@pytest.mark.parametrize("behaviour", ["list_content", "whole_json", "xai_totals", "cached_prompt"])
async def test_odd_streams_are_answers(talk: Any, provider: str, behaviour: str) -> None:
    if (provider, behaviour) == ("anthropic", "list_content"):
        pytest.skip("Anthropic's content is a list anyway")
    talking = talk(behaviour)
    reply = await talking.ask()
    (log,) = talking.log()
    assert (reply.text.strip(), reply.finish_reason) == ("Forty-two.", FinishReason.STOP)
    assert reply.usage is not None
    assert reply.usage.prompt_tokens == log["prompt_tokens"]
    assert reply.usage.completion_tokens == log["completion_tokens"]
    if behaviour == "cached_prompt":
        assert reply.usage.cached_prompt_tokens == log["prompt_tokens"] // 2
    assert talking.progress.is_final
    assert len(talking.progress.text.encode()) == log["piece_bytes"]


@pytest.mark.parametrize("behaviour", ["object_arguments", "null_arguments", "zero_index_calls"])
async def test_odd_calls_are_calls(talk: Any, behaviour: str) -> None:
    talking = talk(behaviour)
    reply = await talking.ask()
    assert len(reply.tool_calls) == (2 if behaviour == "zero_index_calls" else 1)
    # What is canceled before its usage is reported is booked at this.
    assert talking.progress.estimated_tokens >= talking.log()[0]["completion_tokens"]
    if behaviour == "object_arguments":
        assert '"query"' in reply.tool_calls[0].arguments
    talking.add(reply)
    assert (await talking.ask()).text.strip() == "Done."


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [
        ("no_finish", "model_stream_incomplete"),
        ("odd_finish", "model_stream_incomplete"),
        ("html_page", "model_stream_incomplete"),
        ("broken", "model_stream_incomplete"),
        ("running_usage", "model_stream_incomplete"),
    ],
)
async def test_broken_streams_are_never_answers(
    talk: Any, provider: str, behaviour: str, code: str
) -> None:
    talking = talk(behaviour)
    error = await talking.refusal()
    assert (error.error_code, error.is_retryable) == (code, True)
    progress, (log,) = talking.progress, talking.log()
    assert (progress.was_sent, progress.has_begun) == (True, True)
    # OpenAI's last count comes by itself, whether the chunk with the finish reason came or not.
    has_count = behaviour == "odd_finish" or (provider, behaviour) == ("openai", "no_finish")
    assert progress.is_final == has_count
    assert len(progress.text.encode()) == log["piece_bytes"]


async def test_an_answer_in_one_chunk_without_usage_is_seen(talk: Any) -> None:
    talking = talk("one_chunk_no_usage")
    reply = await talking.ask()
    (log,) = talking.log()
    assert not talking.progress.is_final
    assert estimate_tokens(talking.progress.text) >= log["completion_tokens"] == 800
    assert reply.finish_reason is FinishReason.STOP


async def test_visible_reasoning_is_seen(talk: Any, provider: str) -> None:
    talking = talk("slow_reasoning", token_seconds=0)
    reply = await talking.ask()
    assert reply.text.strip() == "Forty-two."
    assert talking.progress.text.count("think") == 600
    # Beside an answer it is of no use later, and shall take no room in a prompt.
    assert (reply.parts == {}) == (provider == "openai")
    assert estimate_tokens(talking.progress.text) >= talking.log()[0]["completion_tokens"]


async def test_silence_tells_that_it_was_sent(server: ModelServer, provider: str) -> None:
    """Hidden reasoning past the timeout: nothing is seen, and the request was sent."""
    url = f"{server.url}/v1"
    async with open_models(provider, url, "none", 0.3, Prices(provider)) as models:
        talking = Talk(server, models, "hidden_reasoning", token_seconds=0.1)
        error = await talking.refusal()
    assert error.error_code == "model_unanswered"
    assert (talking.progress.was_sent, talking.progress.text) == (True, "")
    assert not talking.progress.is_final


# -- ends ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("behaviour", "openai", "anthropic"),
    [
        ("model_length", FinishReason.LENGTH, FinishReason.LENGTH),
        ("cut_call", FinishReason.LENGTH, FinishReason.LENGTH),
        ("filtered", FinishReason.CONTENT_FILTER, FinishReason.REFUSED),
        ("refused", FinishReason.REFUSED, FinishReason.REFUSED),
        ("empty", FinishReason.STOP, FinishReason.STOP),
    ],
)
async def test_ends_have_names(
    talk: Any, provider: str, behaviour: str, openai: FinishReason, anthropic: FinishReason
) -> None:
    reply = await talk(behaviour).ask()
    assert reply.finish_reason is (openai if provider == "openai" else anthropic)
    assert reply.tool_calls == ()


async def test_an_end_without_a_word_after_a_tool(talk: Any) -> None:
    talking = talk("empty_after_tool")
    talking.add(await talking.ask())
    reply = await talking.ask()
    assert (reply.text, reply.finish_reason) == ("", FinishReason.STOP)
    talking.add(reply)
    talking.messages.append(ChatMessage(role=Role.USER, content="Please answer."))
    assert (await talking.ask()).text.strip() == "Forty-two."


async def test_a_call_as_text_is_recognised(talk: Any) -> None:
    reply = await talk("call_as_text").ask()
    assert reply.has_call_as_text
    assert not (await talk("slow", token_seconds=0).ask()).has_call_as_text


# -- what goes back ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "behaviour", ["nine_letter_ids", "wants_reasoning_back", "wants_signature_back"]
)
async def test_what_was_given_goes_back(talk: Any, behaviour: str) -> None:
    talking = talk(behaviour)
    talking.add(await talking.ask())
    assert (await talking.ask()).text.strip() == "Done."
    assert [log["refusal"] for log in talking.log()] == [None, None]


@pytest.mark.parametrize("behaviour", ["strict", "alternating", "no_prefill", "no_user_after_tool"])
async def test_strict_servers_take_what_is_left_behind(talk: Any, behaviour: str) -> None:
    """After a canceled run, with an empty answer, and with the assistant's word as the last."""
    talking = talk(behaviour)
    first = talking.messages[0]
    talking.messages.append(ChatMessage(role=Role.USER, content="I mean now."))
    call = RequestedCall(provider_call_id="ours", tool="search_memory", arguments="{}")
    talking.messages += [
        ChatMessage(role=Role.ASSISTANT, content="", tool_calls=(call,)),
        ChatMessage(role=Role.TOOL, content="nothing", provider_call_id="ours"),
        first,
        ChatMessage(role=Role.ASSISTANT, content=""),
        ChatMessage(role=Role.ASSISTANT, content="It is"),
    ]
    await talking.ask()
    refused = [log["status"] for log in talking.log()]
    # Whether a user may speak after a tool is learned from the first refusal.
    is_learned = behaviour == "no_user_after_tool"
    assert refused[-1] == 200
    assert len(refused) <= 1 + is_learned
    await talking.ask()
    assert talking.log()[-1]["status"] == 200


# -- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("behaviour", "openai", "anthropic"),
    [
        ("no_max_tokens", 1, 0),
        ("no_temperature", 1, 0),
        ("no_stream_options", 1, 0),
        ("no_schema_format", 1, 1),
        ("small_output", 1, 1),
    ],
)
async def test_what_a_refusal_names_is_not_sent_again(
    talk: Any, provider: str, behaviour: str, openai: int, anthropic: int
) -> None:
    talking = talk(behaviour)
    for _ in range(2):
        assert (await talking.ask()).text.strip() == "Forty-two."
    refused = [log["refusal"] is not None for log in talking.log()]
    assert sum(refused) == (openai if provider == "openai" else anthropic)
    assert not refused[-1]
    limits = [log["body"].get("max_tokens") for log in talking.log()]
    assert "search_memory" in str(talking.log()[-1]["body"]["tools"])
    assert "'format': {" in str(talking.log()[-1]["body"]["tools"]), "an argument of that name"
    if behaviour == "small_output":
        assert limits[-1] == 64
    if (behaviour, provider) == ("no_max_tokens", "openai"):
        assert limits[-1] is None
        assert talking.log()[-1]["body"]["max_completion_tokens"] == 500


async def test_without_any_limit_no_call_is_made(talk: Any, provider: str) -> None:
    talking = talk("no_limits")
    errors = []
    for _ in range(2):
        errors.append(await talking.refusal())
        assert not talking.progress.was_sent
    assert [error.is_retryable for error in errors] == [False, False]
    if provider == "openai":
        assert {error.error_code for error in errors} == {"model_limit_refused"}
        # Both names are tried anew each time: one odd answer does not end every later run.
        assert len(talking.log()) == 4


@pytest.mark.parametrize(
    ("behaviour", "code", "limit"),
    [
        ("too_large", "model_request_too_large", None),
        ("small_window", "model_context_too_long", 20),
        ("no_tools", "model_without_tools", None),
    ],
)
async def test_rejections_have_names(
    talk: Any, behaviour: str, code: str, limit: int | None
) -> None:
    talking = talk(behaviour, window=20)
    with structlog.testing.capture_logs() as logs:
        error = await talking.refusal()
    assert (error.error_code, error.is_retryable) == (code, False)
    if limit is not None:
        assert error.details["limit_tokens"] == limit
    assert not talking.progress.was_sent
    assert len(talking.log()) == 1
    (said,) = [log for log in logs if log["event"] == "model_provider_words"]
    assert said["words"] != ""
    assert talking.log()[0]["refusal"] not in f"{error} {error.details}"


async def test_a_server_that_writes_on_past_its_limit_is_cut_off(talk: Any) -> None:
    """It is paid for once, as far as it wrote, and the answer is told to be cut."""
    talking = talk("endless", token_seconds=0)
    reply = await talking.ask()
    assert reply.finish_reason is FinishReason.LENGTH
    assert not talking.progress.is_final
    limit = talking.log()[0]["body"].get("max_tokens")
    assert limit is None or talking.progress.token_count <= OVERRUN_PIECES * limit + 2_000
