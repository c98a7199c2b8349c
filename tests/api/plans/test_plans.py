"""What can be subscribed to."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from tests.api.conftest import API, Person, make_plan, problem

pytestmark = pytest.mark.usefixtures("workers")
BODY: dict[str, Any] = {
    "name": "Pro",
    "amount_cents": 900,
    "currency_code": "eur",
    "interval": "year",
}


async def test_a_plan_is_made_with_product_and_price(admin: Person, plan: dict[str, Any]) -> None:
    assert plan["stripe_product_id"].startswith("prod_")
    assert plan["stripe_price_id"].startswith("price_")
    assert (plan["interval_count"], plan["trial_days"], plan["is_active"]) == (1, 0, True)
    assert (plan["features"], plan["limits"], plan["retry_policy"]) == ({}, {}, "default")
    assert await admin.get(f"plans/{plan['plan_id']}") == plan


async def test_a_plan_takes_over_a_price_of_stripe(admin: Person, plan: dict[str, Any]) -> None:
    body = {name: plan[name] for name in ("name", "amount_cents", "currency_code", "interval")}
    body |= {"stripe_price_id": plan["stripe_price_id"], "code": f"plan-{uuid4().hex[:8]}"}
    reply = await admin.post("plans", **body)
    assert reply.status_code == 201, reply.text
    taken = reply.json()
    for name in ("stripe_price_id", "stripe_product_id", "amount_cents"):
        assert taken[name] == plan[name]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"amount_cents": 1}, "another amount_cents"),
        ({"currency_code": "eur", "interval": "year"}, "another currency_code, interval"),
        ({"interval_count": 2}, "another interval_count"),
        ({"stripe_price_id": "price_of_nobody"}, "no such price"),
    ],
)
async def test_a_price_that_is_another_one_is_not_taken_over(
    admin: Person, plan: dict[str, Any], change: dict[str, Any], message: str
) -> None:
    body = {name: plan[name] for name in ("name", "amount_cents", "currency_code", "interval")}
    body |= {"stripe_price_id": plan["stripe_price_id"], "code": f"plan-{uuid4().hex[:8]}"}
    reply = await admin.post("plans", **(body | change))
    assert message in problem(reply, 422, "invalid_input")["detail"]


async def test_the_answer_says_where_the_plan_is(admin: Person) -> None:
    code = f"plan-{uuid4().hex[:8]}"
    reply = await admin.post("plans", code=code, **BODY)
    assert reply.headers["location"] == f"{API}/plans/{reply.json()['plan_id']}"


async def test_twins_make_one_plan(admin: Person) -> None:
    body = {"code": f"plan-{uuid4().hex[:8]}", **BODY}
    key = uuid4().hex
    replies = await asyncio.gather(*[admin.post("plans", key=key, **body) for _ in range(3)])
    assert {reply.status_code for reply in replies} == {201}
    assert len({reply.json()["plan_id"] for reply in replies}) == 1


async def test_a_code_is_taken_once(admin: Person, plan: dict[str, Any]) -> None:
    body = BODY | {"code": plan["code"]}
    problem(await admin.post("plans", **body), 409, "plan_code_taken")


async def test_two_that_want_the_same_code_at_once(admin: Person) -> None:
    body = {"code": f"plan-{uuid4().hex[:8]}", **BODY}
    replies = await asyncio.gather(*[admin.post("plans", **body) for _ in range(3)])
    assert sorted(reply.status_code for reply in replies) == [201, 409, 409]
    for reply in replies:
        if reply.status_code == 409:
            problem(reply, 409, "plan_code_taken")


async def test_a_new_amount_makes_a_new_price(admin: Person, plan: dict[str, Any]) -> None:
    path = f"{API}/plans/{plan['plan_id']}"
    limits = {"token_count": 5, "cost_cents": {"count": 7, "per": "hour"}}
    change = {"amount_cents": 3900, "limits": limits, "is_active": False}
    changed = (await admin.http.patch(path, json=change)).json()
    assert changed["stripe_price_id"] != plan["stripe_price_id"]
    assert changed["stripe_product_id"] == plan["stripe_product_id"]
    assert changed == await admin.get(f"plans/{plan['plan_id']}")
    assert {name: changed[name] for name in change} == change
    renamed = (await admin.http.patch(path, json={"name": "Other"})).json()
    assert renamed["stripe_price_id"] == changed["stripe_price_id"]
    assert (renamed["name"], renamed["amount_cents"]) == ("Other", 3900)


async def test_pages_hold_every_plan_once_newest_first(admin: Person) -> None:
    made = [(await make_plan(admin))["plan_id"] for _ in range(3)]
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = await admin.get("plans", limit=2, is_active=True, **cursor)
        seen += [item["plan_id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert len(seen) == len(set(seen))
    assert seen[:3] == made[::-1]


@pytest.mark.parametrize("params", [{"cursor": "echo-me"}, {"limit": 0}, {"limit": 201}])
async def test_a_list_that_cannot_be_is_refused(user: Person, params: dict[str, Any]) -> None:
    reply = await user.http.get(f"{API}/plans", params=params)
    assert reply.status_code == 422
    assert "echo-me" not in reply.text


@pytest.mark.parametrize(
    "change",
    [
        {"amount_cents": -1},
        {"currency_code": "echo-me"},
        {"currency_code": "xxx"},
        {"currency_code": "xau"},
        {"currency_code": "EUR"},
        {"interval": "echo-me"},
        {"interval_count": 0},
        {"features": {"support": 5}},
        {"limits": {"echo_me": 5}},
        {"limits": {"token_count": -5}},
        {"limits": {"token_count": {"count": 5, "per": "echo-me"}}},
        {"limits": {"token_count": {"count": 5}}},
        {"code": "echo me"},
        {"echo-me": 1},
    ],
)
async def test_a_plan_that_cannot_be_is_refused(admin: Person, change: dict[str, Any]) -> None:
    reply = await admin.post("plans", **({"code": "bad", **BODY} | change))
    problem(reply, 422, "invalid_input")
    assert "echo" not in reply.text


async def test_a_policy_must_exist(admin: Person, plan: dict[str, Any]) -> None:
    reply = await admin.post("plans", code="bad", retry_policy="unknown", **BODY)
    problem(reply, 422, "unknown_retry_policy")
    path = f"{API}/plans/{plan['plan_id']}"
    reply = await admin.http.patch(path, json={"retry_policy": "unknown"})
    problem(reply, 422, "unknown_retry_policy")


async def test_only_administrators_make_and_change(user: Person, plan: dict[str, Any]) -> None:
    problem(await user.post("plans", code="mine", **BODY), 403, "admin_required")
    reply = await user.http.patch(f"{API}/plans/{plan['plan_id']}", json={"amount_cents": 1})
    problem(reply, 403, "admin_required")


async def test_an_unknown_plan_is_not_found(admin: Person) -> None:
    path = f"{API}/plans/{uuid4()}"
    problem(await admin.http.get(path), 404, "not_found")
    problem(await admin.http.patch(path, json={"amount_cents": 1}), 404, "not_found")
    problem(await admin.http.get(f"{API}/plans/echo-me"), 422, "invalid_input")


@pytest.mark.parametrize(
    ("interval", "most"), [("day", 1_095), ("week", 156), ("month", 36), ("year", 3)]
)
async def test_a_plan_recurs_every_three_years_at_least(
    admin: Person, interval: str, most: int
) -> None:
    made = await make_plan(admin, interval=interval, interval_count=most)
    assert made["interval_count"] == most
    body = BODY | {"code": f"plan-{uuid4().hex[:8]}", "interval": interval}
    reply = await admin.post("plans", **body, interval_count=most + 1)
    (fault,) = problem(reply, 422, "invalid_input")["details"]["errors"]
    assert fault["field"] == "body.interval_count"
