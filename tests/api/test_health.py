"""Alive, ready and counted; with real sockets on the other side."""

import asyncio
import time
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from adapters.email.settings import MailSettings
from adapters.health import ModelsHealth, ping_chroma, ping_smtp, run_probes
from adapters.llm.providers.settings import LLMSettings
from api.app import build_app
from api.readiness import FAILURE_CACHE_SECONDS
from config import Settings, StripeSettings
from database.session import Sessions, make_engine, make_sessions
from domain.errors import ProviderRejectedError, UnavailableError
from tests.api.support import eventually, send_event, served, stripe_event
from tests.conftest import Outside, free_port

Answer = Callable[[StreamReader, StreamWriter], Awaitable[None]]
NOBODY = "http://127.0.0.1:9"


@asynccontextmanager
async def other_side(answer: Answer) -> AsyncIterator[int]:
    """Listen on a free port and answer each connection."""

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        try:
            await answer(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def http_answer(status: str) -> Answer:
    async def answer(reader: StreamReader, writer: StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\n{{}}".encode())
        await writer.drain()

    return answer


def smtp_answer(greeting: bytes) -> Answer:
    async def answer(reader: StreamReader, writer: StreamWriter) -> None:
        writer.write(greeting)
        await writer.drain()
        await reader.readline()

    return answer


async def silence(reader: StreamReader, writer: StreamWriter) -> None:
    await reader.read()


async def test_probes_tell_who_answers() -> None:
    async with (
        other_side(http_answer("200 OK")) as chroma,
        other_side(http_answer("500 Broken")) as broken,
        other_side(smtp_answer(b"220 mail.example ESMTP\r\n")) as mail,
        other_side(smtp_answer(b"HTTP/1.1 400\r\n")) as no_mail,
    ):
        findings = await run_probes(
            {
                "chroma": lambda: ping_chroma(f"http://127.0.0.1:{chroma}/"),
                "broken": lambda: ping_chroma(f"http://127.0.0.1:{broken}"),
                "nobody": lambda: ping_chroma(NOBODY),
                "mail": lambda: ping_smtp("127.0.0.1", mail),
                "no_mail": lambda: ping_smtp("127.0.0.1", no_mail),
                "ours": _raise_ours,
            },
            timeout_seconds=100,
        )
    up = {name for name, finding in findings.items() if finding.is_up}
    assert up == {"chroma", "mail"}
    assert {name: finding.detail for name, finding in findings.items()} == {
        "chroma": None,
        "broken": "HTTPStatusError",
        "nobody": "ConnectError",
        "mail": None,
        "no_mail": "ConnectionError",
        "ours": "unavailable",
    }


async def test_silence_is_not_waited_out() -> None:
    async with other_side(silence) as silent, asyncio.timeout(100):
        probes = {"mail": lambda: ping_smtp("127.0.0.1", silent)}
        finding = (await run_probes(probes, timeout_seconds=0.2))["mail"]
    assert (finding.is_up, finding.detail) == (False, "no answer within 0.2 s")
    assert finding.latency_ms >= 199


@pytest.mark.parametrize(
    ("provider", "suffix"), [("openai", "/v1"), ("anthropic", ""), ("anthropic", "/v1/")]
)
async def test_models_are_asked_without_a_model_call(
    outside: Outside, provider: str, suffix: str
) -> None:
    await ModelsHealth(provider, f"{outside.llm}{suffix}", "sandbox").ping()
    async with httpx.AsyncClient(base_url=outside.llm) as http:
        seen = (await http.get("/_sandbox/requests")).json()["items"]
    assert not any("models" in item["path"] for item in seen)
    with pytest.raises(httpx.HTTPStatusError, match="404"):
        await ModelsHealth(provider, f"{outside.llm}/elsewhere", "sandbox").ping()


async def test_a_wrong_key_for_models_has_a_name() -> None:
    async with other_side(http_answer("401 Unauthorized")) as port:
        health = ModelsHealth("openai", f"http://127.0.0.1:{port}/v1", "sk-wrong")
        with pytest.raises(ProviderRejectedError):
            await health.ping()
        finding = (await run_probes({"llm": health.ping}))["llm"]
    assert (finding.is_up, finding.detail) == (False, "model_credentials")


@pytest.mark.parametrize("status", ["200 OK", "429 Too Many Requests"])
async def test_an_outside_provider_that_is_well_is_left_alone_for_a_while(status: str) -> None:
    async with other_side(http_answer(status)) as port:
        url = f"http://127.0.0.1:{port}/v1"
        outside, stand_in = (
            ModelsHealth("openai", url, "sk-x"),
            ModelsHealth("openai", url, "sandbox"),
        )
        await outside.ping()
        await stand_in.ping()
    await outside.ping()
    with pytest.raises(httpx.ConnectError):
        await stand_in.ping()


async def _raise_ours() -> None:
    raise UnavailableError("away")


async def test_ready_names_who_is_down(
    settings: Settings,
    dev_server: Client,
    sessions: Sessions,
) -> None:
    async with (
        other_side(http_answer("200 OK")) as up,
        other_side(smtp_answer(b"220 mail.example ESMTP\r\n")) as mail,
    ):
        url = f"http://127.0.0.1:{up}"
        mail_settings = MailSettings(smtp_port=mail)
        stripe = settings.stripe.model_copy(update={"api_base": url})
        all_up = settings.model_copy(
            update={"chroma_url": url, "stripe": stripe, "mail": mail_settings},
        )
        async with served(build_app(all_up, dev_server, sessions)) as http:

            async def ready() -> httpx.Response | None:
                reply = await http.get("/health/ready")
                return reply if reply.json()["status"] == "ready" else None

            seen = (await eventually(ready)).json()
            names = {"database", "temporal", "chroma", "stripe", "llm", "mail"}
            assert seen["status"] == "ready"
            assert {name: check["status"] for name, check in seen["checks"].items()} == (
                dict.fromkeys(names, "ok")
            )


DOWN: dict[str, dict[str, Any]] = {
    "chroma": {"chroma_url": NOBODY},
    "llm": {"llm": LLMSettings(base_url=f"{NOBODY}/v1")},
    "mail": {"mail": MailSettings(smtp_port=9)},
    "stripe": {"stripe": StripeSettings(api_base=NOBODY, webhook_secret=SecretStr("whsec_x"))},
    "temporal": {},
}


@pytest.mark.parametrize("name", DOWN)
async def test_what_is_down_is_shown_and_webhooks_are_taken_all_the_same(
    settings: Settings,
    dev_server: Client,
    sessions: Sessions,
    name: str,
) -> None:
    away = await Client.connect(
        f"127.0.0.1:{free_port()}", lazy=True, data_converter=pydantic_data_converter
    )
    changed = settings.model_copy(update=DOWN[name])
    app = build_app(changed, away if name == "temporal" else dev_server, sessions)
    async with served(app) as http:
        reply = await http.get("/health/ready")
        seen = reply.json()
        assert (reply.status_code, seen["status"]) == (200, "degraded")
        assert seen["checks"][name]["status"] == "down"
        assert seen["checks"]["database"]["status"] == "ok"
        for alive in ("/health/live", "/health"):
            assert (await http.get(alive)).json() == {"status": "ok"}
        taken = await send_event(http, changed, stripe_event("unknown.event"))
        assert (taken.status_code, taken.json()) == (200, {"received": True})


METRICS = (
    "agent_requests_total",
    "agent_duration_seconds",
    "active_agents",
    "payment_attempts_total",
    "payment_amount_cents",
    "llm_requests_total",
    "llm_tokens_total",
    "llm_cost_cents_total",
    "tool_calls_total",
    "webhook_events_total",
    "webhook_lag_seconds",
    "circuit_breaker_state",
)


async def test_metrics_are_on_a_port_of_their_own(
    settings: Settings,
    dev_server: Client,
    sessions: Sessions,
) -> None:
    port = free_port()
    app = build_app(settings.model_copy(update={"status_port": port}), dev_server, sessions)
    async with served(app) as http, httpx.AsyncClient() as monitor:
        assert (await http.get("/metrics")).status_code == 404
        reply = await monitor.get(f"http://127.0.0.1:{port}/metrics")
        assert (await monitor.get(f"http://127.0.0.1:{port}/docs")).status_code == 404
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "server" not in reply.headers
    lacking = [name for name in METRICS if f"# TYPE {name}" not in reply.text]
    assert lacking == []


async def test_asking_for_readiness_costs_the_others_nothing(
    settings: Settings,
    dev_server: Client,
    sessions: Sessions,
) -> None:
    calls = 0

    async def count(reader: StreamReader, writer: StreamWriter) -> None:
        nonlocal calls
        calls += 1
        await http_answer("200 OK")(reader, writer)

    async with other_side(count) as chroma:
        counted = settings.model_copy(update={"chroma_url": f"http://127.0.0.1:{chroma}"})
        async with served(build_app(counted, dev_server, sessions)) as http:
            began = time.monotonic()
            for _ in range(10):
                replies = await asyncio.gather(*[http.get("/health/ready") for _ in range(10)])
                assert {reply.status_code for reply in replies} == {200}
            seconds = time.monotonic() - began
    assert 1 <= calls <= 1 + seconds / FAILURE_CACHE_SECONDS


async def test_only_the_database_takes_the_api_out_of_rotation(
    settings: Settings,
    dev_server: Client,
) -> None:
    engine = make_engine("postgresql://nobody:x@127.0.0.1:9/x")
    gone = settings.model_copy(update={"database_url": "postgresql://nobody:x@127.0.0.1:9/x"})
    async with served(build_app(gone, dev_server, make_sessions(engine))) as http:
        reply = await http.get("/health/ready")
        assert (await http.get("/health/live")).json() == {"status": "ok"}
    assert (reply.status_code, reply.json()["status"]) == (503, "down")
    assert reply.json()["checks"]["database"]["status"] == "down"
    await engine.dispose()
