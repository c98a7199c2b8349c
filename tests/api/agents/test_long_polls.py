"""Long polls: a caller waits for a run instead of asking again and again."""

import asyncio
import time
from uuid import uuid4

from tests.api.agents.test_agent_runs import pay, start, wants_refund
from tests.api.conftest import MakeCard, Person, problem, until
from tests.unit.agents.support import Model

SLOW = {"text": "word " * 30, "token_seconds": 0.05}


async def test_a_run_is_answered_when_it_has_ended(customer: Person, model: Model) -> None:
    mark = uuid4().hex
    await model.script(SLOW, match=mark)
    run = await start(customer, mark)
    path = f"agent-runs/{run['agent_run_id']}"
    assert (await customer.get(path, wait="0s"))["run_status"] in {"queued", "running"}
    done = await customer.get(path, wait="20s")
    assert (done["run_status"], done["output"]) == ("completed", SLOW["text"].strip())  # type: ignore[attr-defined]
    began = time.monotonic()
    assert (await customer.get(path, wait="20s"))["run_status"] == "completed"
    assert time.monotonic() - began < 10


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


async def test_what_is_no_short_time_is_refused(customer: Person) -> None:
    for wait in ("5", "-1s", "21s", "1m", "s", "5s\n"):
        reply = await customer.http.get(f"/api/v1/agent-runs/{uuid4()}", params={"wait": wait})
        assert reply.status_code in {404, 422}, wait
        problem(reply, 422, "invalid_input")


async def test_waiting_requests_count_as_streams(customer: Person, model: Model) -> None:
    mark = uuid4().hex
    await model.script(SLOW | {"token_seconds": 0.3}, match=mark)
    run = await start(customer, mark)
    path = f"agent-runs/{run['agent_run_id']}"
    waiting = [asyncio.create_task(customer.get(path, wait="20s")) for _ in range(20)]

    async def is_refused() -> bool:
        reply = await customer.http.get(f"/api/v1/{path}", params={"wait": "1s"})
        return reply.status_code == 429

    await until(is_refused)
    await customer.post(f"{path}/cancel")
    assert {each["run_status"] for each in await asyncio.gather(*waiting)} == {"canceled"}
