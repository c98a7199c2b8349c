"""Runs that may wait: each call is one batch at half the price, paid once, waited for by nobody."""

import asyncio
import signal
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, update
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.client import Client

from adapters.llm.pricing import Prices
from config import Settings
from database.session import Sessions
from database.usage.models import UsageRecord
from database.usage.usage_records import UsageRepository
from domain.agents.runs import CancelRun, RunStatus
from domain.llm.batches import Urgency
from domain.llm.messages import TokenUsage
from services.agents.tools.catalog import ToolCatalog
from tests.api.agents.test_agent_runs import ENDED, events, wait
from tests.api.agents.test_doors import add_agent, folder
from tests.api.agents.test_fallback_provider import working
from tests.api.conftest import Person, problem, until
from tests.support.namespaces import open_namespace
from tests.support.worker_process import worker_process
from tests.unit.agents.support import Model, keep_ended, reach, start_run
from workflows.agents.agent_run import AgentRunWorkflow

__all__ = ["folder"]
SEARCH = {"tool_calls": [{"name": "search_memory", "arguments": {"query": "x"}}]}
# Longer than a test that does not cancel.
LONG = {"delay_seconds": 100}


@pytest.fixture
def mark() -> str:
    return f"when do you open {uuid4().hex}"


async def start(person: Person, text: str, **more: Any) -> dict[str, Any]:
    body = {"agent": "research", "urgency": "batch", **more}
    reply = await person.post("agent-runs", input=text, **body)
    assert reply.status_code == 202, reply.text
    run: dict[str, Any] = reply.json()
    return run


async def ask(person: Person, text: str, **more: Any) -> dict[str, Any]:
    return await wait(person, await start(person, text, **more), *ENDED)


async def calls_of(person: Person, run: dict[str, Any]) -> list[dict[str, Any]]:
    found = (await person.get(f"agent-runs/{run['agent_run_id']}/steps"))["items"]
    return [call for step in found for call in step["model_calls"]]


async def one_batch(model: Model, mark: str) -> dict[str, Any]:
    """Wait until there is a batch."""
    found: list[dict[str, Any]] = await until(lambda: model.batches(mark))
    assert len(found) == 1
    return found[0]


async def batch_id_of(sessions: Sessions, run: dict[str, Any]) -> str | None:
    """Return the provider's id of the batch of a run's first step, once it is stored."""
    data = (await record_of(sessions, run)).batch_data
    return None if data is None else data["batch_id"]


async def record_of(sessions: Sessions, run: dict[str, Any]) -> UsageRecord:
    async with sessions() as session:
        (record,) = await UsageRepository(session).of_step(UUID(run["agent_run_id"]), 0)
        return record


async def test_a_run_is_answered_at_half_the_price_and_streams_nothing(
    customer: Person, model: Model, mark: str
) -> None:
    await model.script({"text": "At nine."}, match=mark)
    begun = await start(customer, mark)
    assert begun["urgency"] == "batch"
    run = await wait(customer, begun, *ENDED)
    assert (run["run_status"], run["output"], run["error"]) == ("completed", "At nine.", None)
    (asked,) = await model.calls(mark)
    used = TokenUsage(
        prompt_tokens=asked["prompt_tokens"], completion_tokens=asked["completion_tokens"]
    )
    full = Prices("openai").cost("gpt-4.1", used).cents
    (call,) = await calls_of(customer, run)
    assert (call["is_batch"], call["outcome"], call["is_estimated"]) == (True, "succeeded", False)
    assert (call["prompt_tokens"], call["completion_tokens"]) == (
        used.prompt_tokens,
        used.completion_tokens,
    )
    assert round(call["cost_cents"], 6) == round(float(full / 2), 6) > 0
    told = await events(customer, run)
    assert "token" not in {each["kind"] for each in told}
    step, message, *_ = told[-4:]
    assert step["data"] == {"step": 0, "attempt": 1, "model": "gpt-4.1", "is_batch": True}
    assert (message["kind"], message["data"]["text"]) == ("message", "At nine.")
    batch = await one_batch(model, mark)
    assert (batch["status"], batch["completion_window"]) == ("completed", "24h")
    assert batch["metadata"] == {"call": f"agent-run-{run['agent_run_id']}:0:1"}


