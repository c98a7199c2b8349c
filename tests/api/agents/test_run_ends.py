"""How runs end: each answer that is none, or not whole, has a name; nothing is paid for ever."""

from typing import Any
from uuid import uuid4

import pytest
from temporalio.client import Client

from tests.api.agents.test_agent_runs import ask, events, pay, wants_refund
from tests.api.conftest import MakeCard, Person, until
from tests.unit.agents.support import Model

SEARCH = {"tool_calls": [{"name": "search_memory", "arguments": {"query": "trains"}}]}
HALF = {"text": "It is " + "very " * 20}


@pytest.mark.parametrize(
    ("reply", "finish"),
    [
        ({**HALF, "finish_reason": "length"}, "length"),
        ({**HALF, "finish_reason": "content_filter"}, "content_filter"),
        ({"text": "", "finish_reason": "stop", "repeat": 2}, "empty"),
    ],
    ids=["length", "content_filter", "empty"],
)
async def test_an_answer_that_is_not_whole_is_a_named_failure(
    customer: Person, model: Model, reply: dict[str, Any], finish: str
) -> None:
    mark = f"tell me {uuid4().hex}"
    await model.script(reply, match=mark)
    run = await ask(customer, mark)
    assert (run["run_status"], run["error"]["code"]) == ("failed", finish)
    assert run["finish_reason"] == finish
    assert (run["output"] or "").strip() == reply["text"].strip()
    assert (await events(customer, run))[-1]["data"]["finish_reason"] == finish


async def test_silence_is_asked_about_once_more(customer: Person, model: Model) -> None:
    mark = f"tell me {uuid4().hex}"
    preface = {**SEARCH, "text": "Let me look that up."}
    await model.script(preface, {"text": ""}, {"text": "Forty-two."}, match=mark)
    run = await ask(customer, mark)
    assert (run["run_status"], run["output"]) == ("completed", "Forty-two.")
    assert run["finish_reason"] == "stop"
    mark = f"tell me {uuid4().hex}"
    await model.script(preface, {"text": "", "repeat": 2}, match=mark)
    run = await ask(customer, mark)
    assert (run["run_status"], run["output"]) == ("failed", None), "a preface is no answer"
    assert run["error"]["code"] == run["finish_reason"] == "empty"
    assert len(await model.calls(mark)) == 3


async def test_a_call_that_was_cut_claims_nothing(customer: Person, model: Model) -> None:
    mark = f"refund me {uuid4().hex}"
    call = {"name": "refund_payment", "arguments": {"payment_id": str(uuid4()), "reason": "x"}}
    said = {"text": "I have asked for your refund.", "tool_calls": [call]}
    await model.script({**said, "finish_reason": "length"}, match=mark)
    run = await ask(customer, mark)
    assert (run["run_status"], run["error"]["code"]) == ("failed", "length")
    assert run["pending_approvals"] == []


async def test_streams_that_never_end_well_are_asked_for_three_times(
    customer: Person, model: Model
) -> None:
    mark = f"tell me {uuid4().hex}"
    await model.script({**HALF, "no_finish_reason": True, "repeat": 9}, match=mark)
    run = await ask(customer, mark)
    assert (run["run_status"], run["error"]["code"]) == ("failed", "model_stream_incomplete")
    calls = await model.calls(mark)
    assert len(calls) == 3
    assert run["usage"]["prompt_tokens"] >= sum(call["prompt_tokens"] for call in calls)
    assert run["usage"]["completion_tokens"] >= sum(call["completion_tokens"] for call in calls)
    # One odd run shuts out nobody.
    assert (await ask(customer, f"hello {uuid4().hex}"))["run_status"] == "completed"


async def test_a_terminated_run_fails_and_its_stream_ends(
    customer: Person, card: MakeCard, workers: Client
) -> None:
    run = await wants_refund(customer, await pay(customer, card))
    path = f"agent-runs/{run['agent_run_id']}"
    await workers.get_workflow_handle(run["workflow_id"]).terminate("stuck")

    async def is_closed() -> bool:
        return bool((await customer.get(path))["completed_at"])

    await until(is_closed)
    seen = await customer.get(path)
    assert (seen["run_status"], seen["error"]["code"]) == ("failed", "workflow_terminated")
    assert seen["pending_approvals"] == []
    assert (await events(customer, run))[-1]["kind"] == "done"
