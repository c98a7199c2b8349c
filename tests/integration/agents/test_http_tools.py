"""Calls of HTTP tools through the ledger: once, whatever becomes of the answers."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, update

from database.accounts.models import User
from database.agents.models import Approval, RunEvent, ToolCall
from database.session import Sessions
from domain.agents.runs import CloseRunInput, RunStatus
from domain.errors import UnavailableError
from services.agents.run_closing import RunClosing
from services.agents.tool_outcomes import settle_outcome
from tests.conftest import PROJECT
from tests.support.team_api import TeamApi, team_api
from tests.support.tool_shop import TOKEN, Shop, read_shop
from tests.unit.agents.test_tool_files import write

KEYED = {"idempotency_header": "Idempotency-Key"}


def looked_up(api: TeamApi) -> dict[str, Any]:
    return {"lookup": f"{api.url}/find?call={{call_id}}", "lookup_after": "0s"}


@pytest.fixture
async def api() -> AsyncIterator[TeamApi]:
    async with team_api() as api:
        yield api


def make_shop(sessions: Sessions, api: TeamApi, folder: Path, **changes: Any) -> Shop:
    spec = {
        "description": "Make an order.",
        "method": "POST",
        "url": f"{api.url}/orders",
        "headers": {"Authorization": "Bearer ${env:SHOP_TOKEN}", "X-Call": "{call_id}"},
        "time_limit": "1s",
        "arguments": {
            "type": "object",
            "required": ["sku"],
            "properties": {"sku": {"type": "string"}, "note": {"type": "string"}},
        },
    }
    name = f"order_{uuid4().hex[:8]}"
    write(folder, {**spec, **changes}, name)
    return read_shop(sessions, folder)


async def test_a_call_is_made_once(sessions: Sessions, api: TeamApi, tmp_path: Path) -> None:
    shop = make_shop(sessions, api, tmp_path)
    call_id = await shop.ask(sku="A", note="for Ann")
    done = await shop.attempt(call_id)
    assert done.tool_call_status == "done"
    assert done.result_data is not None
    assert done.result_data["status_code"] == 201
    assert done.result_data["body"]["sku"] == "A"
    await shop.attempt(call_id)
    (request,) = api.requests
    assert request.document == {"sku": "A", "note": "for Ann"}
    assert request.headers["authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize("manner", ["error_after", "cut_after", "hang", "garbage"])
async def test_without_a_word_from_the_server_a_person_is_asked(
    sessions: Sessions, api: TeamApi, tmp_path: Path, manner: str
) -> None:
    api.manners.append(manner)
    shop = make_shop(sessions, api, tmp_path)
    call_id = await shop.ask()
    unknown = await shop.attempt(call_id)
    assert unknown.tool_call_status == "outcome_unknown"
    assert "do not call the tool for it again" in await shop.told(call_id)
    await shop.attempt(call_id)
    assert len(api.posts) == len(api.orders) == 1


@pytest.mark.parametrize("manner", ["error_after", "cut_after", "hang", "garbage", "cut_before"])
async def test_with_an_idempotency_key_the_same_request_is_sent_again(
    sessions: Sessions, api: TeamApi, tmp_path: Path, manner: str
) -> None:
    api.manners.append(manner)
    api.is_idempotent = True
    shop = make_shop(sessions, api, tmp_path, **KEYED)
    call_id = await shop.ask()
    with pytest.raises(UnavailableError):
        await shop.attempt(call_id)
    assert (await shop.row(call_id)).tool_call_status == "started"
    assert (await shop.attempt(call_id)).tool_call_status == "done"
    assert len(api.orders) == 1
    first, second = api.posts
    assert first.headers["idempotency-key"] == str(call_id)
    assert (first.headers, first.body) == (second.headers, second.body)


@pytest.mark.parametrize("manner", ["error_after", "cut_after", "hang", "garbage"])
async def test_with_a_look_up_the_effect_is_looked_for_first(
    sessions: Sessions, api: TeamApi, tmp_path: Path, manner: str
) -> None:
    api.manners.append(manner)
    shop = make_shop(sessions, api, tmp_path, **looked_up(api))
    call_id = await shop.ask()
    with pytest.raises(UnavailableError):
        await shop.attempt(call_id)
    done = await shop.attempt(call_id)
    assert done.tool_call_status == "done"
    assert done.result_data is not None
    assert (done.result_data["is_looked_up"], done.result_data["body"]["sku"]) == (True, "A")
    assert len(api.posts) == len(api.orders) == 1


async def test_what_a_look_up_does_not_find_is_sent_again(
    sessions: Sessions, api: TeamApi, tmp_path: Path
) -> None:
    api.manners.append("cut_before")
    shop = make_shop(sessions, api, tmp_path, **looked_up(api))
    call_id = await shop.ask()
    with pytest.raises(UnavailableError):
        await shop.attempt(call_id)
    assert (await shop.attempt(call_id)).tool_call_status == "done"
    assert (len(api.posts), len(api.orders)) == (2, 1)


async def test_an_effect_that_comes_late_is_waited_for(
    sessions: Sessions, api: TeamApi, tmp_path: Path
) -> None:
    """The worker dies, and the next attempt looks while the server still works on the order."""
    shop = make_shop(sessions, api, tmp_path, **looked_up(api) | {"lookup_after": "2s"})
    call_id = await shop.ask()
    api.lookups.append(404)
    async with sessions.begin() as session:
        started = update(ToolCall).where(ToolCall.call_id == call_id)
        await session.execute(started.values(tool_call_status="started"))
    api.orders.append({"call": str(call_id), "sku": "A", "key": ""})
    assert (await shop.attempt(call_id)).tool_call_status == "done"
    assert (api.posts, len(api.requests)) == ([], 2)


async def test_an_empty_list_means_that_nothing_was_found(
    sessions: Sessions, api: TeamApi, tmp_path: Path
) -> None:
    api.manners.extend(["cut_before", "cut_after"])
    look_up = {
        "lookup": f"{api.url}/search?call={{call_id}}",
        "lookup_field": "items",
        "lookup_after": "0s",
    }
    shop = make_shop(sessions, api, tmp_path, **look_up)
    call_id = await shop.ask()
    for _ in range(2):
        with pytest.raises(UnavailableError):
            await shop.attempt(call_id)
    assert (await shop.attempt(call_id)).tool_call_status == "done"
    assert (len(api.posts), len(api.orders)) == (2, 1)


@pytest.mark.parametrize("status", [401, 500, 503])
async def test_a_look_up_that_fails_tells_nothing(
    sessions: Sessions, api: TeamApi, tmp_path: Path, status: int
) -> None:
    api.manners.append("cut_after")
    api.lookups.extend([status] * 2)
    shop = make_shop(sessions, api, tmp_path, **looked_up(api))
    call_id = await shop.ask()
    for _ in range(2):
        with pytest.raises(UnavailableError):
            await shop.attempt(call_id)
    given_up = await shop.attempt(call_id, age=timedelta(hours=1))
    assert given_up.tool_call_status == "outcome_unknown"
    assert len(api.posts) == len(api.orders) == 1


@pytest.mark.parametrize("how", ["unsure", "keyed", "looked_up"])
async def test_a_worker_that_is_killed_in_mid_call_makes_no_second_order(
    sessions: Sessions, database_url: str, api: TeamApi, tmp_path: Path, how: str
) -> None:
    api.is_idempotent = True
    api.manners.append("hang")
    more = {"unsure": {}, "keyed": KEYED, "looked_up": looked_up(api)}[how]
    shop = make_shop(sessions, api, tmp_path, **more, time_limit="40s")
    call_id = await shop.ask()
    command = [sys.executable, "-m", "tests.support.tool_shop", database_url, str(tmp_path)]
    worker = subprocess.Popen([*command, str(call_id)], cwd=PROJECT)  # noqa: ASYNC220
    try:
        async with asyncio.timeout(100):
            while not api.orders:
                assert worker.poll() is None
                await asyncio.sleep(0.05)
    finally:
        worker.kill()
        worker.wait(100)
    assert (await shop.row(call_id)).tool_call_status == "started"
    ended = await shop.attempt(call_id)
    assert ended.tool_call_status == ("outcome_unknown" if how == "unsure" else "done")
    assert len(api.orders) == 1
    assert len(api.posts) == (2 if how == "keyed" else 1)


async def test_two_attempts_at_once_send_one_request(
    sessions: Sessions, api: TeamApi, tmp_path: Path
) -> None:
    """A worker that is thought dead goes on; the ledger says in the end what it found out."""
    api.manners.append("slow")
    shop = make_shop(sessions, api, tmp_path, time_limit="10s")
    call_id = await shop.ask()
    async with asyncio.timeout(100):
        await asyncio.gather(shop.attempt(call_id), shop.attempt(call_id))
    assert len(api.posts) == len(api.orders) == 1
    assert (await shop.row(call_id)).tool_call_status == "done"


async def test_what_was_sent_is_unknown_although_it_could_not_be_sent_any_more(
    sessions: Sessions, api: TeamApi, tmp_path: Path
) -> None:
    """The request cannot even be built again, but the first one may have been done."""
    api.manners.append("cut_after")
    behalf = {"headers": {"X-Customer": "{external_id}", "X-Call": "{call_id}"}}
    shop = make_shop(sessions, api, tmp_path, **KEYED, **behalf)
    call_id = await shop.ask()
    await name_user(sessions, shop, f"shop-{uuid4()}")
    with pytest.raises(UnavailableError):
        await shop.attempt(call_id)
    await name_user(sessions, shop, None)
    assert (await shop.attempt(call_id)).tool_call_status == "outcome_unknown"
    never_sent = await shop.attempt(await shop.ask())
    assert never_sent.tool_call_status == "failed"


async def name_user(sessions: Sessions, shop: Shop, external_id: str | None) -> None:
    async with sessions.begin() as session:
        user = await session.get_one(User, shop.user_id)
        user.external_id = external_id


async def test_a_refusal_is_read_by_the_model(
    sessions: Sessions, api: TeamApi, tmp_path: Path
) -> None:
    api.manners.append("refuse")
    shop = make_shop(sessions, api, tmp_path)
    refused = await shop.attempt(await shop.ask())
    assert refused.tool_call_status == "failed"
    assert refused.result_data == {
        "status": "failed",
        "code": "tool_refused",
        "message": "the server answers 422",
        "status_code": 422,
        "body": {"detail": "refuse"},
    }


async def test_a_refusal_of_the_second_request_tells_nothing_of_the_first(
    sessions: Sessions, api: TeamApi, tmp_path: Path
) -> None:
    api.manners.extend(["cut_after", "refuse"])
    shop = make_shop(sessions, api, tmp_path, **KEYED)
    call_id = await shop.ask()
    with pytest.raises(UnavailableError):
        await shop.attempt(call_id)
    assert (await shop.attempt(call_id)).tool_call_status == "outcome_unknown"


async def test_a_busy_server_is_asked_again_and_then_given_up(
    sessions: Sessions, api: TeamApi, tmp_path: Path
) -> None:
    api.manners.extend(["busy"] * 2)
    shop = make_shop(sessions, api, tmp_path)
    call_id = await shop.ask()
    with pytest.raises(UnavailableError):
        await shop.attempt(call_id)
    assert (await shop.row(call_id)).tool_call_status == "requested"
    given_up = await shop.attempt(call_id, age=timedelta(hours=1))
    assert given_up.tool_call_status == "failed"
    assert given_up.result_data is not None
    assert given_up.result_data["code"] == "unavailable"
    assert api.orders == []


async def test_a_server_that_is_down_is_no_unknown_outcome(
    sessions: Sessions, tmp_path: Path
) -> None:
    async with team_api() as api:
        shop = make_shop(sessions, api, tmp_path)
        call_id = await shop.ask()
    with pytest.raises(UnavailableError):
        await shop.attempt(call_id)
    given_up = await shop.attempt(call_id, age=timedelta(hours=1))
    assert given_up.tool_call_status == "failed"


async def test_a_private_address_is_refused(
    sessions: Sessions, api: TeamApi, tmp_path: Path
) -> None:
    shop = make_shop(sessions, api, tmp_path, url=f"http://localhost:{api.port}/orders")
    refused = await shop.attempt(await shop.ask())
    assert refused.tool_call_status == "failed"
    assert refused.result_data is not None
    assert refused.result_data["code"] == "tool_address_refused"


@pytest.mark.parametrize("manner", ["not_json", "cut_body", "redirect"])
async def test_odd_answers(sessions: Sessions, api: TeamApi, tmp_path: Path, manner: str) -> None:
    """A status of success is one, whatever the body is; a redirect tells nothing."""
    api.manners.append(manner)
    shop = make_shop(sessions, api, tmp_path)
    ended = await shop.attempt(await shop.ask())
    expected = "outcome_unknown" if manner == "redirect" else "done"
    assert ended.tool_call_status == expected
    assert len(api.posts) == 1


# --- what must be unique


async def test_an_unknown_outcome_keeps_the_tool_from_the_conversation_until_it_is_told(
    sessions: Sessions, api: TeamApi, tmp_path: Path
) -> None:
    api.manners.append("cut_after")
    shop = make_shop(sessions, api, tmp_path)
    first = await shop.ask(sku="A")
    row = await shop.attempt(first)
    again = await shop.attempt(await shop.ask(row.agent_run_id, sku="A", note="please"))
    assert again.tool_call_status == "failed"
    assert again.result_data is not None
    assert (again.result_data["code"], again.result_data["call_id"]) == (
        "outcome_unknown",
        str(first),
    )
    assert len(api.posts) == 1
    elsewhere = await shop.attempt(await shop.ask(sku="A"))
    assert elsewhere.tool_call_status == "done"
    async with sessions.begin() as session:
        call = await session.get_one(ToolCall, first)
        await settle_outcome(session, call, uuid4(), is_done=False, note="it never arrived")
    assert "it never arrived" in await shop.told(first)
    assert (await shop.row(first)).tool_call_status == "failed"
    retried = await shop.attempt(await shop.ask(row.agent_run_id, sku="A"))
    assert retried.tool_call_status == "done"


async def test_a_business_key_is_done_once_for_a_user(
    sessions: Sessions, api: TeamApi, tmp_path: Path
) -> None:
    shop = make_shop(sessions, api, tmp_path, business_key="{sku}")
    first = await shop.attempt(await shop.ask(sku="A:B"))
    second = await shop.attempt(await shop.ask(sku="A:B"))
    assert (first.tool_call_status, second.tool_call_status) == ("done", "already_done")
    assert second.result_data is not None
    assert second.result_data["status"] == "already_done"
    assert second.result_data["body"]["number"] == 1
    assert (await shop.attempt(await shop.ask(sku="A"))).tool_call_status == "done"
    shop.user_id = None
    other = await shop.attempt(await shop.ask(sku="A:B"))
    assert other.tool_call_status == "done"
    assert len(api.orders) == 3


async def test_a_business_key_of_an_unknown_outcome_is_held_in_all_conversations(
    sessions: Sessions, api: TeamApi, tmp_path: Path
) -> None:
    api.manners.append("error_after")
    shop = make_shop(sessions, api, tmp_path, business_key="{sku}")
    first = await shop.ask(sku="A")
    assert (await shop.attempt(first)).tool_call_status == "outcome_unknown"
    held = await shop.attempt(await shop.ask(sku="A"))
    assert held.result_data is not None
    assert held.result_data["code"] == "outcome_unknown"
    async with sessions.begin() as session:
        call = await session.get_one(ToolCall, first)
        await settle_outcome(session, call, uuid4(), is_done=True, note=None)
    known = await shop.attempt(await shop.ask(sku="A"))
    assert known.tool_call_status == "already_done"
    assert len(api.posts) == 1


async def test_a_call_under_way_in_a_run_that_is_closed_has_an_unknown_outcome(
    sessions: Sessions, api: TeamApi, tmp_path: Path
) -> None:
    """An operator terminates the workflow while the server works."""
    shop = make_shop(sessions, api, tmp_path)
    call_id = await shop.ask()
    async with sessions.begin() as session:
        started = update(ToolCall).where(ToolCall.call_id == call_id)
        await session.execute(started.values(tool_call_status="started"))
    run_id = (await shop.row(call_id)).agent_run_id

    class Stream:
        async def drain(self, _: UUID) -> None:
            pass

    closing: Any = RunClosing(sessions, None, Stream())  # type: ignore[arg-type]
    await closing.close(CloseRunInput(agent_run_id=run_id, run_status=RunStatus.CANCELED))
    assert (await shop.row(call_id)).tool_call_status == "outcome_unknown"


# --- who sees what


async def test_no_secret_is_kept(sessions: Sessions, api: TeamApi, tmp_path: Path) -> None:
    """The server sends back what it got, as pages for developers do."""
    reading = {"method": "GET", "url": f"{api.url}/echo", "arguments": {"type": "object"}}
    shop = make_shop(sessions, api, tmp_path, **reading)
    call_id = await shop.ask()
    row = await shop.attempt(call_id)
    assert row.result_data is not None
    assert row.result_data["body"]["headers"]["authorization"] == "Bearer [secret]"
    async with sessions() as session:
        events = (
            await session.scalars(select(RunEvent).where(RunEvent.agent_run_id == row.agent_run_id))
        ).all()
        approvals = (
            await session.scalars(select(Approval).where(Approval.call_id == call_id))
        ).all()
    kept: list[Any] = [
        row.result_data,
        await shop.told(call_id),
        *(each.event_data for each in events),
    ]
    kept += [each.effect_data for each in approvals]
    assert events
    assert TOKEN not in str(kept)
    assert TOKEN not in str(shop.tool.spec)


async def test_facts_tell_on_whose_behalf(sessions: Sessions, api: TeamApi, tmp_path: Path) -> None:
    reading = {
        "method": "GET",
        "url": f"{api.url}/customers/{{external_id}}",
        "arguments": {"type": "object"},
        "headers": {"X-User": "{user_id}"},
    }
    shop = make_shop(sessions, api, tmp_path, **reading)
    unknown = await shop.attempt(await shop.ask())
    assert unknown.result_data is not None
    assert unknown.result_data["code"] == "no_external_id"
    external_id = f"shop/{uuid4()}"
    await name_user(sessions, shop, external_id)
    known = await shop.attempt(await shop.ask())
    assert known.tool_call_status == "done"
    (request,) = api.requests
    assert request.path == f"/customers/{external_id.replace('/', '%2F')}"
    assert request.headers["x-user"] == str(shop.user_id)


@pytest.mark.parametrize(("path", "body"), [("/picture", None), ("/deep", "[" * 500 + "]" * 500)])
async def test_what_a_model_reads_of_odd_answers(
    sessions: Sessions, api: TeamApi, tmp_path: Path, path: str, body: str | None
) -> None:
    reading = {"method": "GET", "url": f"{api.url}{path}", "arguments": {"type": "object"}}
    shop = make_shop(sessions, api, tmp_path, **reading)
    row = await shop.attempt(await shop.ask())
    assert row.tool_call_status == "done"
    assert row.result_data is not None
    assert row.result_data["body"] == body


async def test_a_long_answer_is_cut(sessions: Sessions, api: TeamApi, tmp_path: Path) -> None:
    reading = {
        "method": "GET",
        "url": f"{api.url}/endless",
        "arguments": {"type": "object"},
        "output_limit_bytes": 500,
    }
    shop = make_shop(sessions, api, tmp_path, **reading)
    row = await shop.attempt(await shop.ask())
    assert row.result_data is not None
    assert len(row.result_data["cut"]) == 500


@pytest.mark.parametrize(("code", "status"), [(404, "failed"), (503, None), (429, None)])
async def test_a_read_that_fails(
    sessions: Sessions, api: TeamApi, tmp_path: Path, code: int, status: str | None
) -> None:
    reading = {
        "method": "GET",
        "url": f"{api.url}/status?code={code}",
        "arguments": {"type": "object"},
    }
    shop = make_shop(sessions, api, tmp_path, **reading)
    call_id = await shop.ask()
    if status is None:
        with pytest.raises(UnavailableError):
            await shop.attempt(call_id)
        row = await shop.attempt(call_id, age=timedelta(minutes=1))
        assert row.result_data is not None
        assert row.result_data["code"] == "unavailable"
        return
    row = await shop.attempt(call_id)
    assert row.tool_call_status == status
    assert row.result_data is not None
    assert row.result_data["body"] == {"detail": "so it is"}