async def test_a_run_of_the_usual_kind_makes_no_batch(
    customer: Person, model: Model, mark: str
) -> None:
    run = await ask(customer, mark, urgency="normal")
    assert (run["run_status"], run["urgency"]) == ("completed", "normal")
    assert await model.batches(mark) == []
    assert [call["is_batch"] for call in await calls_of(customer, run)] == [False]


async def test_each_step_is_a_batch(customer: Person, model: Model, mark: str) -> None:
    await model.script(SEARCH, {"text": "At nine."}, match=mark)
    run = await ask(customer, mark)
    assert (run["run_status"], run["output"]) == ("completed", "At nine.")
    assert [each["status"] for each in await model.batches(mark)] == ["completed"] * 2
    assert [call["is_batch"] for call in await calls_of(customer, run)] == [True, True]


@pytest.mark.parametrize(
    ("item", "code"),
    [
        ({"behaviour": "batch_fails"}, "model_batch_failed"),
        ({"behaviour": "batch_expires"}, "model_batch_expired"),
        ({"behaviour": "batch_error_line"}, "model_batch_failed"),
        ({"status": 400, "message": "We do not like this."}, "model_rejected"),
    ],
)
async def test_a_batch_that_brings_no_answer_ends_the_run_by_name(
    customer: Person, model: Model, mark: str, item: dict[str, Any], code: str
) -> None:
    await model.script(item, match=mark)
    run = await ask(customer, mark)
    assert (run["run_status"], run["error"]["code"]) == ("failed", code), run
    assert run["usage"]["cost_cents"] == 0
    (call,) = await calls_of(customer, run)
    assert (call["outcome"], call["is_estimated"]) == (code, False)
    assert len(await model.batches(mark)) == 1


async def test_a_refused_parameter_makes_a_second_batch(
    customer: Person, model: Model, mark: str, sessions: Sessions
) -> None:
    """The refusal costs nothing, and what was refused is left out."""
    item = {"status": 400, "message": "Unsupported parameter: 'temperature' is not supported"}
    await model.script(item, {"text": "At nine."}, match=mark)
    run = await ask(customer, mark)
    assert (run["run_status"], run["output"]) == ("completed", "At nine.")
    assert [call["outcome"] for call in await calls_of(customer, run)] == [
        "model_rejected",
        "succeeded",
    ]
    assert ["temperature" in call["body"] for call in await model.calls(mark)] == [True, False]


async def test_an_answer_that_is_lost_after_the_creation_makes_no_second_batch(
    customer: Person, model: Model, mark: str
) -> None:
    await model.script({"behaviour": "batch_answer_lost"}, match=mark)
    run = await ask(customer, mark)
    assert run["run_status"] == "completed", run
    batch = await one_batch(model, mark)
    assert batch["status"] == "completed"
    assert [call["attempt"] for call in await calls_of(customer, run)] == [1]


@pytest.mark.parametrize("path", ["/v1/files", "/v1/batches", "/v1/batches/read"])
async def test_a_provider_that_is_away_is_waited_for(
    customer: Person, model: Model, mark: str, path: str
) -> None:
    faults: list[dict[str, Any]] = [{"status": 503}, {"disconnect_after": 0}, {"status": 429}]
    await model.script(*[{"path": path, **fault} for fault in faults], match=mark)
    run = await ask(customer, mark)
    assert run["run_status"] == "completed", run
    await one_batch(model, mark)
    assert [call["attempt"] for call in await calls_of(customer, run)] == [1]


async def test_a_server_without_batches_is_named(customer: Person, model: Model, mark: str) -> None:
    await model.script({"path": "/v1/files", "status": 404}, match=mark)
    run = await ask(customer, mark)
    assert (run["run_status"], run["error"]["code"]) == ("failed", "batches_unsupported")
    assert run["usage"]["cost_cents"] == 0


