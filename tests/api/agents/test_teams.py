"""Teams of agents through the API: each pattern on real servers, its tree, budgets and failures."""

from typing import Any
from uuid import uuid4

import pytest

from tests.api.agents.test_agent_runs import ENDED, answer, events, ingest, wait
from tests.api.agents.test_questions import calls, results
from tests.api.conftest import Person, problem, until
from tests.unit.agents.support import Model

pytestmark = pytest.mark.usefixtures("workers")

# Words of prompts, by which a script tells one agent's calls from another's.
REPORT = "You write a report about a customer's question"
TRIAGE = "You triage a customer's dispute"
HISTORY = "You find what a customer and we said"
ANALYSIS = "about the customer's own subscriptions, invoices and payments"
RESEARCH = "You answer questions of a customer from the customer's own documents"
CHART = "You get a question and the figures"
DESK = "You are the first to whom a customer talks"
SUPPORT = "You are the support desk of a company"
CHANGE = "You lead a change of code"
CODERS = "You lead two people who change code"
CODING = "You change code"
REVIEW = "You review a change of code"
NOTES = "You write a release note"


def delegate(*tasks: tuple[str, str]) -> dict[str, Any]:
    return calls(*(("delegate", {"agent": agent, "task": task}) for agent, task in tasks))


async def start(person: Person, agent: str, text: str, **more: Any) -> dict[str, Any]:
    reply = await person.post("agent-runs", agent=agent, input=text, **more)
    assert reply.status_code == 202, reply.text
    run: dict[str, Any] = reply.json()
    return run


async def ask(person: Person, agent: str, text: str, **more: Any) -> dict[str, Any]:
    return await wait(person, await start(person, agent, text, **more), *ENDED)


