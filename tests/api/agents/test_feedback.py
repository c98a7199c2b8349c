"""Feedback on runs, kept with the prompt's version and the cost."""

from typing import Any
from uuid import uuid4

import pytest

from tests.api.agents.test_agent_runs import ask, start
from tests.api.conftest import Person, problem
from tests.unit.agents.support import Model

pytestmark = pytest.mark.usefixtures("workers")


async def summary(admin: Person) -> dict[str, Any]:
    found = (await admin.get("agents/research/feedback"))["items"]
    return found[0] if found else {"feedback_count": 0}


async def test_feedback_is_kept_with_prompt_and_cost_and_compared(
    customer: Person, admin: Person, other: Person
) -> None:
    run = await ask(customer, "Where does the night train leave from?")
    before = (await summary(admin))["feedback_count"]
    path = f"agent-runs/{run['agent_run_id']}/feedback"
    made = await customer.post(path, score=-0.5, label="too short")
    assert made.status_code == 201, made.text
    said = made.json()
    assert (said["score"], said["label"]) == (-0.5, "too short")
    assert (said["agent"], said["prompt_version"]) == ("research", run["prompt_version"])
    assert said["cost_cents"] == run["usage"]["cost_cents"] > 0
    again = (await customer.post(path, score=1)).json()
    assert (again["run_feedback_id"], again["score"], again["label"]) == (
        said["run_feedback_id"],
        1,
        None,
    )
    assert (await admin.post(path, score=0, label="reviewed")).status_code == 201
    told = await summary(admin)
    assert told["feedback_count"] == before + 2
    assert told["mean_cost_cents"] > 0
    problem(await other.post(path, score=1), 404, "not_found")
    problem(await customer.http.get("/api/v1/agents/research/feedback"), 403, "admin_required")
    problem(await admin.http.get("/api/v1/agents/nobody/feedback"), 404, "unknown_agent")


async def test_bad_feedback_is_refused(customer: Person) -> None:
    run = await ask(customer, "Where does the night train leave from?")
    bad: list[dict[str, Any]] = [{}, {"score": 1.01}, {"score": "x"}, {"score": 1, "x": 1}]
    for body in bad:
        reply = await customer.post(f"agent-runs/{run['agent_run_id']}/feedback", **body)
        assert reply.status_code == 422, reply.text


async def test_there_is_no_feedback_before_the_end(customer: Person, model: Model) -> None:
    mark = f"slow {uuid4().hex}"
    await model.script({"text": "At last.", "delay_seconds": 3}, match=mark)
    run = await start(customer, mark)
    path = f"agent-runs/{run['agent_run_id']}/feedback"
    problem(await customer.post(path, score=1), 409, "illegal_command")
