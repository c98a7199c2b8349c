"""Administrators list, deactivate and reactivate users; passwords are changed by their owners."""

import asyncio
from uuid import uuid4

import httpx
import pytest
from argon2 import PasswordHasher
from sqlalchemy import select, update

from api.auth.passwords import needs_rehash
from database.accounts.models import User
from database.accounts.users import ADMIN
from database.session import Sessions
from tests.api.accounts.test_login_sessions import Visitor, go_on, log_in
from tests.api.accounts.test_login_sessions import visitor as visitor  # noqa: PLC0414 - a fixture
from tests.api.conftest import API, PASSWORD, Person, problem
from tests.api.support import add_user

NEW = "four unrelated quiet rivers"


async def test_users_are_found_by_their_address(admin: Person, user: Person) -> None:
    found = await admin.get("users", email=user.email[:20].upper())
    assert [each["user_id"] for each in found["items"]] == [str(user.user_id)]
    assert "password" not in str(found)
    for wildcard in ("%", "_", "\\"):
        assert (await admin.get("users", email=wildcard))["items"] == []
    first = await admin.get("users", limit=1)
    assert (
        first["items"][0]["user_id"]
        != (await admin.get("users", limit=1, cursor=first["next_cursor"]))["items"][0]["user_id"]
    )
    problem(await user.http.get(f"{API}/users"), 403, "admin_required")


async def test_a_deactivated_user_is_out_until_reactivated(
    admin: Person, visitor: Visitor, user: Person
) -> None:
    user_id = (await visitor.me()).json()["user_id"]
    path = f"users/{user_id}"
    problem(await user.post(f"{path}/deactivate"), 403, "admin_required")
    for _ in range(2):
        gone = await admin.post(f"{path}/deactivate")
        assert (gone.status_code, gone.json()["is_active"]) == (200, False), gone.text
    problem(await visitor.me(), 401, "unauthorized")
    problem(await go_on(visitor.http, visitor.refresh), 401, "invalid_refresh_token")
    listed = await admin.get("users", email=visitor.email, is_active=False)
    assert len(listed["items"]) == 1
    back = await admin.post(f"{path}/reactivate")
    assert back.json()["is_active"]
    problem(await visitor.me(), 401, "unauthorized")
    assert (await (await log_in(visitor.http, visitor.email)).me()).status_code == 200
    problem(await admin.post(f"users/{uuid4()}/deactivate"), 404, "not_found")


async def test_the_last_administrator_stays(admin: Person, sessions: Sessions) -> None:
    """Two who deactivate each other at once: one of them stays."""
    second = await add_user(sessions, ADMIN)
    async with sessions.begin() as session:
        others = select(User.user_id).where(
            User.role == ADMIN, User.is_active, User.user_id.not_in([admin.user_id, second])
        )
        resting = list(await session.scalars(others))
        rest = update(User).where(User.user_id.in_(resting))
        await session.execute(rest.values(is_active=False))
    try:
        replies = await asyncio.gather(
            *[admin.post(f"users/{each}/deactivate") for each in (second, admin.user_id)]
        )
        # Reason: who was deactivated first may not be asked any more.
        statuses = {reply.status_code for reply in replies}
        assert statuses in ({200, 409}, {200, 401}), [reply.text for reply in replies]
        async with sessions() as session:
            active = select(User.user_id).where(User.role == ADMIN, User.is_active)
            assert len(list(await session.scalars(active))) == 1
    finally:
        async with sessions.begin() as session:
            wake = update(User).where(User.user_id.in_([*resting, admin.user_id]))
            await session.execute(wake.values(is_active=True))


async def test_a_password_is_changed(visitor: Visitor, stranger: httpx.AsyncClient) -> None:
    other = await log_in(stranger, visitor.email)
    body = {"current": PASSWORD, "new": NEW}
    path = f"{API}/auth/password"
    wrong = await stranger.post(path, json=body | {"current": NEW}, headers=visitor.headers)
    problem(wrong, 403, "wrong_password")
    reply = await stranger.post(path, json=body, headers=visitor.headers)
    assert reply.status_code == 204, reply.text
    problem(await visitor.me(), 401, "unauthorized")
    problem(await other.me(), 401, "unauthorized")
    problem(await go_on(stranger, other.refresh), 401, "invalid_refresh_token")
    renewed = await go_on(stranger, visitor.refresh)
    assert (await Visitor(stranger, visitor.email, renewed.json()).me()).status_code == 200
    form = {"username": visitor.email, "password": NEW}
    assert (await stranger.post(f"{API}/auth/token", data=form)).status_code == 200
    form["password"] = PASSWORD
    problem(await stranger.post(f"{API}/auth/token", data=form), 401, "invalid_credentials")


@pytest.mark.parametrize("password", ["password", "Password1!", "qwertyuiop", "aaaabbbbaaaa"])
async def test_common_passwords_are_refused(
    stranger: httpx.AsyncClient, visitor: Visitor, password: str
) -> None:
    body = {"email": f"{uuid4().hex}@example.com", "password": password}
    problem(await stranger.post(f"{API}/users", json=body), 422, "password_too_common")
    change = {"current": PASSWORD, "new": password}
    reply = await stranger.post(f"{API}/auth/password", json=change, headers=visitor.headers)
    problem(reply, 422, "password_too_common")


async def test_an_address_is_no_password(stranger: httpx.AsyncClient) -> None:
    name = uuid4().hex
    for password in (name, f"{name}@example", f"{name[:12]}", f"{name}2026!"):
        body = {"email": f"{name}@example.com", "password": password}
        problem(await stranger.post(f"{API}/users", json=body), 422, "password_too_common")


async def test_a_weak_hash_is_made_anew_at_the_next_log_in(
    stranger: httpx.AsyncClient, visitor: Visitor, sessions: Sessions
) -> None:
    weak = PasswordHasher(time_cost=1, memory_cost=1_024).hash(PASSWORD)
    mine = User.email == visitor.email
    async with sessions.begin() as session:
        await session.execute(update(User).where(mine).values(password_hash=weak))
    again = await log_in(stranger, visitor.email)
    assert (await again.me()).status_code == 200
    async with sessions() as session:
        stored = await session.scalar(select(User.password_hash).where(mine))
    assert stored != weak
    assert not needs_rehash(stored or "")
