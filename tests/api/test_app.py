"""What holds for every route: problems, request ids, compression, and a description."""

import re
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Worker

from api.app import build_app, create_app
from api.auth.tokens import make_token
from bootstrap.settings import WrongSettingsError
from bootstrap.workers import workflow_runner
from config import Settings
from database.session import Sessions, make_engine, make_sessions
from tests.api.conftest import API, Person, client, problem
from tests.conftest import free_port
from workflows.registry import WORKFLOWS

METHODS = {"get", "put", "post", "patch", "delete"}


async def test_unknown_places_and_methods_are_problems(stranger: httpx.AsyncClient) -> None:
    problem(await stranger.get(f"{API}/nothing"), 404, "not_found")
    reply = await stranger.put(f"{API}/auth/token")
    problem(reply, 405, "method_not_allowed")
    assert reply.headers["allow"] == "POST"
    headers = {"Content-Type": "application/json"}
    broken = await stranger.post(f"{API}/users", content=b'{"echo-me', headers=headers)
    problem(broken, 422, "invalid_input")
    assert "echo-me" not in broken.text


async def test_a_request_keeps_its_id(stranger: httpx.AsyncClient) -> None:
    given = await stranger.get("/health", headers={"X-Request-ID": "abc-1"})
    assert given.headers["x-request-id"] == "abc-1"
    for bad in ("not good", "4242-4242-4242-4242"):
        made = await stranger.get(f"{API}/nothing", headers={"X-Request-ID": bad})
        assert len(made.headers["x-request-id"]) == 32


async def test_what_nobody_foresaw_is_a_problem_too(
    settings: Settings,
    dev_server: Client,
    sessions: Sessions,
) -> None:
    app = build_app(settings, dev_server, sessions)

    @app.get("/broken")
    def break_down() -> None:
        raise ZeroDivisionError("a secret of ours")

    async with app.router.lifespan_context(app), client(app) as http:
        reply = await http.get("/broken")
    problem(reply, 500, "internal_error")
    assert "secret" not in reply.text
    assert reply.headers["x-request-id"]


async def test_long_answers_are_compressed(stranger: httpx.AsyncClient) -> None:
    long = await stranger.get("/openapi.json")
    assert long.headers["content-encoding"] == "gzip"
    short = await stranger.get("/health")
    assert "content-encoding" not in short.headers


async def test_every_call_is_described(stranger: httpx.AsyncClient) -> None:
    document = (await stranger.get("/openapi.json")).json()
    assert document["info"]["description"]
    tags = {tag["name"] for tag in document["tags"]}
    schemas = document["components"]["schemas"]
    for path, calls in document["paths"].items():
        for method, call in calls.items():
            where = f"{method} {path}"
            assert method in METHODS, where
            assert call["tags"], where
            assert set(call["tags"]) <= tags, where
            assert has_example(call, schemas), where
            for status, response in call["responses"].items():
                if status >= "4" and path.startswith(API):
                    # Reason: whoever opens a page of ours gets errors as pages, too.
                    kinds = set(response["content"]) - {"text/html"}
                    assert kinds == {"application/problem+json"}, where


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
async def test_the_pages_of_the_documentation_need_no_network(
    stranger: httpx.AsyncClient, page: str
) -> None:
    reply = await stranger.get(page)
    assert reply.headers["content-type"].startswith("text/html")
    links = re.findall(r"""(?:src|href|url|spec-url)\s*[=:]\s*["']([^"']+)["']""", reply.text)
    assert len(links) > 2
    for link in links:
        assert link.startswith("/"), link
        assert (await stranger.get(link)).status_code == 200
    assert "http://" not in reply.text.replace("http://test", "")
    assert "https://" not in reply.text


def has_example(call: dict[str, Any], schemas: dict[str, Any]) -> bool:
    """Whether a call's JSON body, if it takes one, is shown by an example."""
    body = call.get("requestBody", {}).get("content", {}).get("application/json")
    if body is None or "examples" in body:
        return True
    schema = body["schema"]
    for part in [schema, *schema.get("anyOf", [])]:
        name = part.get("$ref", "").rsplit("/", 1)[-1]
        if "examples" in part or "examples" in schemas.get(name, {}):
            return True
    return False


