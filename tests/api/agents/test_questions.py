"""Runs that ask their owner, and runs that read their owner's billing records."""

from typing import Any
from uuid import uuid4

import pytest

from tests.api.agents.test_agent_runs import ENDED, answer, events, wait
from tests.api.conftest import MakeCard, Person, problem, subscribe
from tests.unit.agents.support import Model

pytestmark = pytest.mark.usefixtures("workers")
RECORDS = ("subscriptions", "invoices", "payments")
QUESTION = {"question": "Which trip do you mean?", "options": ["Friday", "Monday"]}


def calls(*tools: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """Return a scripted reply of the model that calls tools."""
    return {"tool_calls": [{"name": name, "arguments": arguments} for name, arguments in tools]}


async def start(person: Person, text: str) -> dict[str, Any]:
    reply = await person.post("agent-runs", agent="analysis", input=text)
    assert reply.status_code == 202, reply.text
    run: dict[str, Any] = reply.json()
    return run


async def asks(person: Person, model: Model) -> dict[str, Any]:
    """Start a run whose model asks a question, and then tells the answer."""
    mark = f"trip {uuid4().hex}"
    await model.script(calls(("ask_user", QUESTION)), match=mark)
    return await wait(person, await start(person, f"What did my {mark} cost?"), "waiting_input")


async def results(person: Person, run: dict[str, Any]) -> list[dict[str, Any]]:
    steps = (await person.get(f"agent-runs/{run['agent_run_id']}/steps"))["items"]
    return [call["result"] for step in steps for call in step["tool_calls"]]


async def test_a_run_asks_its_owner_and_goes_on_with_the_answer(
    customer: Person, admin: Person, other: Person, model: Model
) -> None:
    run = await asks(customer, model)
    (asked,) = run["pending_approvals"]
    assert (asked["tool"], asked["arguments"]) == ("ask_user", QUESTION)
    assert asked["approver_role"] == "owner"
    path = f"agent-runs/{run['agent_run_id']}/answer"
    body = {"call_id": asked["call_id"], "content": "The one of Friday."}
    problem(await other.post(path, **body), 404, "not_found")
    problem(await admin.post(path, **body), 403, "approver_required")
    problem(await customer.post(path, **body | {"call_id": str(uuid4())}), 409, "unknown_call")
    assert (await customer.post(path, **body | {"content": " "})).status_code == 422

    answered = await customer.post(path, **body)
    assert answered.status_code == 200, answered.text
    done = await wait(customer, run, *ENDED)
    assert done["run_status"] == "completed", done
    assert await results(customer, run) == [{"status": "done", "answer": "The one of Friday."}]
    statuses = [
        each["data"]["run_status"]
        for each in await events(customer, done)
        if each["kind"] == "status"
    ]
    waited = statuses.index("waiting_input")
    assert statuses[waited - 1 : waited + 2] == ["running", "waiting_input", "running"]
    assert (await customer.post(path, **body)).status_code == 200
    problem(await customer.post(path, **body | {"content": "No"}), 409, "approval_closed")


async def test_a_question_may_be_left_unanswered(customer: Person, model: Model) -> None:
    run = await asks(customer, model)
    path = f"agent-runs/{run['agent_run_id']}/approve"
    left = await customer.post(path, **answer(run, "reject", reason="none of your business"))
    assert left.status_code == 200, left.text
    await wait(customer, run, *ENDED)
    (result,) = await results(customer, run)
    assert (result["status"], result["reason"]) == ("rejected", "none of your business")


async def test_a_decision_is_no_question(customer: Person, admin: Person, model: Model) -> None:
    """Both wait at once; each is decided by whom it waits for, and the run waits for both."""
    mark = f"trip {uuid4().hex}"
    refund = {"payment_id": str(uuid4()), "reason": "late"}
    await model.script(calls(("ask_user", QUESTION), ("refund_payment", refund)), match=mark)
    reply = await customer.post("agent-runs", agent="support", input=mark)
    run = await wait(customer, reply.json(), "waiting_approval")
    question, decision = run["pending_approvals"]
    path = f"agent-runs/{run['agent_run_id']}"
    no = {"call_id": decision["call_id"], "content": "yes"}
    problem(await customer.post(f"{path}/answer", **no), 409, "no_question")
    reply = await customer.post(f"{path}/answer", call_id=question["call_id"], content="Friday")
    assert reply.json()["run_status"] == "waiting_approval"
    facts = {"call_id": decision["call_id"], "args_sha256": decision["args_sha256"]}
    await admin.post(f"{path}/approve", **facts, decision="reject")
    await wait(customer, run, *ENDED)
    asked, refused = await results(customer, run)
    assert (asked["answer"], refused["status"]) == ("Friday", "rejected")


async def test_a_run_reads_its_owners_records_only(
    customer: Person, other: Person, admin: Person, card: MakeCard, model: Model
) -> None:
    await subscribe(other, admin, card)
    mark = f"bill {uuid4().hex}"
    wanted = [("read_billing", {"records": name}) for name in RECORDS]
    await model.script(calls(*wanted), match=mark)
    run = await wait(customer, await start(customer, mark), *ENDED)
    assert run["run_status"] == "completed", run
    (subscription,) = (await customer.get("subscriptions"))["items"]
    lists = {
        "subscriptions": "subscriptions",
        "invoices": f"subscriptions/{subscription['subscription_id']}/invoices",
        "payments": "payments",
    }
    for name, result in zip(RECORDS, await results(customer, run), strict=True):
        (mine,) = (await customer.get(lists[name]))["items"]
        (read,) = result[name]
        key = f"{name.removesuffix('s')}_id"
        assert read[key] == mine[key]
        assert not [field for field in read if field.startswith(("stripe", "workflow", "hosted"))]


async def test_a_cancellation_is_approved_and_made_unless_it_ends_already(
    customer: Person, admin: Person, model: Model
) -> None:
    (subscription,) = (await customer.get("subscriptions"))["items"]
    wanted = {"subscription_id": subscription["subscription_id"], "reason": "too dear"}
    conversation_id = None
    path = f"subscriptions/{subscription['subscription_id']}"
    for number, status in enumerate(("done", "already_done", "done")):
        if number == 2:  # the customer has changed their mind, and does so again
            assert (await customer.post(f"{path}/uncancel")).status_code == 200
        mark = f"leave {uuid4().hex}"
        await model.script(calls(("cancel_subscription", wanted)), match=mark)
        body: dict[str, Any] = {"agent": "support", "input": mark}
        reply = await customer.post("agent-runs", **body, conversation_id=conversation_id)
        run = await wait(customer, reply.json(), "waiting_approval")
        conversation_id = run["conversation_id"]
        (asked,) = run["pending_approvals"]
        assert asked["effect"]["ends_at"] is not None
        decide = f"agent-runs/{run['agent_run_id']}/approve"
        problem(await customer.post(decide, **answer(run, "approve")), 403, "approver_required")
        assert ((await customer.get(path))["cancel_at"] is None) is (status == "done")
        assert (await admin.post(decide, **answer(run, "approve"))).status_code == 200
        await wait(customer, run, *ENDED)
        (result,) = await results(customer, run)
        assert (result["status"], result["subscription_status"]) == (status, "active")
        assert result["cancel_at"] is not None
    told = [each["kind"] for each in (await customer.get(f"{path}/events"))["items"]]
    assert told.count("cancel_at_period_end") == 2


async def test_nobody_elses_subscription_is_canceled(
    customer: Person, admin: Person, other: Person, card: MakeCard, model: Model
) -> None:
    await subscribe(other, admin, card)
    (foreign,) = (await other.get("subscriptions"))["items"]
    mark = f"leave {uuid4().hex}"
    wanted = {"subscription_id": foreign["subscription_id"], "when": "now", "reason": "x"}
    await model.script(calls(("cancel_subscription", wanted)), match=mark)
    reply = await customer.post("agent-runs", agent="support", input=mark)
    run = await wait(customer, reply.json(), "waiting_approval")
    assert run["pending_approvals"][0]["effect"] is None
    path = f"agent-runs/{run['agent_run_id']}/approve"
    await admin.post(path, **answer(run, "approve"))
    await wait(customer, run, *ENDED)
    assert (await results(customer, run))[0]["code"] == "unknown_subscription"
    assert (await other.get("subscriptions"))["items"][0]["subscription_status"] == "active"
