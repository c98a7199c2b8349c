"""The inbox of approvals: who sees and decides what, by delegation and with other arguments."""

from typing import Any
from uuid import uuid4

import pytest

from config import Settings
from tests.api.agents.test_agent_runs import (
    ENDED,
    answer,
    events,
    pay,
    refunds,
    wait,
    wants_refund,
)
from tests.api.conftest import MakeCard, Person, problem

pytestmark = pytest.mark.usefixtures("workers")


async def inbox(person: Person, run: dict[str, Any], **query: str) -> list[dict[str, Any]]:
    """Return what a person's inbox shows of a run."""
    items: list[dict[str, Any]] = (await person.get("approvals", limit="100", **query))["items"]
    return [each for each in items if each["agent_run_id"] == run["agent_run_id"]]


async def result_of(person: Person, run: dict[str, Any]) -> dict[str, Any]:
    steps = await person.get(f"agent-runs/{run['agent_run_id']}/steps")
    result: dict[str, Any] = steps["items"][0]["tool_calls"][0]["result"]
    return result


async def test_the_inbox_shows_what_waits_and_what_was_decided(
    customer: Person, admin: Person, other: Person, card: MakeCard
) -> None:
    payment = await pay(customer, card)
    run = await wants_refund(customer, payment)
    (asked,) = run["pending_approvals"]
    (mine,) = await inbox(customer, run)
    (shown,) = await inbox(admin, run, approval_status="pending")
    assert mine == shown == await admin.get(f"approvals/{shown['approval_id']}")
    for name in ("call_id", "tool", "arguments", "args_sha256", "approver_role", "expires_at"):
        assert shown[name] == asked[name]
    assert (shown["preview"], shown["user_id"]) == (asked["effect"], payment["user_id"])
    assert (shown["delegated_to"], shown["decided_by"]) == (None, None)
    assert await inbox(other, run) == []
    problem(await other.http.get(f"/api/v1/approvals/{shown['approval_id']}"), 404, "not_found")
    path = f"agent-runs/{run['agent_run_id']}/approve"
    await admin.post(path, **answer(run, "reject", reason="on time"))
    assert await inbox(admin, run, approval_status="pending") == []
    (decided,) = await inbox(customer, run, approval_status="rejected")
    assert decided["reason"] == "on time"
    assert decided["decided_by"] is not None
    await wait(customer, run, *ENDED)


async def test_a_delegate_decides_and_nobody_else(
    customer: Person, admin: Person, other: Person, card: MakeCard, settings: Settings
) -> None:
    payment = await pay(customer, card)
    run = await wants_refund(customer, payment)
    (shown,) = await inbox(admin, run)
    decide = f"agent-runs/{run['agent_run_id']}/approve"
    delegate = f"approvals/{shown['approval_id']}/delegate"
    other_id = (await other.get("users/me"))["user_id"]
    problem(await other.post(decide, **answer(run, "approve")), 404, "not_found")
    problem(await customer.post(delegate, user_id=other_id), 403, "admin_required")
    problem(await admin.post(delegate, user_id=str(uuid4())), 404, "not_found")

    delegated = await admin.post(delegate, user_id=other_id)
    assert delegated.status_code == 200, delegated.text
    assert delegated.json()["delegated_to"] == other_id
    assert await inbox(other, run, approval_status="pending") == [delegated.json()]
    problem(await customer.post(decide, **answer(run, "approve")), 403, "approver_required")
    made = await other.post(decide, **answer(run, "approve"))
    assert made.status_code == 200, made.text
    await wait(customer, run, *ENDED)
    assert len(await refunds(settings, payment)) == 1
    (decided,) = await inbox(admin, run)
    assert (decided["approval_status"], decided["decided_by"]) == ("approved", other_id)
    problem(await admin.post(delegate, user_id=other_id), 409, "approval_closed")


async def test_an_approver_may_change_the_arguments(
    customer: Person, admin: Person, card: MakeCard, settings: Settings
) -> None:
    payment = await pay(customer, card)
    run = await wants_refund(customer, payment)
    (asked,) = run["pending_approvals"]
    path = f"agent-runs/{run['agent_run_id']}/approve"
    less = asked["arguments"] | {"amount_cents": 500}
    nothing = answer(run, "approve", arguments=less | {"amount_cents": 0})
    problem(await admin.post(path, **nothing), 422, "invalid_arguments")
    unknown = answer(run, "approve", arguments=less | {"currency": "usd"})
    problem(await admin.post(path, **unknown), 422, "invalid_arguments")
    refused = answer(run, "reject", arguments=less)
    assert (await admin.post(path, **refused)).status_code == 422
    long = answer(run, "approve", arguments=less | {"reason": "x" * 20_000})
    assert (await admin.post(path, **long)).status_code == 422

    made = await admin.post(path, **answer(run, "approve", arguments=less))
    assert made.status_code == 200, made.text
    digest = made.json()["args_sha256"]
    assert digest != asked["args_sha256"]
    done = await wait(customer, run, *ENDED)
    assert [each["amount"] for each in await refunds(settings, payment)] == [500]
    result = await result_of(customer, run)
    assert (result["status"], result["edited_arguments"]["amount_cents"]) == ("done", 500)
    (decided,) = await inbox(admin, run)
    assert (decided["arguments"], decided["args_sha256"]) == (less, digest)
    assert decided["asked_arguments"] == asked["arguments"]
    assert decided["preview"]["amount_cents"] == 500
    told = [each for each in await events(customer, done) if each["kind"] == "approval_decided"]
    assert told[0]["data"]["args_sha256"] == digest

    again = await admin.post(path, **answer(run, "approve", arguments=less))
    assert (again.status_code, again.json()["args_sha256"]) == (200, digest)
    problem(await admin.post(path, **answer(run, "approve")), 409, "args_digest_mismatch")


async def test_nobody_edits_a_refund_of_somebody_elses_payment(
    customer: Person, admin: Person, card: MakeCard, settings: Settings
) -> None:
    payment = await pay(customer, card)
    foreign = await pay(admin, card)
    run = await wants_refund(customer, payment)
    (asked,) = run["pending_approvals"]
    path = f"agent-runs/{run['agent_run_id']}/approve"
    other = asked["arguments"] | {"payment_id": foreign["payment_id"]}
    assert (await admin.post(path, **answer(run, "approve", arguments=other))).status_code == 200
    await wait(customer, run, *ENDED)
    assert (await result_of(customer, run))["code"] == "unknown_payment"
    assert await refunds(settings, foreign) == await refunds(settings, payment) == []
