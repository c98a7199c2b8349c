"""The tool `change_plan`: what a person approved is what the subscription becomes, once."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest

from tests.api.agents.test_agent_runs import ENDED, answer, wait
from tests.api.agents.test_questions import calls, results
from tests.api.conftest import API, MakeCard, Person, make_plan, problem, subscribe
from tests.unit.agents.support import Model

pytestmark = pytest.mark.usefixtures("workers")
Ask = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
async def subscription(customer: Person) -> dict[str, Any]:
    """The subscription of the customer."""
    (subscription,) = (await customer.get("subscriptions"))["items"]
    found: dict[str, Any] = subscription
    return found


@pytest.fixture
def ask(customer: Person, model: Model, subscription: dict[str, Any]) -> Ask:
    """Return a function that lets a run ask for a change, up to its approval."""

    async def start(**wanted: Any) -> dict[str, Any]:
        mark = f"switch {uuid4().hex}"
        arguments = {"subscription_id": subscription["subscription_id"], "reason": "more"} | wanted
        await model.script(calls(("change_plan", arguments)), match=mark)
        reply = await customer.post("agent-runs", agent="support", input=mark)
        return await wait(customer, reply.json(), "waiting_approval")

    return start


async def decide(customer: Person, admin: Person, run: dict[str, Any]) -> dict[str, Any]:
    """Approve the call as an administrator, and return its result."""
    path = f"agent-runs/{run['agent_run_id']}/approve"
    problem(await customer.post(path, **answer(run, "approve")), 403, "approver_required")
    assert (await admin.post(path, **answer(run, "approve"))).status_code == 200
    ended = await wait(customer, run, *ENDED)
    assert ended["run_status"] == "completed", ended
    (result,) = await results(customer, run)
    return result


async def test_a_change_at_the_end_of_the_period_waits_once(
    customer: Person, admin: Person, subscription: dict[str, Any], ask: Ask
) -> None:
    plan = await make_plan(admin, amount_cents=4_900)
    path = f"subscriptions/{subscription['subscription_id']}"
    for status in ("done", "already_done"):
        run = await ask(plan_id=plan["plan_id"], quantity=2)
        (asked,) = run["pending_approvals"]
        effect = asked["effect"]
        assert (effect["when"], effect["before"]["amount_cents"]) == ("at_period_end", 2_900)
        assert (effect["after"]["amount_cents"], effect["after"]["quantity"]) == (9_800, 2)
        assert effect["after"]["plan_name"] == plan["name"]
        result = await decide(customer, admin, run)
        assert (result["status"], result["plan_id"]) == (status, subscription["plan_id"])
        waiting = (await customer.get(path))["scheduled_change"]
        assert (waiting["plan_id"], waiting["quantity"]) == (plan["plan_id"], 2)
    told = [each["kind"] for each in (await customer.get(f"{path}/events"))["items"]]
    assert told.count("schedule_change") == 1


async def test_a_change_at_once_is_charged_once_and_drops_the_one_that_waits(
    customer: Person, admin: Person, subscription: dict[str, Any], ask: Ask
) -> None:
    path = f"subscriptions/{subscription['subscription_id']}"
    await decide(customer, admin, await ask(quantity=3))
    assert (await customer.get(path))["scheduled_change"]["quantity"] == 3
    result = await decide(customer, admin, await ask(quantity=2, when="now"))
    assert (result["status"], result["quantity"]) == ("done", 2)
    changed = await customer.get(path)
    assert (changed["quantity"], changed["scheduled_change"]) == (2, None)
    again = await decide(customer, admin, await ask(quantity=2, when="now"))
    assert again["status"] == "already_done"
    invoices = (await customer.get(f"{path}/invoices"))["items"]
    assert len(invoices) == 2, "the first period, and one difference"


async def test_a_change_that_is_not_paid_changes_nothing(
    customer: Person, admin: Person, card: MakeCard, subscription: dict[str, Any], ask: Ask
) -> None:
    path = f"subscriptions/{subscription['subscription_id']}"
    declined = await card("insufficient_funds")
    added = await customer.post(
        "payment-methods", stripe_payment_method_id=declined, is_default=True
    )
    assert added.status_code == 201, added.text
    result = await decide(customer, admin, await ask(quantity=5, when="now"))
    assert (result["status"], result["code"]) == ("failed", "payment_failed")
    assert (await customer.get(path))["quantity"] == 1


async def test_a_price_that_changed_since_the_approval_was_asked_is_refused(
    customer: Person, admin: Person, subscription: dict[str, Any], ask: Ask
) -> None:
    plan = await make_plan(admin, amount_cents=4_900)
    run = await ask(plan_id=plan["plan_id"])
    path = f"{API}/plans/{plan['plan_id']}"
    dearer = await admin.http.patch(path, json={"amount_cents": 9_900})
    assert dearer.status_code == 200, dearer.text
    result = await decide(customer, admin, run)
    assert (result["status"], result["code"]) == ("failed", "price_changed")
    path = f"subscriptions/{subscription['subscription_id']}"
    assert (await customer.get(path))["scheduled_change"] is None


async def test_nobody_elses_subscription_is_changed(
    customer: Person, admin: Person, other: Person, card: MakeCard, ask: Ask
) -> None:
    await subscribe(other, admin, card)
    (foreign,) = (await other.get("subscriptions"))["items"]
    run = await ask(subscription_id=foreign["subscription_id"], quantity=9, when="now")
    assert run["pending_approvals"][0]["effect"] is None
    result = await decide(customer, admin, run)
    assert result["code"] == "unknown_subscription"
    assert (await other.get("subscriptions"))["items"][0]["quantity"] == 1


async def test_a_plan_that_is_not_on_sale_is_an_error_that_the_model_reads(
    customer: Person, admin: Person, ask: Ask
) -> None:
    run = await ask(plan_id=str(uuid4()))
    assert run["pending_approvals"][0]["effect"] is None
    assert (await decide(customer, admin, run))["code"] == "not_found"


async def test_the_plans_on_sale_are_read(customer: Person, admin: Person, model: Model) -> None:
    plan = await make_plan(admin, amount_cents=4_900)
    mark = f"plans {uuid4().hex}"
    await model.script(calls(("read_billing", {"records": "plans", "limit": 50})), match=mark)
    reply = await customer.post("agent-runs", agent="support", input=mark)
    run = await wait(customer, reply.json(), *ENDED)
    (result,) = await results(customer, run)
    (read,) = [each for each in result["plans"] if each["plan_id"] == plan["plan_id"]]
    assert (read["name"], read["amount_cents"]) == (plan["name"], 4_900)
    assert not [field for field in read if field.startswith("stripe")]
