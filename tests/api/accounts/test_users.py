"""Signing up, logging in, keys, and who may do what."""

import asyncio
import time
from uuid import uuid4

import httpx
import jwt
import pytest
from sqlalchemy import update

from api.auth.passwords import verify_password
from config import Settings
from database.accounts.models import User
from database.session import Sessions
from tests.api.conftest import API, PASSWORD, Person, problem


def fresh_email() -> str:
    return f"{uuid4().hex}@example.com"


@pytest.fixture
async def member(stranger: httpx.AsyncClient) -> str:
    """The address of somebody who signed up with a password."""
    email = fresh_email()
    made = await stranger.post(f"{API}/users", json={"email": email, "password": PASSWORD})
    assert made.status_code == 201, made.text
    return email


async def test_signs_up_and_logs_in(stranger: httpx.AsyncClient) -> None:
    email = fresh_email()
    body = {"email": email.upper(), "password": PASSWORD, "name": "Ada"}
    made = await stranger.post(f"{API}/users", json=body)
    assert made.status_code == 201
    assert (made.json()["email"], made.json()["role"]) == (email, "user")
    assert "password" not in made.text
    form = {"username": email.upper(), "password": PASSWORD}
    token = (await stranger.post(f"{API}/auth/token", data=form)).json()
    assert (token["token_type"], token["expires_in"]) == ("bearer", 3600)
    headers = {"Authorization": f"Bearer {token['access_token']}"}
    me = await stranger.get(f"{API}/users/me", headers=headers)
    assert me.json()["user_id"] == made.json()["user_id"]


async def test_a_taken_address_is_refused_whatever_its_case(
    stranger: httpx.AsyncClient,
    user: Person,
) -> None:
    body = {"email": user.email.upper(), "password": PASSWORD}
    problem(await stranger.post(f"{API}/users", json=body), 409, "email_taken")


@pytest.mark.parametrize("password", ["wrong " + PASSWORD, "x"])
async def test_a_wrong_password_and_an_unknown_user_look_alike(
    stranger: httpx.AsyncClient,
    member: str,
    password: str,
) -> None:
    told = []
    for username in (member, "nobody@example.com"):
        form = {"username": username, "password": password}
        reply = await stranger.post(f"{API}/auth/token", data=form)
        told.append(problem(reply, 401, "invalid_credentials"))
        assert reply.headers["www-authenticate"] == "Bearer"
    assert told[0] == told[1]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer nonsense"},
        {"Authorization": "Basic dTpw"},
        {"X-API-Key": "pk_nonsense"},
    ],
)
async def test_without_valid_credentials_nothing_is_seen(
    stranger: httpx.AsyncClient,
    headers: dict[str, str],
) -> None:
    for path in ("users/me", "subscriptions", "plans", f"payments/{uuid4()}"):
        reply = await stranger.get(f"{API}/{path}", headers=headers)
        problem(reply, 401, "unauthorized")


async def test_forged_and_expired_tokens_are_refused(
    stranger: httpx.AsyncClient,
    settings: Settings,
    user: Person,
) -> None:
    secret = settings.auth.jwt_secret.get_secret_value()
    claims = {"sub": str(user.user_id), "exp": 4_000_000_000}
    forged = [
        jwt.encode(claims, "another secret of thirty-two bytes", algorithm="HS256"),
        jwt.encode(claims | {"exp": 1}, secret, algorithm="HS256"),
        jwt.encode({"sub": str(user.user_id)}, secret, algorithm="HS256"),
        jwt.encode(claims | {"sub": "me"}, secret, algorithm="HS256"),
        jwt.encode(claims | {"aud": "ticket"}, secret, algorithm="HS256"),
        jwt.encode(claims | {"sub": str(uuid4())}, secret, algorithm="HS256"),
    ]
    for token in forged:
        headers = {"Authorization": f"Bearer {token}"}
        reply = await stranger.get(f"{API}/users/me", headers=headers)
        problem(reply, 401, "unauthorized")


@pytest.mark.parametrize(("seconds", "status"), [(20, 200), (120, 401)])
async def test_clocks_may_differ_a_little(
    settings: Settings,
    stranger: httpx.AsyncClient,
    user: Person,
    seconds: int,
    status: int,
) -> None:
    secret, now = settings.auth.jwt_secret.get_secret_value(), int(time.time())
    early = {"sub": str(user.user_id), "iat": now + seconds, "exp": now + 3_600}
    late = {"sub": str(user.user_id), "iat": now - 3_600, "exp": now - seconds}
    for claims in (early, late):
        headers = {"Authorization": f"Bearer {jwt.encode(claims, secret, algorithm='HS256')}"}
        assert (await stranger.get(f"{API}/users/me", headers=headers)).status_code == status


async def test_a_deactivated_user_is_out_at_once(
    user: Person,
    stranger: httpx.AsyncClient,
    sessions: Sessions,
) -> None:
    key = (await user.post("api-keys", name="mine")).json()["api_key"]
    async with sessions.begin() as session:
        deactivate = update(User).where(User.user_id == user.user_id).values(is_active=False)
        await session.execute(deactivate)
    problem(await user.http.get(f"{API}/users/me"), 401, "unauthorized")
    reply = await stranger.get(f"{API}/users/me", headers={"X-API-Key": key})
    problem(reply, 401, "unauthorized")
    form = {"username": user.email, "password": PASSWORD}
    problem(await stranger.post(f"{API}/auth/token", data=form), 401, "invalid_credentials")


