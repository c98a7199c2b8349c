"""The routes of commands: each answers with the new view, or refuses with a reason."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.api.conftest import API, MakeCard, Person, make_plan, problem
from tests.api.subscriptions.test_subscriptions import add_card, subscribe, wait_status

pytestmark = pytest.mark.usefixtures("workers")


@pytest.fixture
async def active(user: Person, plan: dict[str, Any], card: MakeCard) -> str:
    """Return the path of an active subscription."""
    await add_card(user, await card("ok"))
    made = await subscribe(user, plan)
    await wait_status(user, made["subscription_id"], "active")
    return f"subscriptions/{made['subscription_id']}"


async def do(person: Person, path: str, **body: Any) -> dict[str, Any]:
    reply = await person.post(path, **body)
    assert reply.status_code == 200, reply.text
    view: dict[str, Any] = reply.json()
    assert view == await person.get(path.rpartition("/")[0]) | {"updated_at": view["updated_at"]}
    return view


async def test_an_end_is_planned_and_taken_back(user: Person, active: str) -> None:
    view = await do(user, f"{active}/cancel", mode="at_period_end")
    assert view["cancel_at"] == view["current_period_end"]
    assert (view["subscription_status"], view["access"]) == ("active", "full")
    told = await user.get(f"{active}/explain")
    assert told["next"][-1]["at"] == view["cancel_at"]
    assert "uncancel" in told["can_do"]
    assert not {"pause", "change-plan {when: at_period_end}"} & set(told["can_do"])
    refusal = problem(await user.post(f"{active}/pause"), 409, "illegal_command")
    assert view["cancel_at"][:10] in refusal["detail"]
    view = await do(user, f"{active}/uncancel")
    assert (view["cancel_at"], view["canceled_at"]) == (None, None)


async def test_a_pause_takes_access_and_resuming_gives_it_back(user: Person, active: str) -> None:
    resume_at = (datetime.now(UTC) + timedelta(days=30)).isoformat()
    view = await do(user, f"{active}/pause", resume_at=resume_at)
    assert (view["subscription_status"], view["access"]) == ("paused", "none")
    assert datetime.fromisoformat(view["resume_at"]) == datetime.fromisoformat(resume_at)
    told = await user.get(f"{active}/explain")
    assert told["next"][0]["at"] == view["resume_at"]
    reply = await user.post(f"{active}/pause")
    found = problem(reply, 409, "illegal_command")
    assert found["details"] == {"subscription_status": "paused"}
    view = await do(user, f"{active}/resume")
    assert (view["subscription_status"], view["access"], view["resume_at"]) == (
        "active",
        "full",
        None,
    )


async def test_a_pause_needs_no_body_and_a_sensible_date(user: Person, active: str) -> None:
    for when in (datetime.now(UTC) - timedelta(days=1), datetime.now(UTC) + timedelta(days=900)):
        reply = await user.post(f"{active}/pause", resume_at=when.isoformat())
        found = problem(reply, 422, "invalid_input")
        assert found["details"]["errors"][0]["field"] == "body.resume_at"
    reply = await user.post(f"{active}/pause", resume_at="2999-01-01T00:00:00")
    problem(reply, 422, "invalid_input")
    reply = await user.http.post(f"{API}/{active}/pause")
    assert (reply.status_code, reply.json()["subscription_status"]) == (200, "paused")


async def test_a_repeated_command_gets_its_first_answer(user: Person, active: str) -> None:
    key = uuid4().hex
    first = await user.post(f"{active}/cancel", key=key, mode="at_period_end")
    await user.post(f"{active}/uncancel")
    again = await user.post(f"{active}/cancel", key=key, mode="at_period_end")
    assert again.json() == first.json()
    assert (await user.get(active))["cancel_at"] is None
    reply = await user.post(f"{active}/cancel", key=key, mode="now")
    problem(reply, 409, "idempotency_key_reused")


async def test_a_cancel_with_refund_pays_unused_time_back(user: Person, active: str) -> None:
    reply = await user.post(f"{active}/cancel", mode="at_period_end", refund="unused")
    problem(reply, 422, "invalid_input")
    view = await do(user, f"{active}/cancel", mode="now", refund="unused")
    assert view["subscription_status"] == "canceled"


async def test_an_ended_subscription_is_replaced_by_a_new_one(
    user: Person, other: Person, active: str
) -> None:
    reply = await user.post(f"{active}/reactivate")
    problem(reply, 409, "illegal_command")
    await user.post(f"{active}/cancel", mode="now")
    problem(await other.post(f"{active}/reactivate"), 404, "not_found")
    key = uuid4().hex
    reply = await user.post(f"{active}/reactivate", key=key)
    assert reply.status_code == 202, reply.text
    made = reply.json()
    assert made["replaces_subscription_id"] == active.rpartition("/")[2]
    assert reply.headers["location"] == f"{API}/subscriptions/{made['subscription_id']}"
    await wait_status(user, made["subscription_id"], "active")
    again = await user.post(f"{active}/reactivate", key=key)
    assert again.json()["subscription_id"] == made["subscription_id"]
    reply = await user.post(f"{active}/reactivate")
    found = problem(reply, 409, "already_subscribed")
    assert found["details"] == {"subscription_id": made["subscription_id"]}


async def test_a_trial_is_extended_by_administrators_and_ended_by_its_customer(
    user: Person, admin: Person, card: MakeCard
) -> None:
    await add_card(user, await card("ok"))
    made = await subscribe(user, await make_plan(admin, trial_days=10))
    path = f"subscriptions/{made['subscription_id']}"
    view = await wait_status(user, made["subscription_id"], "trialing")
    trial_end = datetime.fromisoformat(view["trial_end"])
    later = (trial_end + timedelta(days=5)).isoformat()
    problem(await user.post(f"{path}/extend-trial", trial_end=later), 403, "admin_required")
    view = await do(admin, f"{path}/extend-trial", trial_end=later)
    assert datetime.fromisoformat(view["trial_end"]) == trial_end + timedelta(days=5)
    reply = await admin.post(f"{path}/extend-trial", trial_end=trial_end.isoformat())
    problem(reply, 422, "trial_end_not_later")
    view = await do(user, f"{path}/end-trial")
    assert (view["subscription_status"], view["access"]) == ("active", "full")
    problem(await user.post(f"{path}/end-trial"), 409, "illegal_command")


async def test_a_first_payment_is_confirmed(
    user: Person, plan: dict[str, Any], card: MakeCard
) -> None:
    await add_card(user, await card("authentication_required"))
    made = await subscribe(user, plan)
    path = f"subscriptions/{made['subscription_id']}"
    view = await do(user, f"{path}/confirm")
    assert (view["subscription_status"], view["access"]) == ("incomplete", "none")
    assert view["next_action_url"] is not None
    await user.post(f"{path}/cancel", mode="now")
    problem(await user.post(f"{path}/confirm"), 409, "illegal_command")
