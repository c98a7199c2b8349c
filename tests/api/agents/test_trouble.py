"""Runs of agents that are interrupted, overtaken and fed with what nobody can store."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from temporalio.client import Client, WorkflowHandle

from database.session import Sessions
from domain.agents.runs import CancelRun, RunStatus, StepInput, StepResult
from services.agents.model_calls.answers import stored_reply
from tests.api.agents.test_agent_runs import (
    ENDED,
    answer,
    events,
    pay,
    start,
    wait,
    wants_refund,
)
from tests.api.conftest import MakeCard, Person, problem, until
from tests.conftest import ChromaServer
from tests.unit.agents.support import (
    Model,
    ended,
    keep_ended,
    reach,
    refund_call,
    row_of,
    start_run,
)
from workflows.agents.agent_run import AgentRunWorkflow


async def test_what_postgresql_cannot_store_is_refused(
    customer: Person, admin: Person, card: MakeCard
) -> None:
    run = await wants_refund(customer, await pay(customer, card))
    path = f"agent-runs/{run['agent_run_id']}"
    for text in ("a\0b", "\ud800"):
        raw = customer.http.post
        for reply in (
            await raw("/api/v1/conversations", content=_json(f'{{"title": "{_escaped(text)}"}}')),
            await raw(
                "/api/v1/agent-runs",
                content=_json(f'{{"agent": "research", "input": "{_escaped(text)}"}}'),
            ),
            await raw(
                f"/api/v1/{path}/messages", content=_json(f'{{"content": "{_escaped(text)}"}}')
            ),
        ):
            problem(reply, 422, "invalid_input")
    refused = await admin.post(f"{path}/approve", **answer(run, "reject", reason="no\0"))
    problem(refused, 422, "invalid_input")
    listed = await customer.http.get("/api/v1/agent-runs", params={"agent": "a\0b"})
    problem(listed, 422, "invalid_input")
    canceled = await customer.post(f"{path}/cancel")
    assert canceled.json()["run_status"] == "canceled"


def _escaped(text: str) -> str:
    return "".join(f"\\u{ord(each):04x}" for each in text)


def _json(text: str) -> bytes:
    return text.encode()


async def test_a_cancel_of_temporals_own_leaves_no_run_open(
    customer: Person, sessions: Sessions, workers: Client
) -> None:
    for milliseconds in (0, 5, 10, 20, 40, 80, 160):
        handle = await start_run(workers, customer.user_id, "hello")
        await asyncio.sleep(milliseconds / 1_000)
        await handle.cancel()

        async def is_over(handle: object = handle) -> bool:
            return (await handle.describe()).close_time is not None  # type: ignore[attr-defined]

        await until(is_over)
        row = await row_of(sessions, handle)
        assert row is None or row.run_status in ENDED


async def wait_for_a_yes(
    customer: Person, model: Model, sessions: Sessions, workers: Client
) -> WorkflowHandle[AgentRunWorkflow, RunStatus]:
    """Start a run that asks for a refund, and wait until the wish is written down."""
    mark = f"refund me {uuid4().hex}"
    await model.script(refund_call(uuid4()), match=mark)
    handle = await start_run(workers, customer.user_id, mark)
    await reach(sessions, handle, RunStatus.WAITING_APPROVAL)
    return handle


async def test_a_cancel_of_temporals_own_is_written_down(
    customer: Person, model: Model, sessions: Sessions, workers: Client
) -> None:
    handle = await wait_for_a_yes(customer, model, sessions, workers)
    await handle.cancel()
    await reach(sessions, handle, RunStatus.CANCELED)
    await ended(handle)


async def test_a_cancel_replays(
    customer: Person, model: Model, sessions: Sessions, workers: Client, histories: Path
) -> None:
    handle = await wait_for_a_yes(customer, model, sessions, workers)
    status = await handle.execute_update(AgentRunWorkflow.cancel, CancelRun(command_id=uuid4()))
    assert status is RunStatus.CANCELED
    await keep_ended(handle, histories / "agent-run-canceled.json", "cancel")


async def test_a_cancel_that_comes_as_a_step_ends_is_not_lost(
    customer: Person, model: Model
) -> None:
    """The step completes before its heartbeat hears of the cancel, and asks for somebody's yes."""
    mark = f"refund me {uuid4().hex}"
    await model.script({**refund_call(uuid4()), "delay_seconds": 0.3}, match=mark)
    run = await start(customer, mark)
    await until(lambda: model.calls(mark))
    canceled = await customer.post(f"agent-runs/{run['agent_run_id']}/cancel")
    assert canceled.status_code == 200, canceled.text
    assert canceled.json()["run_status"] == "canceled"