@pytest.mark.parametrize(
    "body",
    [
        {"email": "not an address", "password": PASSWORD},
        {"email": "a@example.com", "password": "short"},
        {"email": "a@example.com"},
        {"password": PASSWORD},
        {"email": "a@example.com", "password": PASSWORD, "is active": False},
        [],
        None,
    ],
)
async def test_bad_input_is_refused_and_not_echoed(
    stranger: httpx.AsyncClient,
    body: object,
) -> None:
    reply = await stranger.post(f"{API}/users", json=body)
    told = problem(reply, 422, "invalid_input")
    assert told["details"]["errors"]
    assert not {"input", "ctx", "url"} & told["details"]["errors"][0].keys()
    for echo in ("not an address", PASSWORD, "short", "is active"):
        assert echo not in reply.text


async def test_strangers_give_no_roles(stranger: httpx.AsyncClient, user: Person) -> None:
    for extra in ({"role": "admin"}, {"external_id": "x"}):
        body = {"email": fresh_email(), "password": PASSWORD} | extra
        problem(await stranger.post(f"{API}/users", json=body), 403, "admin_required")
        problem(await user.post("users", **body), 403, "admin_required")


async def test_an_administrator_brings_users_along(
    admin: Person,
    stranger: httpx.AsyncClient,
) -> None:
    external_id = uuid4().hex
    made = await admin.post("users", email=fresh_email(), external_id=external_id)
    assert made.status_code == 201
    assert made.json()["external_id"] == external_id
    again = await admin.post("users", email=fresh_email(), external_id=external_id)
    problem(again, 409, "external_id_taken")
    form = {"username": made.json()["email"], "password": PASSWORD}
    problem(await stranger.post(f"{API}/auth/token", data=form), 401, "invalid_credentials")
    boss = await admin.post("users", email=fresh_email(), password=PASSWORD, role="admin")
    assert boss.json()["role"] == "admin"


async def test_twins_sign_up_once(stranger: httpx.AsyncClient) -> None:
    body = {"email": fresh_email(), "password": PASSWORD}
    headers = {"Idempotency-Key": "once"}
    calls = [stranger.post(f"{API}/users", json=body, headers=headers) for _ in range(4)]
    replies = await asyncio.gather(*calls)
    assert {reply.status_code for reply in replies} == {201}
    assert len({reply.json()["user_id"] for reply in replies}) == 1
    changed = body | {"password": "another password"}
    reply = await stranger.post(f"{API}/users", json=changed, headers=headers)
    problem(reply, 409, "idempotency_key_reused")


async def test_a_key_is_shown_once_and_works_until_revoked(
    user: Person,
    other: Person,
    stranger: httpx.AsyncClient,
) -> None:
    made = await user.post("api-keys", key="k", name="backend")
    again = await user.post("api-keys", key="k", name="backend")
    assert (made.status_code, again.status_code) == (201, 201)
    assert made.json()["api_key_id"] == again.json()["api_key_id"]
    api_key = made.json()["api_key"]
    assert api_key.startswith("perdure_")
    assert len(api_key) == len("perdure_") + 43
    assert made.headers["cache-control"] == "no-store"
    assert made.headers["x-content-type-options"] == "nosniff"
    assert "server" not in made.headers
    assert again.json()["api_key"] is None
    headers = {"X-API-Key": api_key}
    me = await stranger.get(f"{API}/users/me", headers=headers)
    assert me.json()["user_id"] == str(user.user_id)
    (seen,) = (await user.get("api-keys"))["items"]
    assert seen["key_prefix"] == api_key[:14]
    assert "api_key" not in seen

    path = f"{API}/api-keys/{seen['api_key_id']}"
    problem(await other.http.delete(path), 404, "not_found")
    assert (await user.http.delete(path)).status_code == 204
    problem(await stranger.get(f"{API}/users/me", headers=headers), 401, "unauthorized")
    assert (await user.get("api-keys"))["items"] == []


async def test_twins_get_one_key(user: Person) -> None:
    replies = await asyncio.gather(*[user.post("api-keys", key="k") for _ in range(4)])
    assert len({reply.json()["api_key_id"] for reply in replies}) == 1
    assert sum(reply.json()["api_key"] is not None for reply in replies) == 1


async def test_a_broken_hash_lets_nobody_in() -> None:
    assert not await verify_password("no hash", PASSWORD)
    assert not await verify_password(None, "nobody has this password")


async def test_the_language_of_mails_is_the_users_choice(user: Person, admin: Person) -> None:
    assert (await user.http.get(f"{API}/users/me")).json()["locale"] is None
    changed = await user.http.patch(f"{API}/users/me", json={"locale": "de-AT"})
    assert (changed.status_code, changed.json()["locale"]) == (200, "de-AT")
    await user.http.patch(f"{API}/users/me", json={})  # what is left out stays
    assert (await user.http.get(f"{API}/users/me")).json()["locale"] == "de-AT"
    body = {"locale": None, "user_id": str(user.user_id)}
    assert (await admin.http.patch(f"{API}/users/me", json=body)).json()["locale"] is None
    assert (await admin.http.get(f"{API}/users/me")).json()["locale"] is None


async def test_nobody_changes_the_language_of_others(user: Person, other: Person) -> None:
    body = {"locale": "de", "user_id": str(other.user_id)}
    problem(await user.http.patch(f"{API}/users/me", json=body), 404, "not_found")


@pytest.mark.parametrize("locale", ["", "german", "DE", "de_AT", "de-at", "../en", 7, "d"])
async def test_a_language_has_the_form_of_bcp_47(user: Person, locale: object) -> None:
    reply = await user.http.patch(f"{API}/users/me", json={"locale": locale})
    problem(reply, 422, "invalid_input")


async def test_a_team_brings_users_with_their_language(admin: Person) -> None:
    email = fresh_email()
    made = await admin.post("users", email=email, external_id=email, locale="de")
    assert made.json()["locale"] == "de"