async def test_a_cancel_cancels_the_batch(
    customer: Person, model: Model, mark: str, sessions: Sessions
) -> None:
    await model.script(LONG, match=mark)
    run = await start(customer, mark)
    await one_batch(model, mark)
    assert (await record_of(sessions, run)).usage_status == "reserved"
    canceled = await customer.post(f"agent-runs/{run['agent_run_id']}/cancel")
    assert canceled.json()["run_status"] == "canceled", canceled.text
    assert (await one_batch(model, mark))["status"] == "cancelled"
    record = await record_of(sessions, run)
    assert (record.usage_status, record.outcome) == ("settled", "canceled")
    assert (float(record.cost_cents), record.is_estimated) == (0, False)


async def test_a_batch_that_is_answered_before_its_cancel_is_paid(
    customer: Person, model: Model, mark: str, sessions: Sessions
) -> None:
    """The run is canceled between two looks, and the provider has answered by then."""
    await model.script({"delay_seconds": 6}, match=mark)
    run = await start(customer, mark)
    await one_batch(model, mark)

    async def is_answered() -> bool:
        return bool((await one_batch(model, mark))["status"] == "completed")

    # Reason: the look after the sixth second comes at the seventh.
    await until(is_answered)
    canceled = await customer.post(f"agent-runs/{run['agent_run_id']}/cancel")
    record, (asked,) = await record_of(sessions, run), await model.calls(mark)
    assert record.completion_token_count == asked["completion_tokens"] > 0
    assert canceled.status_code in {200, 409}


async def test_a_cancel_ends_the_run_also_if_nobody_can_see_what_became_of_the_batch(
    customer: Person, model: Model, mark: str, sessions: Sessions
) -> None:
    """It is booked at all that it may have cost, at the price of batches."""
    await model.script(LONG, {"path": "/v1/batches/read", "status": 503, "repeat": 999}, match=mark)
    run = await start(customer, mark)
    await one_batch(model, mark)
    await customer.post(f"agent-runs/{run['agent_run_id']}/cancel")
    done = await wait(customer, run, *ENDED)
    assert done["run_status"] == "canceled"
    assert (await one_batch(model, mark))["status"] == "cancelled"
    record = await record_of(sessions, run)
    assert (record.is_estimated, record.outcome) == (True, "lost")
    assert record.cost_cents == record.reserved_cost_cents


async def test_a_message_that_interrupts_makes_another_batch(
    customer: Person, model: Model, mark: str
) -> None:
    await model.script(LONG, {"text": "At nine, in short."}, match=mark)
    run = await start(customer, mark)
    await one_batch(model, mark)
    path = f"agent-runs/{run['agent_run_id']}/messages"
    added = await customer.post(path, content="Be brief.", on_busy="interrupt")
    assert added.status_code == 200, added.text
    done = await wait(customer, run, *ENDED)
    assert (done["run_status"], done["output"]) == ("completed", "At nine, in short.")
    assert [each["status"] for each in await model.batches(mark)] == ["cancelled", "completed"]
    canceled, asked = await model.calls(mark)
    assert (canceled["status"], canceled["prompt_tokens"]) == (499, 0)
    assert asked["body"]["messages"][-1]["content"].endswith("Be brief.")
    assert [call["outcome"] for call in await calls_of(customer, run)] == ["canceled", "succeeded"]


async def test_a_message_meanwhile_is_read_by_the_next_batch(
    customer: Person, model: Model, mark: str
) -> None:
    """The answer is filed before a message that its request did not contain."""
    await model.script({"text": "At nine.", "delay_seconds": 1}, {"text": "Ten."}, match=mark)
    run = await start(customer, mark)
    await one_batch(model, mark)
    added = await customer.post(f"agent-runs/{run['agent_run_id']}/messages", content="And later?")
    assert added.status_code == 200, added.text
    done = await wait(customer, run, *ENDED)
    assert done["output"] == "Ten."
    listed = await customer.get(f"conversations/{run['conversation_id']}/messages")
    said = [each["content"] for each in listed["items"]]
    assert said == [mark, "At nine.", "And later?", "Ten."]


