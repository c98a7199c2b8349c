"""Two providers: what the first one cannot answer, the second one does, at its own price."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
import pytest
from pydantic import SecretStr
from temporalio.client import Client

from adapters.llm.gateway import RULES
from adapters.llm.pricing import Prices
from adapters.llm.providers.settings import FallbackSettings
from adapters.stripe.client import StripeHealth, open_client
from api.monitoring import make_probes
from bootstrap.workers import run_workers
from commands.doctor.findings import CheckFailedError
from commands.doctor.providers import check_models
from config import Settings
from database.agents.models import AgentRun
from database.session import Sessions
from database.usage.models import UsageRecord
from database.usage.usage_records import UsageRepository
from domain.agents.runs import RunStatus
from domain.llm.messages import TokenUsage
from services.agents.tools.catalog import ToolCatalog
from tests.api.conftest import Person
from tests.conftest import Outside
from tests.sandbox import llm_server
from tests.sandbox.llm_server import ModelServer
from tests.support.namespaces import open_namespace
from tests.unit.agents.support import Model, reach, start_run

CLAUDE = "claude-opus-4-8"
NOWHERE = "http://127.0.0.1:1/v1"
ENDED = (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.BUDGET_EXCEEDED)


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    started = llm_server.start(tmp_path_factory.mktemp("second"), "--token-seconds", "0.001")
    yield started
    started.stop()


def with_fallback(settings: Settings, second: ModelServer, **llm: Any) -> Settings:
    fallback = FallbackSettings(
        provider="anthropic",
        base_url=f"{second.url}/v1",
        api_key=SecretStr("sandbox"),
        large_model=CLAUDE,
    )
    values = {"fallback": fallback, **llm}
    return settings.model_copy(update={"llm": settings.llm.model_copy(update=values)})


@asynccontextmanager
async def working(
    dev_server: Client, settings: Settings, sessions: Sessions, tools: ToolCatalog
) -> AsyncIterator[Client]:
    async with (
        open_namespace(dev_server) as namespace,
        run_workers(namespace, settings, sessions, tools=tools),
    ):
        yield namespace


async def records_of(sessions: Sessions, run: AgentRun) -> list[UsageRecord]:
    async with sessions() as session:
        return list(await UsageRepository(session).of_step(run.agent_run_id, 0))


@pytest.mark.parametrize(
    ("trouble", "outcome"),
    [
        (None, "model_unavailable"),
        ({"status": 500}, "model_unavailable"),
        ({"text": "It is " * 20, "disconnect_after": 5}, "model_stream_incomplete"),
    ],
    ids=["down for good", "errors", "cut streams"],
)
async def test_the_second_provider_answers_at_its_own_price(
    customer: Person,
    model: Model,
    second: ModelServer,
    dev_server: Client,
    settings: Settings,
    sessions: Sessions,
    tools: ToolCatalog,
    trouble: dict[str, Any] | None,
    outcome: str,
) -> None:
    mark = f"tell me {uuid4().hex}"
    if trouble is not None:
        await model.script({**trouble, "repeat": 99}, match=mark)
    second.script({"match": mark, "text": "Forty-two."})
    llm = {} if trouble else {"base_url": NOWHERE}
    given = with_fallback(settings, second, **llm)
    async with working(dev_server, given, sessions, tools) as workers:
        run = await reach(sessions, await start_run(workers, customer.user_id, mark), *ENDED)
    assert (run.run_status, run.output) == (RunStatus.COMPLETED, "Forty-two.")
    records = await records_of(sessions, run)
    assert [record.outcome for record in records] == [outcome, outcome, "succeeded"]
    models = [(record.provider_slot, record.model) for record in records]
    assert models == [("primary", "gpt-4.1")] * 2 + [("fallback", CLAUDE)]
    (call,) = second.requests(mark)
    used = TokenUsage(
        prompt_tokens=call["prompt_tokens"], completion_tokens=call["completion_tokens"]
    )
    assert records[-1].cost_cents == Prices("anthropic").cost(CLAUDE, used).cents > 0
    found = (await customer.get(f"agent-runs/{run.agent_run_id}/steps"))["items"]
    assert [each["provider"] for each in found[0]["model_calls"]] == [
        "primary",
        "primary",
        "fallback",
    ]


async def test_while_the_first_is_shut_runs_go_to_the_second_at_once(
    customer: Person,
    second: ModelServer,
    dev_server: Client,
    settings: Settings,
    sessions: Sessions,
    tools: ToolCatalog,
) -> None:
    given = with_fallback(settings, second, base_url=NOWHERE)
    async with working(dev_server, given, sessions, tools) as workers:
        for number in range(RULES.failure_count + 1):
            handle = await start_run(workers, customer.user_id, f"hello {number} {uuid4().hex}")
            run = await reach(sessions, handle, *ENDED)
            assert run.run_status == RunStatus.COMPLETED
    (record,) = await records_of(sessions, run)
    assert (record.provider_slot, record.outcome) == ("fallback", "succeeded")


async def test_a_rate_limit_waits_for_the_same_model(
    customer: Person,
    model: Model,
    second: ModelServer,
    dev_server: Client,
    settings: Settings,
    sessions: Sessions,
    tools: ToolCatalog,
) -> None:
    mark = f"tell me {uuid4().hex}"
    limit = {"status": 429, "retry_after": 0.1, "repeat": 3}
    await model.script(limit, {"text": "Forty-two."}, match=mark)
    given = with_fallback(settings, second)
    async with working(dev_server, given, sessions, tools) as workers:
        run = await reach(sessions, await start_run(workers, customer.user_id, mark), *ENDED)
    records = await records_of(sessions, run)
    assert [record.outcome for record in records] == ["model_rate_limited"] * 3 + ["succeeded"]
    assert {record.provider_slot for record in records} == {"primary"}
    assert second.requests(mark) == []


async def test_health_names_both(
    settings: Settings, sessions: Sessions, dev_server: Client, outside: Outside
) -> None:
    fallback = FallbackSettings(base_url=NOWHERE, api_key=SecretStr("k"), large_model="m")
    llm = settings.llm.model_copy(update={"fallback": fallback})
    given = settings.model_copy(update={"llm": llm})
    async with open_client("sk_test_x", outside.stripe) as stripe:
        probes = make_probes(given, sessions, dev_server, StripeHealth(stripe))
        assert "llm_fallback" not in make_probes(
            settings, sessions, dev_server, StripeHealth(stripe)
        )
    await probes["llm"]()
    with pytest.raises(httpx.ConnectError):
        await probes["llm_fallback"]()
    with pytest.raises(CheckFailedError, match=r"127\.0\.0\.1:1/v1/models does not answer"):
        await check_models(given)
    working = llm.model_copy(
        update={"fallback": fallback.model_copy(update={"base_url": llm.base_url})}
    )
    line = await check_models(settings.model_copy(update={"llm": working}))
    assert "model gpt-4.1; fallback: " in line
    assert line.endswith("provider openai, model m")
