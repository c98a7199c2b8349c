"""Runs that wait for their budget: they say so, and go on at the same step once it is raised."""

from typing import Any
from uuid import uuid4

import pytest

from tests.api.agents.test_agent_runs import ENDED, events, wait
from tests.api.agents.test_questions import calls
from tests.api.conftest import Person, problem
from tests.unit.agents.support import Model

pytestmark = pytest.mark.usefixtures("workers")
SEARCH = calls(("search_memory", {"query": "trains"}))


async def start(person: Person, text: str, **more: Any) -> dict[str, Any]:
    reply = await person.post("agent-runs", agent="research", input=text, **more)
    assert reply.status_code == 202, reply.text
    run: dict[str, Any] = reply.json()
    return run


async def test_a_run_waits_and_goes_on_at_the_same_step(
    customer: Person, other: Person, model: Model
) -> None:
    mark = uuid4().hex
    await model.script(SEARCH | {"token_count": 900}, {"text": "It is there."}, match=mark)
    begun = await start(customer, mark, budget={"token_count": 2_500}, on_budget="wait")
    run = await wait(customer, begun, "waiting_budget", *ENDED)
    assert run["run_status"] == "waiting_budget", run
    asked = len(await model.calls(mark))
    assert asked == 1

    path = f"agent-runs/{run['agent_run_id']}/budget"
    problem(await other.post(path, token_count=50_000), 404, "not_found")
    problem(await customer.post(path, token_count=100), 422, "budget_lowered")
    problem(await customer.post(path, cost_cents=100), 422, "budget_lowered")
    assert (await customer.post(path)).status_code == 422
    # Too little is no fault, and the run waits on.
    assert (await customer.post(path, token_count=2_600)).status_code == 200
    raised = await customer.post(path, key=uuid4().hex, token_count=50_000)
    assert raised.status_code == 200, raised.text
    done = await wait(customer, run, *ENDED)
    assert (done["run_status"], done["output"]) == ("completed", "It is there."), done
    assert len(await model.calls(mark)) == asked + 1
    told = [each for each in await events(customer, done) if each["kind"] == "status"]
    statuses = [each["data"]["run_status"] for each in told]
    assert statuses == ["queued", "running", "waiting_budget", "running", "completed"]
    problem(await customer.post(path, token_count=90_000), 409, "illegal_command")


async def test_an_answer_is_not_cut_where_the_run_waits(customer: Person, model: Model) -> None:
    """A budget that would cut the answer is too small for a run that waits."""
    mark = uuid4().hex
    ended = await wait(customer, await start(customer, mark, budget={"token_count": 900}), *ENDED)
    assert ended["run_status"] in {"completed", "budget_exceeded"}
    begun = await start(customer, mark, budget={"token_count": 900}, on_budget="wait")
    run = await wait(customer, begun, "waiting_budget", *ENDED)
    assert run["run_status"] == "waiting_budget"
    canceled = await customer.post(f"agent-runs/{run['agent_run_id']}/cancel")
    assert canceled.json()["run_status"] == "canceled"