async def test_half_the_budget_is_enough(customer: Person, model: Model, mark: str) -> None:
    """The worst case of a step is about 4 cents; at the usual price the answer would be cut."""
    agent = {"agent": "coding"}
    words = {"text": "word " * 20}
    await model.script(words, words, match=mark)
    normal = await start(customer, mark, urgency="normal", budget={"cost_cents": 2}, **agent)
    batched = await start(customer, mark, budget={"cost_cents": 2}, **agent)
    for run in (normal, batched):
        done = await wait(customer, run, *ENDED)
        assert done["run_status"] == "completed", done
    asked = await model.calls(mark)
    limits = {call["is_stream"]: call["body"]["max_tokens"] for call in asked}
    assert limits[True] < limits[False] <= 4_096


async def test_an_answer_that_the_budget_cuts_ends_the_run_as_any_other(
    customer: Person, model: Model, mark: str, folder: Path
) -> None:
    add_agent(folder, "clerk", "")
    await model.script({"token_count": 900}, match=mark)
    run = await ask(customer, mark, agent="clerk", budget={"token_count": 500})
    assert run["run_status"] == "budget_exceeded", run
    assert run["output"]
    (call,) = await calls_of(customer, run)
    assert (call["outcome"], call["is_batch"]) == ("succeeded", True)


async def test_the_worst_case_is_reserved_at_half_the_price(
    customer: Person, model: Model, mark: str, sessions: Sessions
) -> None:
    await model.script(LONG, match=mark)
    run = await start(customer, mark)
    await one_batch(model, mark)
    record = await record_of(sessions, run)
    worst = TokenUsage(
        prompt_tokens=record.reserved_prompt_token_count,
        completion_tokens=record.reserved_completion_token_count,
    )
    full = Prices("openai").cost("gpt-4.1", worst).cents
    assert round(record.reserved_cost_cents, 6) == round(full / 2, 6) > 0
    await customer.post(f"agent-runs/{run['agent_run_id']}/cancel")


async def test_an_answer_from_the_cache_needs_no_batch(
    customer: Person, model: Model, mark: str, folder: Path
) -> None:
    add_agent(folder, "clerk", "[cache]\nttl_hours = 1")
    await model.script({"text": "At nine."}, match=mark)
    runs = [await ask(customer, mark, agent="clerk") for _ in range(2)]
    assert [run["output"] for run in runs] == ["At nine.", "At nine."]
    await one_batch(model, mark)
    (call,) = await calls_of(customer, runs[1])
    assert (call["outcome"], call["is_batch"], call["cost_cents"]) == ("cached", False, 0)


async def test_members_of_a_team_wait_as_their_leader_does(
    customer: Person, model: Model, mark: str, folder: Path
) -> None:
    add_agent(folder, "clerk", "")
    team = 'pattern = "pipeline"\n[team]\nmembers = ["clerk"]'
    add_agent(folder, "office", team)
    await model.script({"text": "At nine."}, match=mark)
    run = await ask(customer, mark, agent="office")
    assert (run["run_status"], run["output"]) == ("completed", "At nine."), run
    (child,) = (await customer.get(f"agent-runs/{run['agent_run_id']}/children"))["items"]
    assert child["urgency"] == "batch"
    await one_batch(model, mark)


async def test_a_batch_that_outlives_its_window_is_given_up(
    customer: Person, model: Model, mark: str, sessions: Sessions
) -> None:
    await model.script(LONG, match=mark)
    run = await start(customer, mark)
    await one_batch(model, mark)
    key = f"agent-run-{run['agent_run_id']}:0:1"

    await until(lambda: batch_id_of(sessions, run))
    async with sessions.begin() as session:
        is_mine = UsageRecord.source_key == key
        data = await session.scalar(select(UsageRecord.batch_data).where(is_mine)) or {}
        old = (datetime.now(UTC) - timedelta(hours=26)).isoformat()
        await session.execute(
            update(UsageRecord).where(is_mine).values(batch_data={**data, "begun_at": old})
        )
    done = await wait(customer, run, *ENDED)
    assert (done["run_status"], done["error"]["code"]) == ("failed", "model_batch_expired")
    assert (await one_batch(model, mark))["status"] == "cancelled"
    record = await record_of(sessions, run)
    assert (record.is_estimated, record.completion_token_count) == (
        True,
        record.reserved_completion_token_count,
    )
    assert record.cost_cents == record.reserved_cost_cents