async def test_what_is_said_to_a_run_in_line_comes_after_its_input(
    customer: Person, model: Model
) -> None:
    mark = f"tell me everything {uuid4().hex}"
    await model.script({"text": "word " * 60, "token_seconds": 0.02}, match=mark)
    first = await start(customer, mark)
    place = {"conversation_id": first["conversation_id"]}
    second = await start(customer, "and now?", **place)
    added = await customer.post(f"agent-runs/{second['agent_run_id']}/messages", content="quick!")
    assert added.status_code == 200, added.text
    assert (await wait(customer, second, *ENDED))["run_status"] == "completed"
    listed = await customer.get(f"conversations/{first['conversation_id']}/messages")
    said = [each["content"] for each in listed["items"] if each["role"] == "user"]
    assert said == [mark, "and now?", "quick!"]
    assert len(await model.calls("quick!")) == 1


async def test_a_cancel_does_not_wait_for_what_only_looks(
    customer: Person, model: Model, chroma_server: ChromaServer
) -> None:
    mark = f"do you remember {uuid4().hex}"
    call = {"name": "search_memory", "arguments": {"query": "x"}}
    await model.script(
        {"tool_calls": [call], "text": "word " * 40, "token_seconds": 0.02}, match=mark
    )
    run = await start(customer, mark)

    async def has_begun() -> bool:
        return bool(await model.calls(mark))

    await until(has_begun)
    chroma_server.kill()
    try:
        await asyncio.sleep(2)
        canceled = await customer.post(f"agent-runs/{run['agent_run_id']}/cancel")
    finally:
        chroma_server.start()
    assert canceled.json()["run_status"] == "canceled", canceled.text


async def test_a_cut_answer_stays_cut_if_its_step_is_asked_for_again(
    customer: Person, model: Model, sessions: Sessions
) -> None:
    """As after a crash between the step's commit and its answer to Temporal."""
    for more, is_cut in (({"budget": {"token_count": 1_800}}, True), ({}, False)):
        mark = f"tell me everything {uuid4().hex}"
        await model.script({"text": "word " * 900, "token_seconds": 0}, match=mark)
        run = await wait(customer, await start(customer, mark, **more), *ENDED)
        order = StepInput(agent_run_id=run["agent_run_id"], step=0, at=datetime.now(UTC))
        async with sessions() as session:
            known = await stored_reply(session, order)
        assert known == StepResult(is_answer=True, is_cut_by_budget=is_cut)


async def test_a_terminated_run_can_be_canceled(
    customer: Person, card: MakeCard, workers: Client
) -> None:
    run = await wants_refund(customer, await pay(customer, card))
    path = f"agent-runs/{run['agent_run_id']}"
    await workers.get_workflow_handle(run["workflow_id"]).terminate("stuck")
    canceled = await customer.post(f"{path}/cancel", key="once")
    if canceled.status_code == 409:  # the run was seen to be lost, and closed, a moment before
        assert canceled.json()["details"] == {"run_status": "failed"}
    else:
        assert canceled.status_code == 200, canceled.text
        assert canceled.json()["run_status"] == "canceled"
    assert (await customer.get(path))["pending_approvals"] == []
    again = await customer.post(f"{path}/cancel", key="once")
    assert again.json() == canceled.json()
    told = await events(customer, run)
    assert [event["seq"] for event in told] == list(range(1, len(told) + 1))
    assert told[-1]["kind"] == "done"
    assert len((await customer.get(f"{path}/steps"))["items"]) == 1