async def test_the_environment_makes_the_same_app(
    monkeypatch: pytest.MonkeyPatch,
    app: FastAPI,
    settings: Settings,
) -> None:
    monkeypatch.setenv("DATABASE_URL", settings.database_url)
    monkeypatch.setenv("AUTH__JWT_SECRET", "x" * 32)
    monkeypatch.setenv("TEMPORAL__ADDRESS", f"127.0.0.1:{free_port()}")
    monkeypatch.setattr("api.app.configure_logging", lambda level: None)
    monkeypatch.setenv("STRIPE__API_BASE", "https://api.stripe.com")
    with pytest.raises(WrongSettingsError, match="STRIPE__WEBHOOK_SECRET") as refused:
        create_app()
    assert "xxx" not in str(refused.value)
    assert "postgres" not in str(refused.value)
    monkeypatch.setenv("STRIPE__API_BASE", settings.stripe.api_base or "")
    made = create_app()
    assert made.openapi().keys() == app.openapi().keys()
    async with made.router.lifespan_context(made), client(made) as http:
        assert (await http.get("/health")).status_code == 200
        reply = await http.get(f"{API}/users/me", headers={"X-API-Key": "nobody"})
        problem(reply, 401, "unauthorized")


async def test_without_temporal_starts_are_503_and_reads_go_on(
    settings: Settings,
    sessions: Sessions,
    admin: Person,
) -> None:
    away = await Client.connect(
        f"127.0.0.1:{free_port()}",
        lazy=True,
        data_converter=pydantic_data_converter,
    )
    app = build_app(settings, away, sessions)
    token = make_token(admin.user_id, settings.auth.jwt_secret.get_secret_value(), 60)
    headers = {"Authorization": f"Bearer {token}"}
    body = {"code": f"plan-{uuid4().hex[:8]}", "name": "P", "amount_cents": 1}
    body |= {"currency_code": "usd", "interval": "month"}
    async with app.router.lifespan_context(app), client(app, **headers) as http:
        for _ in range(2):
            key = {"Idempotency-Key": "again and again"}
            reply = await http.post(f"{API}/plans", json=body, headers=key)
            problem(reply, 503, "temporal_unavailable")
            assert int(reply.headers["retry-after"]) > 0
        assert (await http.get(f"{API}/plans")).status_code == 200


async def test_what_takes_too_long_goes_on_and_the_same_key_gets_its_answer(
    monkeypatch: pytest.MonkeyPatch,
    workers: Client,
    user: Person,
) -> None:
    queue = f"late-{uuid4().hex[:8]}"
    monkeypatch.setattr("adapters.temporal.calls.BILLING", queue)
    monkeypatch.setattr("adapters.temporal.calls.CALL_TIMEOUT", timedelta(seconds=0.3))
    body = {"stripe_payment_method_id": "pm_card_visa"}
    for _ in range(2):
        reply = await user.post("payment-methods", key="k", **body)
        assert "same key" in problem(reply, 503, "outcome_pending")["detail"]
    monkeypatch.setattr("adapters.temporal.calls.CALL_TIMEOUT", timedelta(seconds=100))
    runner = workflow_runner(is_sandboxed=True)
    async with Worker(workers, task_queue=queue, workflows=WORKFLOWS, workflow_runner=runner):
        reply = await user.post("payment-methods", key="k", **body)
    assert reply.status_code == 201, reply.text
    assert len((await user.get("payment-methods"))["items"]) == 1


async def test_without_a_database_everything_is_503(
    settings: Settings,
    dev_server: Client,
) -> None:
    engine = make_engine(f"postgresql://nobody@127.0.0.1:{free_port()}/nothing")
    app = build_app(settings, dev_server, make_sessions(engine))
    async with app.router.lifespan_context(app), client(app) as http:
        replies = [
            await http.get(f"{API}/users/me", headers={"X-API-Key": "pk_x"}),
            await http.post(f"{API}/auth/token", data={"username": "a", "password": "b"}),
        ]
    await engine.dispose()
    for reply in replies:
        problem(reply, 503, "database_unavailable")
        assert int(reply.headers["retry-after"]) > 0


async def test_the_address_of_the_api_leads_to_its_documentation(
    stranger: httpx.AsyncClient,
) -> None:
    reply = await stranger.get("/")
    assert (reply.status_code, reply.headers["location"]) == (307, "/docs")
    assert (await stranger.get("/", follow_redirects=True)).url.path == "/docs"