async def test_of_two_batches_for_one_call_the_first_that_is_stored_counts(
    customer: Person, model: Model, mark: str, sessions: Sessions
) -> None:
    """A worker that was believed to be dead creates one, too."""
    await model.script(LONG, match=mark)
    run = await start(customer, mark)
    await one_batch(model, mark)
    key = f"agent-run-{run['agent_run_id']}:0:1"

    first = await until(lambda: batch_id_of(sessions, run))
    async with sessions.begin() as session:
        assert await UsageRepository(session).name_batch(key, "batch_second") == first
    assert await batch_id_of(sessions, run) == first
    await customer.post(f"agent-runs/{run['agent_run_id']}/cancel")


async def test_a_provider_without_batches_is_refused_by_name(
    customer: Person, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings.llm, "provider", "anthropic")
    reply = await customer.post("agent-runs", agent="research", input="hello", urgency="batch")
    refused = problem(reply, 422, "batches_unsupported")
    assert "anthropic" in refused["detail"]
    assert refused["details"] == {"provider": "anthropic"}
    usual = await customer.post("agent-runs", agent="research", input="hello")
    assert usual.status_code == 202
    assert (
        await customer.post("agent-runs", agent="research", input="x", urgency="now")
    ).status_code == 422


# --- the workflow


@pytest.fixture
async def own_workers(
    dev_server: Client, settings: Settings, sessions: Sessions, tools: ToolCatalog
) -> AsyncIterator[Client]:
    async with working(dev_server, settings, sessions, tools) as namespace:
        yield namespace


async def test_nobody_waits_and_the_history_stays_short(
    customer: Person, model: Model, mark: str, sessions: Sessions, own_workers: Client
) -> None:
    await model.script({"text": "At nine.", "delay_seconds": 5}, match=mark)
    handle = await start_run(own_workers, customer.user_id, mark, urgency=Urgency.BATCH)
    await one_batch(model, mark)

    async def rests_after_some_looks() -> bool:
        pending = (await handle.describe()).raw_description.pending_activities
        return any(
            each.attempt >= 3
            and each.state == PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED
            for each in pending
        )

    await until(rests_after_some_looks)
    row = await reach(sessions, handle, RunStatus.COMPLETED, RunStatus.FAILED)
    assert row.output == "At nine."
    assert (await handle.fetch_history()).events[-1].event_id < 25


async def test_a_canceled_batch_replays(
    customer: Person,
    model: Model,
    mark: str,
    sessions: Sessions,
    own_workers: Client,
    histories: Path,
) -> None:
    await model.script(LONG, match=mark)
    handle = await start_run(own_workers, customer.user_id, mark, urgency=Urgency.BATCH)
    await one_batch(model, mark)
    status = await handle.execute_update(AgentRunWorkflow.cancel, CancelRun(command_id=uuid4()))
    assert status is RunStatus.CANCELED
    assert (await one_batch(model, mark))["status"] == "cancelled"
    await keep_ended(handle, histories / "agent-run-batch-canceled.json", "cancel_model_batch")


async def test_a_worker_that_is_killed_leaves_one_batch(
    customer: Person,
    model: Model,
    mark: str,
    sessions: Sessions,
    dev_server: Client,
    settings: Settings,
    tmp_path: Path,
) -> None:
    await model.script({"text": "At nine.", "delay_seconds": 3}, match=mark)
    async with open_namespace(dev_server) as namespace:
        async with worker_process(namespace, settings, tmp_path) as worker:
            handle = await start_run(namespace, customer.user_id, mark, urgency=Urgency.BATCH)
            await one_batch(model, mark)
            worker.process.send_signal(signal.SIGKILL)
            await asyncio.to_thread(worker.process.wait, 100)
        async with worker_process(namespace, settings, tmp_path):
            row = await reach(sessions, handle, RunStatus.COMPLETED, RunStatus.FAILED)
    assert (row.run_status, row.output) == (RunStatus.COMPLETED, "At nine.")
    await one_batch(model, mark)
    async with sessions() as session:
        (record,) = await UsageRepository(session).of_step(row.agent_run_id, 0)
    assert (record.attempt, record.outcome) == (1, "succeeded")
