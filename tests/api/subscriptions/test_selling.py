"""The rules of selling: one of a plan, one currency, one trial; administrators may give more."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import pytest

from activities.subscriptions.subscriptions import SubscriptionRowActivities
from activities.subscriptions.subscriptions import _insert as insert_row
from api.schemas.subscriptions import NewSubscription
from api.starters.selling import Buyer, resolve_subscription
from database.session import Sessions
from database.subscriptions.models import Subscription
from domain.errors import ConflictError
from domain.subscriptions.messages import SubscriptionRequest
from domain.subscriptions.steps import OpenInput
from tests.api.conftest import Person, make_plan, problem, until
from tests.api.support import add_subscription

pytestmark = pytest.mark.usefixtures("workers")
MakeCard = Callable[..., Awaitable[str]]


async def add_card(person: Person, name: str) -> None:
    body: dict[str, Any] = {"stripe_payment_method_id": name, "is_default": True}
    assert (await person.post("payment-methods", **body)).status_code == 201


async def subscribe(person: Person, plan: dict[str, Any], **extra: Any) -> dict[str, Any]:
    reply = await person.post("subscriptions", plan_id=plan["plan_id"], **extra)
    assert reply.status_code == 202, reply.text
    made: dict[str, Any] = reply.json()
    return await reach(person, made, "active", "trialing")


async def reach(person: Person, made: dict[str, Any], *statuses: str) -> dict[str, Any]:
    async def read() -> Any:
        seen = await person.get(f"subscriptions/{made['subscription_id']}")
        return seen if seen["subscription_status"] in statuses else None

    seen: dict[str, Any] = await until(read)
    return seen


async def cancel(person: Person, made: dict[str, Any]) -> None:
    reply = await person.post(f"subscriptions/{made['subscription_id']}/cancel", mode="now")
    assert reply.status_code == 200, reply.text


async def test_a_plan_is_had_once_until_it_ends(
    user: Person, plan: dict[str, Any], card: MakeCard
) -> None:
    await add_card(user, await card("ok"))
    made = await subscribe(user, plan)
    body = problem(
        await user.post("subscriptions", plan_id=plan["plan_id"]), 409, "already_subscribed"
    )
    assert body["details"] == {"subscription_id": made["subscription_id"]}
    await cancel(user, made)
    await subscribe(user, plan)


async def test_a_row_of_the_same_request_does_not_refuse_it(
    user: Person, sessions: Sessions
) -> None:
    """A second try of the request may find the row that the first one has written meanwhile."""
    buyer = Buyer(user_id=user.user_id, is_admin=False)
    row_id = await add_subscription(sessions, user.user_id)
    async with sessions() as session:
        row = await session.get_one(Subscription, row_id)
    wanted = NewSubscription(plan_id=row.plan_id)
    request, _ = await resolve_subscription(sessions, row_id, buyer, wanted)
    assert request.plan_id == row.plan_id
    with pytest.raises(ConflictError):
        await resolve_subscription(sessions, uuid4(), buyer, wanted)


async def test_of_twins_in_parallel_one_subscribes(
    user: Person, plan: dict[str, Any], card: MakeCard
) -> None:
    await add_card(user, await card("ok"))
    replies = await asyncio.gather(
        *[user.post("subscriptions", plan_id=plan["plan_id"]) for _ in range(4)]
    )
    assert sorted(reply.status_code for reply in replies) == [202, 409, 409, 409]
    for reply in replies:
        if reply.status_code == 409:
            problem(reply, 409, "already_subscribed")


async def test_of_two_currencies_in_parallel_one_is_billed(
    admin: Person, user: Person, card: MakeCard
) -> None:
    await add_card(user, await card("ok"))
    plans = [await make_plan(admin, currency_code=code) for code in ("usd", "eur") * 2]
    replies = await asyncio.gather(
        *[user.post("subscriptions", plan_id=plan["plan_id"]) for plan in plans]
    )
    taken = {
        plan["currency_code"]
        for plan, reply in zip(plans, replies, strict=True)
        if reply.status_code == 202
    }
    assert len(taken) == 1, [reply.text for reply in replies]
    for plan, reply in zip(plans, replies, strict=True):
        if plan["currency_code"] not in taken:
            body = problem(reply, 409, "currency_mismatch")
            wanted = {"currency_code": taken.copy().pop()}
            assert body["details"] == wanted | {"plan_currency_code": plan["currency_code"]}
        else:
            assert reply.status_code == 202, reply.text


async def test_of_trials_in_parallel_a_user_has_one(
    admin: Person, user: Person, card: MakeCard
) -> None:
    await add_card(user, await card("ok"))
    plan = await make_plan(admin, is_stackable=True, trial_days=10)
    made = await asyncio.gather(*[subscribe(user, plan) for _ in range(3)])
    statuses = sorted(each["subscription_status"] for each in made)
    assert statuses == ["active", "active", "trialing"]


async def test_of_trials_in_parallel_a_card_has_one(
    admin: Person, user: Person, other: Person
) -> None:
    plan = await make_plan(admin, trial_days=10, is_trial_once_per_card=True)
    for person in (user, other):
        await add_card(person, "pm_card_mastercard")
    made = await asyncio.gather(*[subscribe(person, plan) for person in (user, other)])
    assert sorted(each["subscription_status"] for each in made) == ["active", "trialing"]


@pytest.mark.parametrize(
    ("amount_cents", "quantity", "is_taken"),
    [(99_999_999, 1, True), (99_999_999, 2, False), (100, 1_000_000, False), (0, 1_000_000, True)],
)
async def test_an_order_costs_no_more_than_stripe_charges(
    admin: Person, user: Person, amount_cents: int, quantity: int, is_taken: bool
) -> None:
    plan = await make_plan(admin, amount_cents=amount_cents)
    reply = await user.post("subscriptions", plan_id=plan["plan_id"], quantity=quantity)
    if is_taken:
        assert reply.status_code == 202, reply.text
        return
    body = problem(reply, 422, "invalid_input")
    (error,) = body["details"]["errors"]
    assert error["field"] == "body.quantity"
    assert (await user.get("subscriptions"))["items"] == []


async def test_a_refusal_is_the_same_for_the_same_key(
    user: Person, plan: dict[str, Any], card: MakeCard
) -> None:
    await add_card(user, await card("ok"))
    made = await subscribe(user, plan)
    first = await user.post("subscriptions", key="again", plan_id=plan["plan_id"])
    await cancel(user, made)
    second = await user.post("subscriptions", key="again", plan_id=plan["plan_id"])
    assert (first.status_code, first.json()) == (second.status_code, second.json())


async def test_a_stackable_plan_is_had_often_and_brings_its_limits_once(
    admin: Person, user: Person, card: MakeCard
) -> None:
    await add_card(user, await card("ok"))
    plan = await make_plan(admin, is_stackable=True, limits={"agent_run_count": 10})
    assert plan["is_stackable"] is True
    for _ in range(2):
        await subscribe(user, plan)
    assert (await user.get("entitlements"))["limits"] == {"agent_run_count": 10}


async def test_a_customer_is_billed_in_one_currency(
    admin: Person, user: Person, plan: dict[str, Any], card: MakeCard
) -> None:
    await add_card(user, await card("ok"))
    await subscribe(user, plan)
    foreign = await make_plan(admin, currency_code="eur")
    reply = await user.post("subscriptions", plan_id=foreign["plan_id"])
    body = problem(reply, 409, "currency_mismatch")
    assert body["details"] == {"currency_code": "usd", "plan_currency_code": "eur"}


@pytest.mark.parametrize(("of_plan", "asked"), [(0, 1), (0, 730), (14, 15)])
async def test_a_user_takes_no_longer_trial_than_the_plan_gives(
    admin: Person, user: Person, of_plan: int, asked: int
) -> None:
    plan = await make_plan(admin, trial_days=of_plan)
    reply = await user.post("subscriptions", plan_id=plan["plan_id"], trial_days=asked)
    problem(reply, 403, "admin_required")


async def test_an_administrator_gives_any_trial_and_again(
    admin: Person, user: Person, plan: dict[str, Any]
) -> None:
    for _ in range(2):
        given = {"plan_id": plan["plan_id"], "trial_days": 30, "user_id": str(user.user_id)}
        reply = await admin.post("subscriptions", **given)
        made = await reach(user, reply.json(), "trialing")
        await cancel(user, made)


async def test_a_trial_is_had_once_per_plan(admin: Person, user: Person, card: MakeCard) -> None:
    await add_card(user, await card("ok"))
    plan = await make_plan(admin, trial_days=10)
    first = await subscribe(user, plan)
    assert first["trial_end"] is not None
    await cancel(user, first)
    second = await subscribe(user, plan)
    assert (second["subscription_status"], second["trial_end"]) == ("active", None)
    other = await make_plan(admin, trial_days=10)
    assert (await subscribe(user, other))["trial_end"] is not None


async def test_who_wants_no_trial_pays_at_once(admin: Person, user: Person, card: MakeCard) -> None:
    await add_card(user, await card("ok"))
    plan = await make_plan(admin, trial_days=10)
    made = await subscribe(user, plan, trial_days=0)
    assert (made["subscription_status"], made["trial_end"]) == ("active", None)


@pytest.mark.parametrize("is_once_per_card", [True, False])
async def test_a_card_has_one_trial_if_the_plan_says_so(
    admin: Person, user: Person, other: Person, is_once_per_card: bool
) -> None:
    plan = await make_plan(admin, trial_days=10, is_trial_once_per_card=is_once_per_card)
    for person in (user, other):
        await add_card(person, "pm_card_visa")  # Stripe's test card: the same number each time
    await subscribe(user, plan)
    made = await subscribe(other, plan)
    assert made["subscription_status"] == ("active" if is_once_per_card else "trialing")


async def test_a_start_waits_for_another_one_with_the_same_card(
    admin: Person, user: Person, other: Person, sessions: Sessions
) -> None:
    plan = await make_plan(admin, trial_days=10, is_trial_once_per_card=True)

    def opening_of(person: Person) -> OpenInput:
        request = SubscriptionRequest(
            user_id=person.user_id,
            plan_id=UUID(plan["plan_id"]),
            stripe_price_id=plan["stripe_price_id"],
            trial_days=10,
            is_trial_once_per_card=True,
            has_card=True,
            card_fingerprint=f"card of {user.email}",
        )
        return OpenInput(subscription_id=uuid4(), request=request)

    first, second = opening_of(user), opening_of(other)
    opening = SubscriptionRowActivities(sessions).open_subscription
    async with sessions.begin() as session:
        assert first.request is not None
        await insert_row(session, first.subscription_id, first.request)
        late = asyncio.create_task(opening(second))
        done, _ = await asyncio.wait([late], timeout=0.5)
        assert not done
    await late
    async with sessions() as session:
        rows = [
            await session.get_one(Subscription, each.subscription_id) for each in (first, second)
        ]
    assert [row.trial_days for row in rows] == [10, 0]
