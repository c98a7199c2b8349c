"""A message that interrupts a run, and runs that go on in another way from a step."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from tests.api.agents.test_agent_runs import ENDED, answer, ask, events, start, wait
from tests.api.agents.test_questions import calls, results
from tests.api.conftest import Person, problem, until
from tests.unit.agents.support import Model

pytestmark = pytest.mark.usefixtures("workers")
SEARCH = calls(("search_memory", {"query": "trains"}))
SLOW = {"text": "far too long " * 200, "token_seconds": 0.05}


async def busy(person: Person, model: Model, mark: str) -> dict[str, Any]:
    """Start a run whose model writes a long answer, and wait until it writes."""
    await model.script(SLOW, match=mark)
    run = await start(person, mark)

    async def is_writing() -> bool:
        return bool(await model.calls(mark))

    await until(is_writing)
    return run


async def test_a_message_stops_the_answer_and_is_read_at_once(
    customer: Person, model: Model
) -> None:
    mark = uuid4().hex
    run = await busy(customer, model, mark)
    await model.script({"text": "Short."}, match=f"be brief {mark}")
    path = f"agent-runs/{run['agent_run_id']}/messages"
    body = {"content": f"be brief {mark}", "on_busy": "interrupt"}
    said = await customer.post(path, key=(key := uuid4().hex), **body)
    assert said.status_code == 200, said.text
    done = await wait(customer, run, *ENDED)
    assert (done["run_status"], done["output"]) == ("completed", "Short."), done
    asked = await model.calls(mark)
    assert len(asked) == 2
    told = await events(customer, done)
    texts = [each["data"]["text"] for each in told if each["kind"] == "message"]
    assert texts == [mark, f"be brief {mark}", "Short."]
    steps = (await customer.get(f"agent-runs/{run['agent_run_id']}/steps"))["items"]
    outcomes = [call["outcome"] for step in steps for call in step["model_calls"]]
    assert outcomes == ["canceled", "succeeded"]
    assert (await customer.post(path, key=key, **body)).status_code == 200
    problem(await customer.post(path, **body), 409, "illegal_command")


async def test_a_message_may_be_refused_while_the_run_is_busy(
    customer: Person, model: Model
) -> None:
    run = await busy(customer, model, uuid4().hex)
    path = f"agent-runs/{run['agent_run_id']}"
    said = await customer.post(f"{path}/messages", content="hello", on_busy="reject")
    problem(said, 409, "run_busy")
    await customer.post(f"{path}/cancel")


async def test_a_run_goes_on_in_another_way_from_a_step(
    customer: Person, other: Person, model: Model
) -> None:
    mark = uuid4().hex
    await model.script(SEARCH, {"text": "Nothing there."}, match=mark)
    run = await ask(customer, mark)
    path = f"agent-runs/{run['agent_run_id']}/fork"
    problem(await other.post(path, step=1), 404, "not_found")
    problem(await customer.post(path, step=3), 422, "unknown_step")
    await model.script({"text": "Found it."}, match=f"elsewhere {mark}")
    forked = await customer.post(path, key=(key := uuid4().hex), step=1, input=f"elsewhere {mark}")
    assert forked.status_code == 202, forked.text
    again = await customer.post(path, key=key, step=1, input=f"elsewhere {mark}")
    assert again.json()["agent_run_id"] == forked.json()["agent_run_id"]
    done = await wait(customer, forked.json(), *ENDED)
    assert (done["run_status"], done["output"]) == ("completed", "Found it."), done
    assert done["conversation_id"] != run["conversation_id"]
    read = str((await model.calls(f"elsewhere {mark}"))[-1]["body"])
    assert "search_memory" in read
    assert "Nothing there." not in read
    listed = await customer.get(f"conversations/{done['conversation_id']}/messages")
    roles = [each["role"] for each in listed["items"]]
    assert roles == ["user", "assistant", "tool", "user", "assistant"]
    origin = await customer.get(f"conversations/{run['conversation_id']}/messages")
    assert len(origin["items"]) == 4
    assert len((await customer.get("conversations"))["items"]) == 2


async def test_a_fork_where_the_run_stands_and_at_its_beginning(
    customer: Person, model: Model
) -> None:
    mark = uuid4().hex
    await model.script({"text": "First."}, match=mark)
    run = await ask(customer, mark)
    path = f"agent-runs/{run['agent_run_id']}/fork"
    for step, count in ((0, 3), (1, 4)):
        forked = await wait(customer, (await customer.post(path, step=step)).json(), *ENDED)
        listed = await customer.get(f"conversations/{forked['conversation_id']}/messages")
        assert len(listed["items"]) == count
        assert listed["items"][-2]["content"] == "Go on from here."


async def test_a_fork_cannot_refund_again(customer: Person, admin: Person, model: Model) -> None:
    (payment,) = (await customer.get("payments"))["items"]
    wanted = {"payment_id": payment["payment_id"], "amount_cents": 100, "reason": "late"}
    mark = uuid4().hex
    await model.script(calls(("refund_payment", wanted)), {"text": "Done."}, match=mark)
    run = await wait(customer, await start(customer, mark), "waiting_approval")
    await admin.post(f"agent-runs/{run['agent_run_id']}/approve", **answer(run, "approve"))
    run = await wait(customer, run, *ENDED)
    again = f"refund me {mark}"
    await model.script(calls(("refund_payment", wanted)), {"text": "Again."}, match=again)
    forked = await customer.post(f"agent-runs/{run['agent_run_id']}/fork", step=0, input=again)
    fork = await wait(customer, forked.json(), "waiting_approval")
    await admin.post(f"agent-runs/{fork['agent_run_id']}/approve", **answer(fork, "approve"))
    fork = await wait(customer, fork, *ENDED)
    (result,) = await results(customer, fork)
    assert result["status"] == "already_done"
    (payment,) = (await customer.get("payments"))["items"]
    assert payment["refunded_cents"] == 100


async def test_only_administrators_choose_a_version_of_the_prompt(
    customer: Person, admin: Person, model: Model
) -> None:
    body = {"agent": "research", "input": uuid4().hex, "prompt_version": "v1"}
    problem(await customer.post("agent-runs", **body), 403, "admin_required")
    mine = {"user_id": str(customer.user_id)}
    run = (await admin.post("agent-runs", **body, **mine)).json()
    assert run["prompt_version"] == "v1"
    await wait(customer, run, *ENDED)
    unknown = await admin.post("agent-runs", **body | {"prompt_version": "v99"}, **mine)
    problem(unknown, 404, "unknown_prompt")


async def test_a_cancel_right_behind_an_interruption_is_not_lost(
    customer: Person, model: Model
) -> None:
    for _ in range(3):
        run = await busy(customer, model, mark := uuid4().hex)
        await model.script(SLOW, match=f"once more {mark}")
        path = f"agent-runs/{run['agent_run_id']}"
        said = customer.post(f"{path}/messages", content=f"once more {mark}", on_busy="interrupt")
        _, canceled = await asyncio.gather(said, customer.post(f"{path}/cancel"))
        assert canceled.status_code == 200, canceled.text
        assert canceled.json()["run_status"] == "canceled"
