"""Schedules that start runs: made, changed, paused and deleted over REST, kept by Temporal."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from temporalio.client import Client

from database.agents.run_schedules import RunScheduleRepository
from database.session import Sessions
from domain.agents.schedules import MAX_SCHEDULES, schedule_id
from tests.api.agents.test_agent_runs import ENDED, wait
from tests.api.conftest import Person, problem, until
from tests.unit.agents.support import Model

pytestmark = pytest.mark.usefixtures("workers")


async def make(person: Person, **changes: Any) -> dict[str, Any]:
    body = {"agent": "research", "input": "What is new?", "cron": "0 7 1 1 *"} | changes
    reply = await person.post("agent-schedules", **body)
    assert reply.status_code == 201, reply.text
    made: dict[str, Any] = reply.json()
    return made


def path_of(made: dict[str, Any]) -> str:
    return f"agent-schedules/{made['run_schedule_id']}"


async def trigger(client: Client, made: dict[str, Any]) -> None:
    """Let a time of the schedule come now."""
    await client.get_schedule_handle(schedule_id(made["run_schedule_id"])).trigger()


async def last_run(person: Person, made: dict[str, Any]) -> dict[str, Any]:
    async def look() -> dict[str, Any] | None:
        seen: dict[str, Any] = await person.get(path_of(made))
        return seen if seen["last_agent_run_id"] else None

    found: dict[str, Any] = await until(look)
    return found


async def test_a_schedule_starts_runs_of_its_owner(
    customer: Person, other: Person, dev_server: Client, model: Model
) -> None:
    mark = uuid4().hex
    await model.script({"text": "News."}, match=mark)
    made = await make(customer, input=mark, budget={"token_count": 9_000}, time_zone="Asia/Tokyo")
    assert (made["is_active"], made["user_id"]) == (True, str(customer.user_id))
    seen = await customer.get(path_of(made))
    first = datetime.fromisoformat(seen["next_times"][0])
    assert (first.astimezone(UTC).hour, first.astimezone(UTC).day) == (22, 31)
    await trigger(dev_server, made)
    noted = await last_run(customer, made)
    assert noted["last_error_code"] is None
    run = await wait(customer, {"agent_run_id": noted["last_agent_run_id"]}, *ENDED)
    assert (run["run_status"], run["output"]) == ("completed", "News."), run
    listed = await customer.get("agent-schedules")
    assert [each["run_schedule_id"] for each in listed["items"]] == [made["run_schedule_id"]]

    hidden = f"/api/v1/{path_of(made)}"
    problem(await other.http.get(hidden), 404, "not_found")
    problem(await other.http.patch(hidden, json={"is_active": False}), 404, "not_found")
    problem(await other.http.delete(hidden), 404, "not_found")
    assert (await other.get("agent-schedules"))["items"] == []


async def test_a_schedule_is_paused_changed_and_deleted(
    customer: Person, dev_server: Client, model: Model
) -> None:
    made = await make(customer)
    url = f"/api/v1/{path_of(made)}"
    paused = await customer.http.patch(url, json={"is_active": False})
    assert paused.status_code == 200, paused.text
    assert (await customer.get(path_of(made)))["next_times"] == []
    mark = uuid4().hex
    changed = await customer.http.patch(url, json={"input": mark, "cron": "30 8 2 2 *"})
    assert (changed.json()["cron"], changed.json()["is_active"]) == ("30 8 2 2 *", False)
    resumed = await customer.http.patch(url, json={"is_active": True})
    assert resumed.json()["is_active"]
    first = (await customer.get(path_of(made)))["next_times"][0]
    assert "-02-02T08:30:00" in first
    await model.script({"text": "Changed."}, match=mark)
    await trigger(dev_server, made)
    noted = await last_run(customer, made)
    run = await wait(customer, {"agent_run_id": noted["last_agent_run_id"]}, *ENDED)
    assert run["output"] == "Changed."
    assert (await customer.http.delete(url)).status_code == 204
    problem(await customer.http.get(url), 404, "not_found")
    described = dev_server.get_schedule_handle(schedule_id(made["run_schedule_id"]))
    with pytest.raises(Exception, match="not found"):
        await described.describe()


async def test_a_run_that_is_refused_is_noted(
    other: Person, dev_server: Client, model: Model
) -> None:
    """This user has no subscription."""
    made = await make(other)
    await trigger(dev_server, made)
    noted = await last_run(other, made)
    assert noted["last_error_code"] == "entitlement_required"


async def test_an_agent_that_is_gone_is_noted(
    customer: Person, dev_server: Client, sessions: Sessions
) -> None:
    made = await make(customer)
    async with sessions.begin() as session:
        changes = {"agent": "gone"}
        await RunScheduleRepository(session).change(UUID(made["run_schedule_id"]), changes)
    await trigger(dev_server, made)

    async def noted() -> bool:
        seen = await customer.get(path_of(made))
        return bool(seen["last_error_code"] == "unknown_agent")

    assert await until(noted)


@pytest.mark.parametrize(
    ("wrong", "status", "code"),
    [
        ({"cron": "0 25 * * *"}, 422, "invalid_cron"),
        ({"cron": "often and more"}, 422, "invalid_cron"),
        ({"time_zone": "Mars/Olympus"}, 422, "unknown_time_zone"),
        ({"agent": "nobody"}, 404, "unknown_agent"),
        ({"input": "\u4e2d" * 19_000}, 422, "input_too_long"),
        ({"input": " "}, 422, "invalid_input"),
    ],
)
async def test_what_is_no_schedule_is_refused(
    customer: Person, wrong: dict[str, Any], status: int, code: str
) -> None:
    body = {"agent": "research", "input": "What is new?", "cron": "0 7 1 1 *"} | wrong
    problem(await customer.post("agent-schedules", **body), status, code)
    assert (await customer.get("agent-schedules"))["items"] == []


async def test_the_same_request_makes_one_schedule_and_a_user_has_so_many(
    customer: Person,
) -> None:
    body = {"agent": "research", "input": "What is new?", "cron": "0 7 1 1 *"}
    key = uuid4().hex
    replies = [await customer.post("agent-schedules", key=key, **body) for _ in range(2)]
    assert replies[0].json() == replies[1].json()
    for _ in range(MAX_SCHEDULES - 1):
        await make(customer, is_active=False)
    problem(await customer.post("agent-schedules", **body), 429, "too_many_schedules")