async def children(person: Person, run: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a run's children, oldest first."""
    listed = await person.get(f"agent-runs/{run['agent_run_id']}/children")
    found: list[dict[str, Any]] = listed["items"]
    return found[::-1]


async def test_a_supervisor_gives_tasks_at_once_and_cites_what_they_bring(
    customer: Person, model: Model
) -> None:
    facts = [
        f"The {name} leaves from platform {uuid4().int % 90 + 10}." for name in ("bus", "tram")
    ]
    ids = [await ingest(customer, fact[:8], fact) for fact in facts]
    mark = uuid4().hex
    tasks = [("research", f"Where does the {name} leave from? {mark}") for name in ("bus", "tram")]
    await model.script(delegate(*tasks), match=REPORT)
    for (_, task), fact in zip(tasks, facts, strict=True):
        await model.script({"text": f"{fact} [1]"}, match=task)
    await model.script({"text": "Bus [1] and tram [2]."}, match=REPORT)

    run = await ask(customer, "research_report", f"Where do they leave from? {mark}")

    assert (run["run_status"], run["output"]) == ("completed", "Bus [1] and tram [2]."), run
    assert (run["parent_run_id"], run["root_run_id"]) == (None, None)
    cited = [citation["document_id"] for citation in run["citations"]]
    assert sorted(cited) == sorted(ids)
    below = await children(customer, run)
    assert {child["agent"] for child in below} == {"research"}
    assert len(below) == 2
    for child in below:
        assert child["run_status"] == "completed"
        assert child["parent_run_id"] == child["root_run_id"] == run["agent_run_id"]
        told = await events(customer, child)
        assert told[-1]["kind"] == "done"
    outputs = [result["output"] for result in await results(customer, run)]
    assert [output[-3:] for output in outputs] == ["[1]", "[2]"]
    told = [each["data"] for each in await events(customer, run) if each["kind"] == "child"]
    assert [each["run_status"] for each in told].count("running") == 2
    assert [each["run_status"] for each in told].count("completed") == 2
    listed = await customer.get("agent-runs")
    assert [each["agent_run_id"] for each in listed["items"]] == [run["agent_run_id"]]
    assert len((await customer.get("conversations"))["items"]) == 1


async def test_a_pipeline_gives_each_stage_what_the_one_before_brought(
    customer: Person, model: Model
) -> None:
    mark = uuid4().hex
    await model.script({"text": f"figures {mark}: 3 and 4"}, match=ANALYSIS)
    await model.script({"text": "Three and four."}, match=CHART)
    run = await ask(customer, "data_report", f"How much? {mark}")
    assert (run["run_status"], run["output"]) == ("completed", "Three and four."), run
    first, second = await children(customer, run)
    assert (first["agent"], second["agent"]) == ("analysis", "chart_maker")
    read = str((await model.calls(f"figures {mark}"))[0]["body"])
    assert CHART in read
    assert f"How much? {mark}" in read
    assert "analysis has worked on this before you" in read
    messages = await customer.get(f"conversations/{run['conversation_id']}/messages")
    assert messages["items"][-1]["content"] == "Three and four."
    # The rules plan, so that the leader's own model is never asked.
    asked = [str(call["body"]) for call in await model.calls(mark)]
    assert not [body for body in asked if "This team answers" in body]


async def test_a_pipeline_skips_a_stage_that_failed(customer: Person, model: Model) -> None:
    await model.script({"status": 400, "message": "no"}, match=ANALYSIS)
    await model.script({"text": "Nothing is known."}, match=CHART)
    run = await ask(customer, "data_report", "How much?")
    assert (run["run_status"], run["output"]) == ("completed", "Nothing is known."), run
    first, _ = await children(customer, run)
    assert (first["run_status"], first["error"]["code"]) == ("failed", "model_rejected")


async def test_a_hub_asks_all_at_once_and_decides_by_a_quorum(
    customer: Person, model: Model
) -> None:
    mark = uuid4().hex
    await model.script({"status": 400, "message": "no"}, match=HISTORY)
    await model.script({"text": "The invoice is paid."}, match=ANALYSIS)
    await model.script({"text": "Nothing about it."}, match=RESEARCH)
    await model.script({"text": f"You are right {mark}."}, match=TRIAGE)
    run = await ask(customer, "dispute_triage", f"I never bought this {mark}")
    assert (run["run_status"], run["output"]) == ("completed", f"You are right {mark}."), run
    statuses = {each["agent"]: each["run_status"] for each in await children(customer, run)}
    done = {"analysis": "completed", "research": "completed"}
    assert statuses == done | {"case_history": "failed"}
    (call,) = [each for each in await model.calls(mark) if TRIAGE in str(each["body"])]
    assert "The invoice is paid." in str(call["body"])


async def test_a_hub_without_its_quorum_fails_by_name(customer: Person, model: Model) -> None:
    for words in (HISTORY, ANALYSIS):
        await model.script({"status": 400, "message": "no"}, match=words)
    await model.script({"text": "Nothing."}, match=RESEARCH)
    run = await ask(customer, "dispute_triage", f"I never bought this {uuid4().hex}")
    assert (run["run_status"], run["error"]["code"]) == ("failed", "quorum_not_reached"), run


async def test_peers_hand_over_until_one_answers(customer: Person, model: Model) -> None:
    mark = uuid4().hex
    task = f"wants a bill explained {mark}"
    passed = calls(("hand_over", {"agent": "support", "task": task}))
    await model.script(passed, match=DESK)
    await model.script({"text": "It is for May."}, match=SUPPORT)
    run = await ask(customer, "help_desk", f"What is this bill? {mark}")
    assert (run["run_status"], run["output"]) == ("completed", "It is for May."), run
    first, second = await children(customer, run)
    assert (first["agent"], second["agent"]) == ("front_desk", "support")
    assert first["run_status"] == "completed"
    read = str(next(c for c in await model.calls(mark) if SUPPORT in str(c["body"]))["body"])
    assert task in read
    assert f"What is this bill? {mark}" in read


async def test_peers_who_only_hand_over_are_stopped(customer: Person, model: Model) -> None:
    """After the last allowed hop the tool refuses, and the model answers itself."""
    mark = uuid4().hex
    there = calls(("hand_over", {"agent": "support", "task": f"you {mark}"}))
    back = calls(("hand_over", {"agent": "front_desk", "task": f"no, you {mark}"}))
    await model.script({**there, "repeat": 3}, match=DESK)
    await model.script({**back, "repeat": 2}, match=SUPPORT)
    await model.script({"text": "Then I answer."}, match=DESK)
    run = await ask(customer, "help_desk", f"Who answers? {mark}")
    assert (run["run_status"], run["output"]) == ("completed", "Then I answer."), run
    below = await children(customer, run)
    assert [child["agent"] for child in below] == ["front_desk", "support"] * 2 + ["front_desk"]
    (refused,) = await results(customer, below[-1])
    assert (refused["status"], refused["code"]) == ("failed", "not_delegated")
    assert "too often" in refused["message"]


async def test_teams_are_nested_and_told_as_a_tree(customer: Person, model: Model) -> None:
    mark = uuid4().hex
    await model.script(delegate(("coding_team", f"mend it {mark}")), match=CHANGE)
    await model.script(delegate(("coding", f"write it {mark}")), match=CODERS)
    await model.script({"text": "print(1)"}, match=f"write it {mark}")
    await model.script({"text": "It prints 1."}, match=CODERS)
    await model.script({"text": "Released."}, match=CHANGE)
    run = await ask(customer, "code_change", f"Make it print 1 {mark}")
    assert (run["run_status"], run["output"]) == ("completed", "Released."), run
    (team,) = await children(customer, run)
    (coder,) = await children(customer, team)
    assert (team["agent"], coder["agent"]) == ("coding_team", "coding")
    assert coder["parent_run_id"] == team["agent_run_id"]
    assert coder["root_run_id"] == team["root_run_id"] == run["agent_run_id"]
    assert coder["output"] == "print(1)"


async def test_a_model_that_names_nobody_is_told_whom_there_is(
    customer: Person, model: Model
) -> None:
    await model.script(delegate(("nobody", "do it")), match=REPORT)
    await model.script({"text": "Alone then."}, match=REPORT)
    run = await ask(customer, "research_report", uuid4().hex)
    assert run["output"] == "Alone then.", run
    (result,) = await results(customer, run)
    assert (result["status"], result["code"]) == ("failed", "not_delegated")
    assert "research" in result["message"]
    assert await children(customer, run) == []


async def test_no_more_tasks_than_the_team_allows(customer: Person, model: Model) -> None:
    mark = uuid4().hex
    tasks = [("research", f"part {number} {mark}") for number in range(12)]
    await model.script(delegate(*tasks), match=REPORT)
    await model.script({"text": "Enough."}, match=REPORT)
    run = await ask(customer, "research_report", f"Everything? {mark}")
    assert run["output"] == "Enough.", run
    listed = await customer.get(f"agent-runs/{run['agent_run_id']}/children", limit=50)
    assert len(listed["items"]) == 10
    codes = [result.get("code") for result in await results(customer, run)]
    assert codes.count("not_delegated") == 2


async def test_all_runs_of_a_team_share_the_budget_of_the_first(
    customer: Person, model: Model
) -> None:
    mark = uuid4().hex
    tasks = [("research", f"part {number} {mark}") for number in range(3)]
    await model.script(delegate(*tasks), match=REPORT)
    budget = {"token_count": 5_000}
    run = await ask(customer, "research_report", f"All of it? {mark}", budget=budget)
    below = await children(customer, run)
    everything = [run, *below]
    used = sum(
        each["usage"]["prompt_tokens"] + each["usage"]["completion_tokens"] for each in everything
    )
    assert used <= budget["token_count"], everything
    assert "budget_exceeded" in {each["run_status"] for each in everything}
    assert run["run_status"] in {"completed", "budget_exceeded"}


async def test_a_cancel_takes_the_children_along(customer: Person, model: Model) -> None:
    mark = uuid4().hex
    tasks = [("research", f"part {number} {mark}") for number in range(2)]
    await model.script(delegate(*tasks), match=REPORT)
    await model.script({"text": "long " * 400, "token_seconds": 0.2, "repeat": 2}, match=f" {mark}")
    run = await start(customer, "research_report", f"All? {mark}")

    async def work() -> bool:
        return len(await children(customer, run)) == 2

    await until(work)
    reply = await customer.post(f"agent-runs/{run['agent_run_id']}/cancel")
    assert reply.status_code == 200, reply.text
    assert reply.json()["run_status"] == "canceled"
    for child in await children(customer, run):
        assert child["run_status"] == "canceled"


async def test_an_approval_in_a_child_is_shown_at_the_top_and_a_refund_is_made_once(
    customer: Person, admin: Person, model: Model
) -> None:
    """Two runs of one team ask for the same refund: their effects have one business key."""
    (payment,) = (await customer.get("payments"))["items"]
    wanted = {"payment_id": payment["payment_id"], "amount_cents": 100, "reason": "late"}
    mark = uuid4().hex
    refund = calls(("refund_payment", wanted))
    await model.script(refund, match=SUPPORT)
    back = calls(("hand_over", {"agent": "front_desk", "task": "ask once more"}))
    await model.script(back, match=SUPPORT)
    there = calls(("hand_over", {"agent": "support", "task": f"refund it {mark}"}))
    await model.script({**there, "repeat": 2}, match=DESK)
    await model.script(refund, match=SUPPORT)
    await model.script({"text": "Done."}, match=SUPPORT)
    run = await start(customer, "help_desk", f"I want my money back {mark}")
    seen: set[str] = set()
    for _ in range(2):

        async def waiting() -> dict[str, Any] | None:
            shown = await customer.get(f"agent-runs/{run['agent_run_id']}")
            found = [each for each in shown["pending_approvals"] if each["call_id"] not in seen]
            return found[0] if found else None

        pending: dict[str, Any] = await until(waiting)
        seen.add(pending["call_id"])
        child = {"agent_run_id": pending["agent_run_id"], "pending_approvals": [pending]}
        assert child["agent_run_id"] != run["agent_run_id"]
        decided = await admin.post(
            f"agent-runs/{pending['agent_run_id']}/approve", **answer(child, "approve")
        )
        assert decided.status_code == 200, decided.text
    ended = await wait(customer, run, *ENDED)
    assert (ended["run_status"], ended["output"]) == ("completed", "Done."), ended
    (payment,) = (await customer.get("payments"))["items"]
    assert payment["refunded_cents"] == 100


async def test_a_stranger_sees_no_children(customer: Person, other: Person, model: Model) -> None:
    mark = uuid4().hex
    await model.script({"text": "a"}, match=ANALYSIS)
    await model.script({"text": "b"}, match=CHART)
    run = await ask(customer, "data_report", mark)
    path = f"/api/v1/agent-runs/{run['agent_run_id']}/children"
    problem(await other.http.get(path), 404, "not_found")
    for child in await children(customer, run):
        path = f"/api/v1/agent-runs/{child['agent_run_id']}"
        problem(await other.http.get(path), 404, "not_found")
