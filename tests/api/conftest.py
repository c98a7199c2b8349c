"""Fixtures with the API in this process, on real servers, and its users."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import FastAPI
from temporalio.client import Client

from adapters.tls import trusted
from api.app import build_app
from api.auth.tokens import make_token
from config import Settings
from database.accounts.users import ensure_admin
from database.session import Sessions
from services.agents.tools.catalog import ToolCatalog
from tests.unit.agents.support import Model, open_model

API = "/api/v1"
MakeCard = Callable[..., Awaitable[str]]
PASSWORD = "correct horse battery staple"


@dataclass
class Person:
    """A user, with an HTTP client that sends the user's credentials."""

    user_id: UUID
    email: str
    http: httpx.AsyncClient

    async def get(self, path: str, **params: Any) -> Any:
        """Send a GET, and return the JSON of the successful response."""
        reply = await self.http.get(f"{API}/{path}", params=params)
        assert reply.status_code == 200, reply.text
        return reply.json()

    async def post(self, path: str, key: str | None = None, **body: Any) -> httpx.Response:
        """Send a POST, with an idempotency key if there is one."""
        headers = {"Idempotency-Key": key} if key else {}
        return await self.http.post(f"{API}/{path}", json=body, headers=headers)


def problem(reply: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Return the problem document of an error response, and check its form, status and code."""
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = reply.json()
    assert body.keys() == {"type", "title", "status", "detail", "code", "details"}
    assert (body["status"], body["code"]) == (status, code)
    return body


def client(app: FastAPI, **headers: str) -> httpx.AsyncClient:
    """Return an HTTP client of an app in this process."""
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app),
        base_url="http://test",
        headers=headers,
        timeout=100,
    )


async def bring_along(app: FastAPI, admin: Person) -> Person:
    """Make a user without a password, who logs in at another system: hashing passwords is slow."""
    email = f"{uuid4().hex}@example.com"
    made = await admin.post("users", email=email, external_id=email)
    assert made.status_code == 201, made.text
    user_id = UUID(made.json()["user_id"])
    secret = app.state.settings.auth.jwt_secret.get_secret_value()
    token = make_token(user_id, secret, 3_600)
    return Person(user_id, email, client(app, Authorization=f"Bearer {token}"))


# Reason: the app's dispatcher claims all rows of the inbox, so it must end with its test module.
@pytest.fixture(scope="module")
async def app(
    settings: Settings,
    dev_server: Client,
    sessions: Sessions,
    tools: ToolCatalog,
) -> AsyncIterator[FastAPI]:
    app = build_app(settings, dev_server, sessions, tools)
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
async def stranger(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """Return an HTTP client without credentials."""
    async with client(app) as http:
        yield http


@pytest.fixture
async def user(app: FastAPI, admin: Person) -> AsyncIterator[Person]:
    """Make a user for this test."""
    person = await bring_along(app, admin)
    yield person
    await person.http.aclose()


@pytest.fixture
async def other(app: FastAPI, admin: Person) -> AsyncIterator[Person]:
    """Make another user for this test."""
    person = await bring_along(app, admin)
    yield person
    await person.http.aclose()


@pytest.fixture(scope="module")
async def admin(app: FastAPI, sessions: Sessions) -> AsyncIterator[Person]:
    """Make an administrator with an API key."""
    api_key, email = f"pk_{uuid4().hex}", f"{uuid4().hex}@example.com"
    for _ in range(2):  # the second time changes nothing
        async with sessions.begin() as session:
            await ensure_admin(session, email, api_key)
    async with client(app, **{"X-API-Key": api_key}) as http:
        me = await http.get(f"{API}/users/me")
        yield Person(UUID(me.json()["user_id"]), email, http)


@pytest.fixture
async def card(settings: Settings) -> Callable[..., Awaitable[str]]:
    """Return a function that makes a card, which answers charges by a script."""

    base = settings.stripe.api_base or ""

    async def make(*script: str) -> str:
        async with httpx.AsyncClient(base_url=base, verify=trusted()) as sandbox:
            body = {"script": list(script)}
            reply = await sandbox.post("/_sandbox/payment-methods", json=body)
            made: str = reply.raise_for_status().json()["id"]
            return made

    return make


@pytest.fixture
async def plan(admin: Person, workers: Client) -> dict[str, Any]:
    """Make a plan for this test."""
    return await make_plan(admin)


async def make_plan(admin: Person, **changes: Any) -> dict[str, Any]:
    """Make a plan."""
    body: dict[str, Any] = {
        "code": f"plan-{uuid4().hex[:8]}",
        "name": "Probe",
        "amount_cents": 2900,
    }
    body |= {"currency_code": "usd", "interval": "month"}
    reply = await admin.post("plans", **(body | changes))
    assert reply.status_code == 201, reply.text
    made: dict[str, Any] = reply.json()
    return made


async def until(read: Callable[[], Awaitable[Any]], seconds: float = 100) -> Any:
    """Read a value repeatedly until it is true, and return it."""
    async with asyncio.timeout(seconds):
        while not (value := await read()):  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.05)
    return value


async def subscribe(person: Person, admin: Person, card: MakeCard, **limits: Any) -> None:
    """Subscribe a user to a new plan with these limits, and wait for full access."""
    plan = await make_plan(admin, limits=limits)
    added = await person.post(
        "payment-methods",
        stripe_payment_method_id=await card("ok"),
        is_default=True,
    )
    assert added.status_code == 201, added.text
    made = (await person.post("subscriptions", plan_id=plan["plan_id"])).json()

    async def is_active() -> bool:
        subscription = await person.get(f"subscriptions/{made['subscription_id']}")
        return bool(subscription["access"] == "full")

    await until(is_active)


@pytest.fixture
async def model(settings: Settings) -> AsyncIterator[Model]:
    """Return the controls of the models' sandbox."""
    async with open_model(settings) as http:
        yield Model(http)


@pytest.fixture
async def customer(
    user: Person,
    admin: Person,
    card: MakeCard,
    workers: Client,
    chroma_url: str,
) -> Person:
    """Return a user with a subscription."""
    await subscribe(user, admin, card)
    return user
