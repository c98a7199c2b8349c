"""Long polls: a caller waits for a run instead of asking again and again."""

import asyncio
from uuid import uuid4

from fastapi import FastAPI

from api.streaming.watchers import STREAMS_PER_USER
from tests.api.agents.test_agent_runs import pay, start, wants_refund
from tests.api.conftest import MakeCard, Person, client, problem
from tests.unit.agents.support import Model

SLOW = {"text": "word" + " word" * 29, "token_seconds": 0.05}


async def test_a_run_is_answered_when_it_has_ended(customer: Person, model: Model) -> None:
    mark = uuid4().hex
    await model.script(SLOW, match=mark)
    run = await start(customer, mark)
    path = f"agent-runs/{run['agent_run_id']}"
    assert (await customer.get(path, wait="0s"))["run_status"] in {"queued", "running"}
    done = await customer.get(path, wait="20s")
    assert (done["run_status"], done["output"]) == ("completed", SLOW["text"])
    assert await customer.get(path, wait="20s") == await customer.get(path)


async def test_a_run_that_takes_longer_is_answered_as_it_is(customer: Person, model: Model) -> None:
    mark = uuid4().hex
    await model.script(SLOW | {"token_seconds": 0.3}, match=mark)
    run = await start(customer, mark)
    path = f"agent-runs/{run['agent_run_id']}"
    assert (await customer.get(path, wait="1s"))["run_status"] == "running"
    await customer.post(f"{path}/cancel")
    assert (await customer.get(path, wait="20s"))["run_status"] == "canceled"


async def test_a_run_that_waits_for_an_approval_is_answered(
    customer: Person, card: MakeCard
) -> None:
    run = await wants_refund(customer, await pay(customer, card))
    seen = await customer.get(f"agent-runs/{run['agent_run_id']}", wait="20s")
    assert seen["run_status"] == "waiting_approval"
    assert len(seen["pending_approvals"]) == 1


async def test_what_is_no_short_time_is_refused(customer: Person, model: Model) -> None:
    mark = uuid4().hex
    await model.script(SLOW, match=mark)
    path = f"/api/v1/agent-runs/{(await start(customer, mark))['agent_run_id']}"
    for wait in ("5", "-1s", "21s", "1m", "s", "5s\n"):
        problem(await customer.http.get(path, params={"wait": wait}), 422, "invalid_input")


async def test_waiting_requests_count_as_streams(customer: Person, model: Model) -> None:
    mark = uuid4().hex
    await model.script(SLOW | {"token_seconds": 0.3}, match=mark)
    run = await start(customer, mark)
    path = f"agent-runs/{run['agent_run_id']}"
    url = f"/api/v1/{path}"
    waiting = [customer.http.get(url, params={"wait": "20s"}) for _ in range(STREAMS_PER_USER + 1)]
    asking = asyncio.gather(*waiting)
    await asyncio.sleep(0.5)
    await customer.post(f"{path}/cancel")
    replies = await asking
    assert sorted(reply.status_code for reply in replies) == [*[200] * STREAMS_PER_USER, 429]
    ends = {reply.json()["run_status"] for reply in replies if reply.status_code == 200}
    assert ends == {"canceled"}


async def test_who_waits_with_a_revoked_key_is_told_nothing(
    customer: Person, app: FastAPI, model: Model
) -> None:
    mark = uuid4().hex
    await model.script(SLOW | {"token_seconds": 0.5}, match=mark)
    run = await start(customer, mark)
    made = (await customer.post("api-keys", name="of a page")).json()
    url = f"/api/v1/agent-runs/{run['agent_run_id']}"
    async with client(app, **{"X-API-Key": made["api_key"]}) as http:
        asking = asyncio.create_task(http.get(url, params={"wait": "6s"}))
        await asyncio.sleep(0.5)
        await customer.http.delete(f"/api/v1/api-keys/{made['api_key_id']}")
        problem(await asking, 401, "unauthorized")
    await customer.post(f"agent-runs/{run['agent_run_id']}/cancel")
