"""`doctor --paid`: one streamed tool call of each model, and in a line what is wrong."""

from collections.abc import Iterator
from itertools import count

import pytest
from pydantic import SecretStr

from commands.doctor.findings import CheckDoubtfulError, CheckFailedError
from commands.doctor.paid import check_tool_calls
from config import AuthSettings, Settings
from tests.conftest import free_port
from tests.sandbox import llm_server
from tests.sandbox.llm_server import ModelServer

NUMBERS = count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    started = llm_server.start(tmp_path_factory.mktemp("llm"), "--token-seconds", "0.001")
    yield started
    started.stop()


@pytest.fixture(params=["openai", "anthropic"])
def provider(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def settings_of(provider: str, url: str, model: str) -> Settings:
    return Settings(
        _env_file=None,
        database_url="postgresql://nowhere",
        auth=AuthSettings(jwt_secret=SecretStr("x" * 32)),
        llm={
            "provider": provider,
            "base_url": f"{url}/v1",
            "model": model,
            "small_model": f"{model}-small",
        },
    )


async def test_models_that_call_a_tool_are_well(server: ModelServer, provider: str) -> None:
    model = f"model-{next(NUMBERS)}"
    told = await check_tool_calls(settings_of(provider, server.url, model))
    assert told == f"streamed by {model}, {model}-small"
    asked = [log["model"] for log in server.requests("report_status")]
    assert asked[-2:] == [model, f"{model}-small"]


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        ("no_tools", "does not accept tools: vLLM needs --enable-auto-tool-choice"),
        ("call_as_text", "comes as text: vLLM needs"),
        ("empty", "called no tool (finish reason stop)"),
        ("no_finish", "without a finish reason"),
        ("too_large", "per minute"),
        ("broken", "breaks off"),
    ],
)
async def test_what_is_wrong_is_said_in_a_line(
    server: ModelServer, provider: str, behaviour: str, words: str
) -> None:
    model = f"model-{next(NUMBERS)}"
    server.script({"match": f'"{model}"', "behaviour": behaviour})
    with pytest.raises(CheckFailedError) as caught:
        await check_tool_calls(settings_of(provider, server.url, model))
    assert str(caught.value).startswith(f"{model}: ")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_nobody_there_is_said(provider: str) -> None:
    with pytest.raises(CheckFailedError, match="cannot be reached"):
        await check_tool_calls(settings_of(provider, f"http://127.0.0.1:{free_port()}", "m"))


async def test_a_missing_usage_is_a_doubt(server: ModelServer) -> None:
    model = f"model-{next(NUMBERS)}"
    server.script({"match": f'"{model}"', "behaviour": "call_without_usage"})
    with pytest.raises(CheckDoubtfulError, match=f"{model}: no usage is reported"):
        await check_tool_calls(settings_of("openai", server.url, model))
