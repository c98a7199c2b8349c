"""What a user says while a run goes on: in order, never dropped, bounded."""

import asyncio
from typing import Any
from uuid import uuid4

from temporalio.client import Client

from domain.agents.runs import MAX_UNREAD_MESSAGES
from tests.api.agents.test_agent_runs import (
    ENDED,
    answer,
    pay,
    start,
    wait,
    wants_refund,
)
from tests.api.conftest import MakeCard, Person, problem, until
from tests.unit.agents.support import Model

AT_ONCE = 8
LETTERS_OF_THREE_BYTES = "\u4e2d"


async def say(person: Person, run: dict[str, Any], text: str) -> Any:
    return await person.post(f"agent-runs/{run['agent_run_id']}/messages", content=text)


async def asked(model: Model, mark: str, count: int = 1) -> list[dict[str, Any]]:
    """Wait until the model was asked so many times."""

    async def is_asked() -> bool:
        return len(await model.calls(mark)) >= count

    await until(is_asked)
    return await model.calls(mark)


async def test_an_answer_is_filed_before_what_was_said_while_it_was_generated(
    customer: Person, model: Model
) -> None:
    mark = f"What is the capital of France? {uuid4().hex}"
    await model.script(
        {"text": "word " * 60, "token_seconds": 0.02}, {"text": "Madrid."}, match=mark
    )
    run = await start(customer, mark)
    await asked(model, mark)
    for text in ("Stop,", "I meant Spain."):
        assert (await say(customer, run, text)).status_code == 200
    done = await wait(customer, run, *ENDED)
    assert (done["run_status"], done["output"]) == ("completed", "Madrid.")
    for call in await model.calls(mark):
        assert call["body"]["messages"][-1]["role"] == "user"
    listed = await customer.get(f"conversations/{run['conversation_id']}/messages")
    told = [(each["role"], each["content"].strip()) for each in listed["items"]]
    assert told == [
        ("user", mark),
        ("assistant", ("word " * 60).strip()),
        ("user", "Stop,"),
        ("user", "I meant Spain."),
        ("assistant", "Madrid."),
    ]
    numbers = [each["seq"] for each in listed["items"]]
    assert numbers == sorted(set(numbers))


async def test_a_message_that_a_later_step_has_read_costs_no_further_call(
    customer: Person, model: Model
) -> None:
    mark = f"What is the capital of France? {uuid4().hex}"
    search = {"name": "search_memory", "arguments": {"query": "capitals"}}
    slow = {"text": "word " * 40, "tool_calls": [search], "token_seconds": 0.02}
    await model.script(slow, {"text": "Madrid."}, {"text": "Too much."}, match=mark)
    run = await start(customer, mark)
    await asked(model, mark)
    assert (await say(customer, run, "I meant Spain.")).status_code == 200
    done = await wait(customer, run, *ENDED)
    assert (done["run_status"], done["output"]) == ("completed", "Madrid.")
    calls = await model.calls(mark)
    assert ["I meant Spain." in str(call["body"]) for call in calls] == [False, True]


async def test_what_does_not_fit_is_refused_with_its_size_and_the_limit(
    customer: Person, model: Model
) -> None:
    long = {"agent": "research", "input": LETTERS_OF_THREE_BYTES * 20_000}
    refused = await customer.post("agent-runs", **long)
    problem(refused, 422, "input_too_long")
    facts = refused.json()["details"]
    assert facts["token_count"] > facts["limit_token_count"] > 1_000
    assert (await customer.get("agent-runs"))["items"] == []
    # As many letters as the API takes, of an alphabet that fits.
    mark = f"question {uuid4().hex} "
    await model.script({"text": "word " * 60, "token_seconds": 0.05}, match=mark)
    run = await start(customer, mark + "q" * (20_000 - len(mark)))
    await asked(model, mark)
    refused = await say(customer, run, "IMPORTANT " * 1_900)
    problem(refused, 422, "message_too_long")
    facts = refused.json()["details"]
    assert facts["token_count"] > facts["limit_token_count"]
    await customer.post(f"agent-runs/{run['agent_run_id']}/cancel")


async def test_many_messages_to_a_run_that_waits(
    customer: Person, admin: Person, card: MakeCard, workers: Client
) -> None:
    """Each is accepted or refused by name; histories stay short, and a yes is still taken."""
    run = await wants_refund(customer, await pay(customer, card))
    door = asyncio.Semaphore(AT_ONCE)

    async def say_one(number: int) -> int:
        async with door:
            reply = await say(customer, run, f"note {number}")
        if reply.status_code != 200:
            problem(reply, 429, "too_many_messages")
        return int(reply.status_code)

    statuses = await asyncio.gather(*map(say_one, range(MAX_UNREAD_MESSAGES + 50)))
    assert statuses.count(200) == MAX_UNREAD_MESSAGES - 1, "the input is one of the unread"
    history = await workers.get_workflow_handle(run["workflow_id"]).fetch_history()
    assert len(history.events) < 2_000
    path = f"agent-runs/{run['agent_run_id']}"
    decided = await admin.post(f"{path}/approve", **answer(run, "approve"))
    assert decided.status_code == 200, decided.text
    assert (await wait(customer, run, *ENDED))["run_status"] == "completed"
