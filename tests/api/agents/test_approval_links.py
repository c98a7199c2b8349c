"""Links in mails by which people decide tool calls: from the mail to the call, on real servers."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import update
from temporalio.client import Client

from api.auth.tokens import make_token
from bootstrap.workers import run_workers
from config import AgentSettings, Settings
from database.accounts.models import User
from database.session import Sessions
from domain.accounts.credentials import digest
from observability.metrics import render_metrics
from services.agents.tools.catalog import ToolCatalog
from tests.api.agents.test_agent_runs import ENDED, events, pay, refunds, wait, wants_refund
from tests.api.agents.test_approvals import inbox
from tests.api.agents.test_questions import asks, results
from tests.api.conftest import MakeCard, Person, client
from tests.conftest import Outside
from tests.support.approval_links import BROWSER, PATH, links_of, mailed_token, mails_to
from tests.support.namespaces import open_namespace
from tests.unit.agents.support import Model

pytestmark = pytest.mark.usefixtures("workers")
MakePerson = Callable[..., Awaitable[Person]]


@pytest.fixture(scope="module")
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"agents": AgentSettings(is_mailing_approvals=True)})


@pytest.fixture(scope="module")
async def dev_server(dev_server: Client) -> AsyncIterator[Client]:
    """Workers of other tests, which send no mails, work in other namespaces."""
    async with open_namespace(dev_server) as namespace:
        yield namespace


@pytest.fixture(scope="module")
async def workers(
    dev_server: Client, settings: Settings, sessions: Sessions, tools: ToolCatalog
) -> AsyncIterator[Client]:
    async with run_workers(dev_server, settings, sessions, tools=tools):
        yield dev_server


@pytest.fixture
async def browser(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with client(app, **BROWSER) as http:
        yield http


@pytest.fixture
async def make_person(app: FastAPI, admin: Person, settings: Settings) -> MakePerson:
    async def make(**values: Any) -> Person:
        email = f"{uuid4().hex}@example.com"
        made = await admin.post("users", email=email, external_id=email, **values)
        assert made.status_code == 201, made.text
        user_id = UUID(made.json()["user_id"])
        token = make_token(user_id, settings.auth.jwt_secret.get_secret_value(), 3_600)
        return Person(user_id, email, client(app, Authorization=f"Bearer {token}"))

    return make


async def change_user(sessions: Sessions, person: Person, **values: Any) -> None:
    async with sessions.begin() as session:
        await session.execute(
            update(User).where(User.user_id == person.user_id).values(**values),
        )


async def test_a_scanner_decides_nothing_and_a_person_decides_once(
    customer: Person,
    admin: Person,
    make_person: MakePerson,
    card: MakeCard,
    browser: httpx.AsyncClient,
    settings: Settings,
    sessions: Sessions,
    outside: Outside,
    workers: Client,
) -> None:
    english, german = await make_person(role="admin"), await make_person(role="admin", locale="de")
    payment = await pay(customer, card)
    run = await wants_refund(customer, payment)
    (shown,) = await inbox(admin, run)
    token, other_token = [await mailed_token(outside, each.email) for each in (english, german)]
    (mail,), (german_mail,) = [await mails_to(outside, each.email) for each in (english, german)]
    assert mail["subject"] == "Approval needed: refund_payment"
    assert german_mail["subject"] == "Freigabe nötig: refund_payment"
    for told in (mail, german_mail):
        for text in (told["text"], told["html"]):
            assert "amount_cents: 2000" in text
            assert customer.email in text
    assert mail["text"].count(f"{settings.public_url}{PATH}/{token}") == 1

    # A scanner opens the link, and everything on the page that can be opened.
    for method in ("GET", "HEAD") * 25:
        reply = await browser.request(method, f"{PATH}/{token}")
        assert reply.status_code == 200, reply.text
        assert "href" not in reply.text
    page = (await browser.get(f"{PATH}/{token}")).text
    for text in (payment["payment_id"], "refund_payment", customer.email, "Approve", "Reject"):
        assert text in page
    assert "Freigeben" in (await browser.get(f"{PATH}/{other_token}")).text
    assert (await customer.get(f"agent-runs/{run['agent_run_id']}"))["pending_approvals"]
    assert await refunds(settings, payment) == []
    links = await links_of(sessions, UUID(shown["approval_id"]))
    assert {each.used_at for each in links} == {None}
    assert {digest(token), digest(other_token)} <= {each.token_sha256 for each in links}

    form = {"decision": "approve", "reason": "late train"}
    made = await browser.post(f"{PATH}/{token}", data=form)
    assert (made.status_code, "Approved" in made.text) == (200, True), made.text
    done = await wait(customer, run, *ENDED)
    assert [each["amount"] for each in await refunds(settings, payment)] == [2_000]
    (decided,) = await inbox(admin, run)
    assert (decided["decided_by"], decided["decided_via"]) == (str(english.user_id), "mail_link")
    assert (decided["approval_status"], decided["reason"]) == ("approved", "late train")
    (told,) = [each for each in await events(customer, done) if each["kind"] == "approval_decided"]
    assert told["data"]["decided_via"] == "mail_link"
    used = [each for each in await links_of(sessions, UUID(shown["approval_id"])) if each.used_at]
    assert [each.token_sha256 for each in used] == [digest(token)]

    for each, word in ((token, "Approved"), (other_token, "Freigegeben")):
        again = await browser.post(f"{PATH}/{each}", data=form)
        assert (again.status_code, word in again.text) == (200, True), again.text
        refused = await browser.post(f"{PATH}/{each}", data={"decision": "reject"})
        assert refused.status_code == 409, refused.text
        looked = await browser.get(f"{PATH}/{each}")
        assert (looked.status_code, word in looked.text) == (200, True)
        assert "<form" not in looked.text
    assert len(await refunds(settings, payment)) == 1
    assert [len(await mails_to(outside, each.email)) for each in (english, german)] == [1, 1]
    assert b"perdure_link_" not in render_metrics()
    history = await workers.get_workflow_handle(run["workflow_id"]).fetch_history()
    told_to_temporal = b"".join(each.SerializeToString() for each in history.events)
    assert str(used[0].approval_link_id).encode() in told_to_temporal
    assert b"perdure_link_" not in told_to_temporal


async def test_who_has_lost_the_role_decides_nothing_and_sees_nothing(
    customer: Person,
    admin: Person,
    make_person: MakePerson,
    card: MakeCard,
    browser: httpx.AsyncClient,
    settings: Settings,
    sessions: Sessions,
    outside: Outside,
) -> None:
    former = await make_person(role="admin")
    payment = await pay(customer, card)
    run = await wants_refund(customer, payment)
    token = await mailed_token(outside, former.email)
    for lost in ({"role": "user"}, {"is_active": False}):
        await change_user(sessions, former, **lost)
        for reply in (
            await browser.get(f"{PATH}/{token}"),
            await browser.post(f"{PATH}/{token}", data={"decision": "approve"}),
        ):
            assert reply.status_code == 403, reply.text
            assert payment["payment_id"] not in reply.text
        await change_user(sessions, former, role="admin", is_active=True)
    assert (await inbox(admin, run))[0]["approval_status"] == "pending"
    made = await browser.post(f"{PATH}/{token}", data={"decision": "reject", "reason": " "})
    assert (made.status_code, "Rejected" in made.text) == (200, True)
    await wait(customer, run, *ENDED)
    (decided,) = await inbox(admin, run)
    assert (decided["reason"], decided["decided_by"]) == (None, str(former.user_id))
    assert await refunds(settings, payment) == []


async def test_a_delegate_gets_a_mail_and_a_link_that_ends_with_the_delegation(
    customer: Person,
    admin: Person,
    make_person: MakePerson,
    card: MakeCard,
    browser: httpx.AsyncClient,
    settings: Settings,
    outside: Outside,
) -> None:
    first, second = await make_person(), await make_person(locale="de")
    payment = await pay(customer, card)
    run = await wants_refund(customer, payment)
    (shown,) = await inbox(admin, run)
    delegate = f"approvals/{shown['approval_id']}/delegate"
    for _ in range(2):  # the second time changes nothing
        assert (await admin.post(delegate, user_id=str(first.user_id))).status_code == 200
    token = await mailed_token(outside, first.email)
    assert (await browser.get(f"{PATH}/{token}")).status_code == 200
    assert (await admin.post(delegate, user_id=str(second.user_id))).status_code == 200
    next_token = await mailed_token(outside, second.email)
    for reply in (
        await browser.get(f"{PATH}/{token}"),
        await browser.post(f"{PATH}/{token}", data={"decision": "approve"}),
    ):
        assert reply.status_code == 403, reply.text
    made = await browser.post(f"{PATH}/{next_token}", data={"decision": "approve"})
    assert (made.status_code, "Freigegeben" in made.text) == (200, True), made.text
    await wait(customer, run, *ENDED)
    assert len(await refunds(settings, payment)) == 1
    assert len(await mails_to(outside, first.email)) == len(await mails_to(outside, second.email))
    assert len(await mails_to(outside, first.email)) == 1
    assert (await inbox(admin, run))[0]["decided_by"] == str(second.user_id)


async def test_a_question_goes_to_the_owner_of_the_run_and_is_answered_by_the_link(
    customer: Person,
    make_person: MakePerson,
    model: Model,
    browser: httpx.AsyncClient,
    outside: Outside,
) -> None:
    boss = await make_person(role="admin")
    run = await asks(customer, model)
    token = await mailed_token(outside, customer.email)
    page = (await browser.get(f"{PATH}/{token}")).text
    assert "Which trip do you mean?" in page
    assert "Send the answer" in page
    empty = await browser.post(f"{PATH}/{token}", data={"decision": "approve", "reason": ""})
    assert (empty.status_code, "needs an answer" in empty.text) == (422, True)
    form = {"decision": "approve", "reason": "The one\r\nof Friday."}
    assert (await browser.post(f"{PATH}/{token}", data=form)).status_code == 200
    await wait(customer, run, *ENDED)
    assert await results(customer, run) == [{"status": "done", "answer": "The one\nof Friday."}]
    assert (await browser.post(f"{PATH}/{token}", data=form)).status_code == 200
    other = await browser.post(f"{PATH}/{token}", data=form | {"reason": "No"})
    assert other.status_code == 409
    assert await mails_to(outside, boss.email) == []
