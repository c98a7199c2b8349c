"""Pages of links in mails: what they show, to whom, and what they never do; no worker runs."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import httpx
import pytest
from temporalio.client import Client

from api.app import build_app
from config import Settings
from database.accounts.models import User
from database.agents.models import Approval
from database.session import Sessions
from domain.ids import agent_run_workflow_id
from domain.notifications import APPROVAL_LINK_PATH
from tests.api.conftest import problem
from tests.api.support import add_user, idle_server, served
from tests.support.approval_links import BROWSER, PATH, WaitingCall, add_asked, add_link, links_of

APPROVE = {"decision": "approve"}
HEADERS = {
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-robots-tag": "noindex",
    "x-content-type-options": "nosniff",
}


@pytest.fixture(scope="module")
async def temporal() -> AsyncIterator[Client]:
    async with idle_server() as client:
        yield client


@pytest.fixture(scope="module")
async def browser(
    settings: Settings, temporal: Client, sessions: Sessions
) -> AsyncIterator[httpx.AsyncClient]:
    async with served(build_app(settings, temporal, sessions)) as client:
        client.headers.update(BROWSER)
        yield client


@pytest.fixture
async def admin_id(sessions: Sessions) -> UUID:
    return await add_user(sessions, "admin")


@pytest.fixture
async def asked(sessions: Sessions) -> WaitingCall:
    return await add_asked(sessions, await add_user(sessions))


async def status_of(sessions: Sessions, asked: WaitingCall) -> str:
    async with sessions() as session:
        return (await session.get_one(Approval, asked.approval_id)).approval_status


def check_page(reply: httpx.Response, status: int) -> None:
    """Check that an answer is a page that loads nothing, runs nothing and is kept nowhere."""
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert {name: reply.headers[name] for name in HEADERS} == HEADERS
    policy = reply.headers["content-security-policy"]
    for part in ("default-src 'none'", "form-action 'self'", "frame-ancestors 'none'"):
        assert part in policy
    assert "unsafe" not in policy
    assert "script" not in policy
    assert not re.search(r"<script|\son\w+=|\ssrc=|https?://|style=|@import|url\(", reply.text)


async def test_links_in_mails_lead_to_the_route(browser: httpx.AsyncClient) -> None:
    assert f"{PATH}/" == APPROVAL_LINK_PATH
    check_page(await browser.get(f"{APPROVAL_LINK_PATH}unknown"), 404)


@pytest.mark.parametrize("language", ["en", "de"])
async def test_unknown_links_are_a_plain_404(
    browser: httpx.AsyncClient,
    sessions: Sessions,
    asked: WaitingCall,
    admin_id: UUID,
    language: str,
) -> None:
    token = await add_link(sessions, asked, admin_id)
    shown = {"en": "Unknown link", "de": "Unbekannter Link"}[language]
    wrong = (token[:-1] + ("A" if token[-1] != "A" else "B"), token[:-1], f"{token}A", "x" * 5_000)
    texts = set()
    for each in (*wrong, token.upper(), "perdure_link_", "0"):
        for reply in (
            await browser.get(f"{PATH}/{each}", headers={"Accept-Language": f"{language}-AT,x"}),
            await browser.post(
                f"{PATH}/{each}", data=APPROVE, headers={"Accept-Language": language}
            ),
        ):
            check_page(reply, 404)
            assert shown in reply.text
            texts.add(reply.text)
    assert len(texts) == 1  # it tells nothing about the token
    assert await status_of(sessions, asked) == "pending"


async def test_a_program_gets_problem_documents(
    browser: httpx.AsyncClient, sessions: Sessions, asked: WaitingCall, admin_id: UUID
) -> None:
    accept = {"Accept": "application/json"}
    reply = await browser.get(f"{PATH}/unknown", headers=accept)
    problem(reply, 404, "not_found")
    assert reply.headers["referrer-policy"] == "no-referrer"
    token = await add_link(sessions, asked, admin_id)
    page = await browser.get(f"{PATH}/{token}", headers=accept)
    assert page.headers["content-type"].startswith("text/html")
    bad = await browser.post(f"{PATH}/{token}", data={"decision": "maybe"}, headers=accept)
    assert problem(bad, 422, "invalid_input")["details"]["errors"][0]["field"] == "body.decision"
    assert token not in bad.text


async def test_nothing_from_outside_is_taken_for_html(
    browser: httpx.AsyncClient, sessions: Sessions, admin_id: UUID
) -> None:
    evil = '"><script>alert(1)</script><img src=https://evil.example onerror=x>'
    user_id = uuid4()
    async with sessions.begin() as session:
        session.add(User(user_id=user_id, email=f"{user_id.hex}@example.com", name=evil))
    asked = await add_asked(
        sessions,
        user_id,
        tool=evil,
        arguments={evil: evil, "turned": "refund \u202e999\u202c", "nested": {"a": [evil]}},
        effect={evil: evil},
    )
    token = await add_link(sessions, asked, admin_id)
    reply = await browser.get(f"{PATH}/{token}")
    assert reply.status_code == 200
    assert "<script" not in reply.text
    assert "<img" not in reply.text
    assert reply.text.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 6
    assert "\u202e" not in reply.text
    assert "refund \\u202e999" in reply.text


@pytest.mark.parametrize(("locale", "word"), [(None, "Approve"), ("de-AT", "Freigeben")])
async def test_the_page_is_in_the_language_of_its_user(
    browser: httpx.AsyncClient,
    sessions: Sessions,
    asked: WaitingCall,
    admin_id: UUID,
    locale: str | None,
    word: str,
) -> None:
    async with sessions.begin() as session:
        (await session.get_one(User, admin_id)).locale = locale
    token = await add_link(sessions, asked, admin_id)
    reply = await browser.get(f"{PATH}/{token}", headers={"Accept-Language": "fr"})
    check_page(reply, 200)
    assert f">{word}</button>" in reply.text
    assert f'<html lang="{"de" if locale else "en"}">' in reply.text
    assert token not in reply.text


async def test_an_expired_link_shows_and_decides_nothing(
    browser: httpx.AsyncClient, sessions: Sessions, asked: WaitingCall, admin_id: UUID
) -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    token = await add_link(sessions, asked, admin_id, expires_at=past)
    for reply in (
        await browser.get(f"{PATH}/{token}"),
        await browser.post(f"{PATH}/{token}", data=APPROVE),
    ):
        check_page(reply, 410)
        assert "refund_payment" not in reply.text
    assert await status_of(sessions, asked) == "pending"


async def test_the_link_of_a_stranger_shows_and_decides_nothing(
    browser: httpx.AsyncClient, sessions: Sessions, asked: WaitingCall
) -> None:
    """Whoever it was stored for: the owner of the run approves no refund of their own."""
    former_id = await add_user(sessions, "admin")
    async with sessions.begin() as session:
        (await session.get_one(User, former_id)).is_active = False
    for user_id in (asked.user_id, await add_user(sessions), former_id):
        token = await add_link(sessions, asked, user_id)
        for reply in (
            await browser.get(f"{PATH}/{token}"),
            await browser.post(f"{PATH}/{token}", data=APPROVE),
        ):
            check_page(reply, 403)
            assert "refund_payment" not in reply.text


async def test_a_form_that_is_no_decision_is_refused(
    browser: httpx.AsyncClient, sessions: Sessions, asked: WaitingCall, admin_id: UUID
) -> None:
    token = await add_link(sessions, asked, admin_id)
    link = f"{PATH}/{token}"
    for form in (
        {},
        {"decision": ""},
        APPROVE | {"arguments": "{}"},
        APPROVE | {"reason": "x" * 1_001},
    ):
        reply = await browser.post(link, data=form)
        check_page(reply, 422)
        assert token not in reply.text
    check_page(await browser.post(link, json=APPROVE), 415)
    check_page(await browser.get(link, params={"decision": "approve"}), 422)
    for method in ("PUT", "PATCH", "DELETE", "OPTIONS"):
        assert (await browser.request(method, link)).status_code == 405
    assert await status_of(sessions, asked) == "pending"


async def test_without_an_answer_in_time_the_page_can_be_opened_again(
    browser: httpx.AsyncClient,
    sessions: Sessions,
    temporal: Client,
    asked: WaitingCall,
    admin_id: UUID,
) -> None:
    workflow_id = agent_run_workflow_id(asked.agent_run_id)
    await temporal.start_workflow("Idle", id=workflow_id, task_queue="agents")
    token = await add_link(sessions, asked, admin_id)
    reply = await browser.post(f"{PATH}/{token}", data=APPROVE)
    check_page(reply, 503)
    assert "The outcome is not known yet" in reply.text
    assert '<a href="">' in reply.text
    assert int(reply.headers["retry-after"]) > 0
    check_page(await browser.get(f"{PATH}/{token}"), 200)
    (link,) = await links_of(sessions, asked.approval_id)
    assert link.used_at is None
    missing = await add_link(sessions, await add_asked(sessions, asked.user_id), admin_id)
    gone = await browser.post(f"{PATH}/{missing}", data=APPROVE)
    check_page(gone, 503)
    assert "does not work at the moment" in gone.text
