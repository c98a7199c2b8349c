"""How many passwords are checked for an account: guessing stops, and its owner gets in."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import func, select

from api.app import build_app
from config import Settings
from database.accounts.models import KnownAddress
from database.session import Sessions
from domain.accounts.login_limits import KNOWN_FOR, KNOWN_LIMIT, UNKNOWN_LIMIT, WINDOW, window_of
from services.accounts.login_throttle import LoginThrottle
from tests.api.conftest import API, PASSWORD, problem
from tests.conftest import Measure

PROXY = "10.9.8.7"
LENGTH_OF_A_TEST = timedelta(seconds=20)


@pytest.fixture(autouse=True)
async def within_an_hour() -> None:
    """Wait for the next hour if it is about to begin: then all would be counted anew."""
    now = datetime.now(UTC)
    left = window_of(now) + WINDOW - now
    if left < LENGTH_OF_A_TEST:
        await asyncio.sleep(left.total_seconds())


@pytest.fixture(scope="module")
async def proxied(app: FastAPI, settings: Settings, sessions: Sessions) -> AsyncIterator[Any]:
    """The API behind a proxy that it trusts."""
    changed = settings.model_copy(
        update={
            "api": settings.api.model_validate({"trusted_proxies": "10.0.0.0/8"}),
        }
    )
    behind = build_app(changed, app.state.temporal, sessions)
    transport = httpx.ASGITransport(behind, client=(PROXY, 1))
    async with (
        behind.router.lifespan_context(behind),
        httpx.AsyncClient(transport=transport, base_url="http://test", timeout=100) as http,
    ):
        yield http


async def sign_up(http: httpx.AsyncClient) -> str:
    email = f"{uuid4().hex}@example.com"
    made = await http.post(f"{API}/users", json={"email": email, "password": PASSWORD})
    assert made.status_code == 201, made.text
    return email


async def log_in(
    http: httpx.AsyncClient, email: str, password: str, address: str
) -> httpx.Response:
    form = {"username": email, "password": password}
    return await http.post(f"{API}/auth/token", data=form, headers={"X-Forwarded-For": address})


async def spend(sessions: Sessions, email: str, count: int) -> None:
    """Let others have guessed so often in this hour: each guess takes a while of a core."""
    throttle = LoginThrottle(sessions)
    for number in range(count):
        await throttle.admit(email, f"192.0.2.{number}", datetime.now(UTC))


@pytest.mark.parametrize(
    ("count", "earlier"), [(60, 90), pytest.param(10_000, 0, marks=pytest.mark.soak)]
)
async def test_guessing_from_many_addresses(
    proxied: httpx.AsyncClient, sessions: Sessions, count: int, earlier: int, measure: Measure
) -> None:
    email, home = await sign_up(proxied), "198.51.100.7"
    assert (await log_in(proxied, email, PASSWORD, home)).status_code == 200
    await spend(sessions, email, earlier)
    dice = random.Random(2026)  # noqa: S311
    slots = asyncio.Semaphore(8)

    async def guess(number: int) -> int:
        async with slots:
            address = f"203.0.113.{dice.randrange(100)}"
            return (await log_in(proxied, email, f"guess {number}", address)).status_code

    statuses = Counter(await asyncio.gather(*[guess(number) for number in range(count)]))
    measure(f"{count} guesses from 100 addresses: answered {dict(statuses)}")
    assert statuses.keys() == {401, 429}
    # Reason: the owner's own first log-in counts, too, and the hour may change meanwhile.
    assert UNKNOWN_LIMIT - 1 - earlier <= statuses[401] <= 2 * UNKNOWN_LIMIT
    assert (await log_in(proxied, email, PASSWORD, home)).status_code == 200, "the owner gets in"
    late = await log_in(proxied, email, PASSWORD, "203.0.113.200")
    told = problem(late, 429, "too_many_log_ins")
    assert 0 < int(late.headers["retry-after"]) <= 3_600
    assert told["details"]["retry_after_seconds"] == int(late.headers["retry-after"])


async def test_nobody_learns_who_has_an_account(
    proxied: httpx.AsyncClient, sessions: Sessions
) -> None:
    email, nobody = await sign_up(proxied), f"{uuid4().hex}@example.com"
    told: dict[str, list[int]] = {email: [], nobody: []}
    for each in told:
        await spend(sessions, each, UNKNOWN_LIMIT - 3)
    for number in range(6):
        for each, statuses in told.items():
            reply = await log_in(proxied, each, "wrong password", f"203.0.113.{number}")
            statuses.append(reply.status_code)
    assert told[email] == told[nobody] == [401] * 3 + [429] * 3


async def test_a_known_address_has_a_limit_too(
    proxied: httpx.AsyncClient, sessions: Sessions
) -> None:
    email, home = await sign_up(proxied), "198.51.100.7"
    assert (await log_in(proxied, email, PASSWORD, home)).status_code == 200
    throttle = LoginThrottle(sessions)
    for _ in range(KNOWN_LIMIT - 1):
        await throttle.admit(email, home, datetime.now(UTC))
    last = await log_in(proxied, email.upper(), "wrong password", home)
    problem(last, 401, "invalid_credentials")
    problem(await log_in(proxied, email, PASSWORD, home), 429, "too_many_log_ins")
    assert (await log_in(proxied, email, PASSWORD, "203.0.113.9")).status_code == 200


async def test_a_stolen_token_guesses_no_password(
    proxied: httpx.AsyncClient, sessions: Sessions
) -> None:
    email = await sign_up(proxied)
    token = (await log_in(proxied, email, PASSWORD, "198.51.100.7")).json()["access_token"]
    await spend(sessions, email, UNKNOWN_LIMIT - 1)  # the log-in was the first one
    reply = await proxied.post(
        f"{API}/auth/password",
        json={"current": PASSWORD, "new": "four unrelated quiet rivers"},
        headers={"Authorization": f"Bearer {token}", "X-Forwarded-For": "203.0.113.9"},
    )
    problem(reply, 429, "too_many_log_ins")


async def test_addresses_are_forgotten(sessions: Sessions) -> None:
    now = datetime.now(UTC)
    long_ago, throttle = now - KNOWN_FOR - timedelta(minutes=1), LoginThrottle(sessions)
    email = f"{uuid4().hex}@example.com"
    await throttle.remember(email, "192.0.2.1", long_ago)
    await throttle.remember(email, "192.0.2.2", now)
    async with sessions() as session:
        count = await session.scalar(
            select(func.count())
            .select_from(KnownAddress)
            .where(KnownAddress.last_login_at < now - KNOWN_FOR)
        )
    assert count == 0
