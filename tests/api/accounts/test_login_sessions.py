"""Sessions of log-ins: they go on, end, and end if a refresh token is used by two."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import func, select, update

from database.accounts.models import LoginSession, RefreshToken, User
from database.session import Sessions
from domain.accounts.credentials import digest
from domain.accounts.sessions import REPEAT_TIME
from tests.api.conftest import API, PASSWORD, problem

Json = dict[str, Any]


class Visitor:
    """Somebody with a password, who has logged in."""

    def __init__(self, http: httpx.AsyncClient, email: str, answer: Json) -> None:
        self.http, self.email = http, email
        self.access: str = answer["access_token"]
        self.refresh: str = answer["refresh_token"]

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.access}"}

    async def me(self) -> httpx.Response:
        return await self.http.get(f"{API}/users/me", headers=self.headers)

    async def log_out(self, **body: Any) -> None:
        reply = await self.http.post(f"{API}/auth/logout", json=body, headers=self.headers)
        assert reply.status_code == 204, reply.text


async def log_in(http: httpx.AsyncClient, email: str) -> Visitor:
    form = {"username": email, "password": PASSWORD}
    reply = await http.post(f"{API}/auth/token", data=form)
    assert reply.status_code == 200, reply.text
    return Visitor(http, email, reply.json())


async def go_on(http: httpx.AsyncClient, refresh_token: str) -> httpx.Response:
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
    return await http.post(f"{API}/auth/token", data=form)


@pytest.fixture
async def visitor(stranger: httpx.AsyncClient) -> Visitor:
    email = f"{uuid4().hex}@example.com"
    made = await stranger.post(f"{API}/users", json={"email": email, "password": PASSWORD})
    assert made.status_code == 201, made.text
    return await log_in(stranger, email)


async def test_a_session_goes_on_with_each_next_token(
    stranger: httpx.AsyncClient, visitor: Visitor
) -> None:
    refresh = visitor.refresh
    for _ in range(3):
        answer = await go_on(stranger, refresh)
        assert answer.status_code == 200, answer.text
        assert answer.headers["cache-control"] == "no-store"
        later = Visitor(stranger, visitor.email, answer.json())
        assert (await later.me()).status_code == 200
        assert later.refresh != refresh
        refresh = later.refresh
    assert (await visitor.me()).status_code == 200, "an access token lasts until it expires"


async def test_a_lost_answer_is_asked_for_again(
    stranger: httpx.AsyncClient, visitor: Visitor
) -> None:
    lost = (await go_on(stranger, visitor.refresh)).json()["refresh_token"]
    again = await go_on(stranger, visitor.refresh)
    assert again.status_code == 200, again.text
    assert (await go_on(stranger, again.json()["refresh_token"])).status_code == 200
    problem(await go_on(stranger, lost), 401, "invalid_refresh_token")


async def age(sessions: Sessions, refresh_token: str) -> None:
    """Let a token be replaced longer ago than an answer may be asked for again."""
    longer = REPEAT_TIME + timedelta(seconds=1)
    async with sessions.begin() as session:
        await session.execute(
            update(RefreshToken)
            .where(RefreshToken.token_sha256 == digest(refresh_token))
            .values(replaced_at=func.now() - longer)
        )


@pytest.mark.parametrize("who", ["thief first", "owner first", "late"])
async def test_a_token_that_two_have_ends_the_session(
    stranger: httpx.AsyncClient, visitor: Visitor, sessions: Sessions, who: str
) -> None:
    """Whoever uses it second finds the session ended, and so does whoever used it first."""
    stolen = visitor.refresh
    first = (await go_on(stranger, stolen)).json()
    if who == "late":
        await age(sessions, stolen)
        problem(await go_on(stranger, stolen), 401, "invalid_refresh_token")
    elif who == "thief first":
        second = (await go_on(stranger, first["refresh_token"])).json()
        problem(await go_on(stranger, stolen), 401, "invalid_refresh_token")
        problem(await go_on(stranger, second["refresh_token"]), 401, "invalid_refresh_token")
    else:
        (await go_on(stranger, stolen)).raise_for_status()
        problem(await go_on(stranger, first["refresh_token"]), 401, "invalid_refresh_token")
    problem(await visitor.me(), 401, "unauthorized")
    other = await log_in(stranger, visitor.email)
    assert (await other.me()).status_code == 200


async def test_two_at_once_leave_one_newest_token(
    stranger: httpx.AsyncClient, visitor: Visitor, sessions: Sessions
) -> None:
    replies = await asyncio.gather(*[go_on(stranger, visitor.refresh) for _ in range(6)])
    assert {reply.status_code for reply in replies} == {200}
    async with sessions() as session:
        newest = await session.scalar(
            select(func.count())
            .select_from(RefreshToken)
            .join(LoginSession, LoginSession.login_session_id == RefreshToken.login_session_id)
            .join(User, User.user_id == LoginSession.user_id)
            .where(User.email == visitor.email, RefreshToken.replaced_at.is_(None))
        )
    assert newest == 1


@pytest.mark.parametrize("is_all", [False, True])
async def test_log_out_ends_this_session_or_all(
    stranger: httpx.AsyncClient, visitor: Visitor, is_all: bool
) -> None:
    other = await log_in(stranger, visitor.email)
    await visitor.log_out(all=is_all)
    problem(await visitor.me(), 401, "unauthorized")
    problem(await go_on(stranger, visitor.refresh), 401, "invalid_refresh_token")
    assert (await other.me()).status_code == (401 if is_all else 200)
    assert (await go_on(stranger, other.refresh)).status_code == (401 if is_all else 200)


async def test_log_out_needs_no_body(stranger: httpx.AsyncClient, visitor: Visitor) -> None:
    reply = await stranger.post(f"{API}/auth/logout", headers=visitor.headers)
    assert reply.status_code == 204, reply.text
    problem(await visitor.me(), 401, "unauthorized")


async def test_a_ticket_ends_with_its_session(
    stranger: httpx.AsyncClient, visitor: Visitor
) -> None:
    ticket = (await stranger.post(f"{API}/auth/ticket", headers=visitor.headers)).json()["ticket"]
    await visitor.log_out()
    path = f"{API}/agent-runs/{uuid4()}/events?ticket={ticket}"
    reply = await stranger.get(path)
    assert reply.status_code == 401, reply.text


@pytest.mark.parametrize("reason", ["expired", "deactivated", "unknown"])
async def test_a_session_that_cannot_go_on(
    stranger: httpx.AsyncClient, visitor: Visitor, sessions: Sessions, reason: str
) -> None:
    sha256 = digest(visitor.refresh)
    async with sessions.begin() as session:
        if reason == "expired":
            past = func.now() - timedelta(seconds=1)
            token = update(RefreshToken).where(RefreshToken.token_sha256 == sha256)
            await session.execute(token.values(expires_at=past))
        elif reason == "deactivated":
            user = update(User).where(User.email == visitor.email)
            await session.execute(user.values(is_active=False))
    refresh = uuid4().hex if reason == "unknown" else visitor.refresh
    problem(await go_on(stranger, refresh), 401, "invalid_refresh_token")


async def test_a_log_in_forgets_the_users_expired_sessions(
    stranger: httpx.AsyncClient, visitor: Visitor, sessions: Sessions
) -> None:
    async with sessions.begin() as session:
        token = update(RefreshToken).where(RefreshToken.token_sha256 == digest(visitor.refresh))
        await session.execute(token.values(expires_at=func.now() - timedelta(seconds=1)))
    await log_in(stranger, visitor.email)
    async with sessions() as session:
        count = await session.scalar(
            select(func.count())
            .select_from(LoginSession)
            .join(User, User.user_id == LoginSession.user_id)
            .where(User.email == visitor.email)
        )
    assert count == 1
