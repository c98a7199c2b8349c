"""Users who have forgotten their password: a link in a mail sets a new one, once."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import func, select, update

from api.app import build_app
from config import Settings
from database.accounts.models import PasswordReset, User
from database.notifications.models import DueMail
from database.session import Sessions
from domain.accounts.login_limits import RESET_LIMIT
from domain.notifications import MailKind
from services.notifications.password_mails import PasswordMails
from tests.api.accounts.test_login_sessions import Visitor, go_on, log_in
from tests.api.accounts.test_login_sessions import visitor as visitor  # noqa: PLC0414 - a fixture
from tests.api.conftest import API, PASSWORD, client, problem

NEW = "four unrelated quiet rivers"
PAGE = "https://app.example/password#token={token}"


@pytest.fixture(scope="module")
async def http(
    app: FastAPI, settings: Settings, sessions: Sessions
) -> AsyncIterator[httpx.AsyncClient]:
    """The API of a team that has a page for new passwords."""
    auth = settings.auth.model_copy(update={"password_reset_page": PAGE})
    with_page = build_app(settings.model_copy(update={"auth": auth}), app.state.temporal, sessions)
    async with with_page.router.lifespan_context(with_page), client(with_page) as found:
        yield found


async def mails(sessions: Sessions, email: str) -> list[DueMail]:
    async with sessions() as session:
        found = await session.scalars(
            select(DueMail)
            .join(User, User.user_id == DueMail.user_id)
            .where(User.email == email.lower(), DueMail.mail_kind == MailKind.PASSWORD_RESET)
        )
        return list(found)


async def ask(http: httpx.AsyncClient, email: str) -> httpx.Response:
    return await http.post(f"{API}/auth/password-reset", json={"email": email})


async def token_for(http: httpx.AsyncClient, sessions: Sessions, email: str) -> str:
    """Ask for a link, and return the token in the mail as it is sent."""
    assert (await ask(http, email)).status_code == 202
    mail = (await mails(sessions, email))[-1]
    assert mail.variables_data == {}, "no token lies in the outbox"
    told: dict[str, Any] = await PasswordMails(sessions, PAGE).variables(mail)
    found = re.fullmatch(r"https://app\.example/password#token=(perdure_link_\S{43})", told["link"])
    assert found is not None, told
    return found[1]


async def confirm(http: httpx.AsyncClient, token: str, password: str = NEW) -> httpx.Response:
    body = {"token": token, "password": password}
    return await http.post(f"{API}/auth/password-reset/confirm", json=body)


async def test_a_forgotten_password_is_set_anew_once(
    http: httpx.AsyncClient, visitor: Visitor, sessions: Sessions
) -> None:
    first = await token_for(http, sessions, visitor.email.upper())
    second = await token_for(http, sessions, visitor.email)
    problem(await confirm(http, second, "password"), 422, "password_too_common")
    reply = await confirm(http, second)
    assert reply.status_code == 204, reply.text
    for used in (second, first):
        problem(await confirm(http, used, "another one of mine"), 410, "link_expired")
    problem(await visitor.me(), 401, "unauthorized")
    problem(await go_on(http, visitor.refresh), 401, "invalid_refresh_token")
    form = {"username": visitor.email, "password": NEW}
    assert (await http.post(f"{API}/auth/token", data=form)).status_code == 200
    form["password"] = PASSWORD
    problem(await http.post(f"{API}/auth/token", data=form), 401, "invalid_credentials")


async def test_the_answer_tells_nothing(
    http: httpx.AsyncClient, visitor: Visitor, sessions: Sessions
) -> None:
    known, unknown = await ask(http, visitor.email), await ask(http, f"{uuid4().hex}@example.com")
    assert (known.status_code, known.content) == (unknown.status_code, unknown.content)
    for _ in range(RESET_LIMIT + 3):
        assert (await ask(http, visitor.email)).status_code == 202
    assert len(await mails(sessions, visitor.email)) == RESET_LIMIT


@pytest.mark.parametrize("reason", ["expired", "deactivated", "unknown"])
async def test_a_link_that_can_set_nothing(
    http: httpx.AsyncClient, visitor: Visitor, sessions: Sessions, reason: str
) -> None:
    token = await token_for(http, sessions, visitor.email)
    async with sessions.begin() as session:
        mine = select(User.user_id).where(User.email == visitor.email).scalar_subquery()
        if reason == "expired":
            links = update(PasswordReset).where(PasswordReset.user_id == mine)
            await session.execute(links.values(expires_at=func.now() - timedelta(seconds=1)))
        elif reason == "deactivated":
            await session.execute(
                update(User).where(User.email == visitor.email).values(is_active=False)
            )
    if reason == "unknown":
        token = f"perdure_link_{uuid4().hex}"
    problem(await confirm(http, token), 410, "link_expired")


async def test_without_a_page_no_mail_is_sent(
    stranger: httpx.AsyncClient, visitor: Visitor, sessions: Sessions
) -> None:
    assert (await ask(stranger, visitor.email)).status_code == 202
    assert await mails(sessions, visitor.email) == []
    assert (await (await log_in(stranger, visitor.email)).me()).status_code == 200
