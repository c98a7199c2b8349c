"""Plans with overage prices: made at Stripe, sold, metered, billed, and shown with their errors."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import event, update

from config import Settings
from database.session import Sessions
from database.subscriptions.models import Subscription
from database.usage.models import UsageRecord
from tests.api.conftest import MakeCard, Person, make_plan, problem, until
from tests.api.subscriptions.test_selling import add_card, subscribe
from tests.api.support import send_event
from tests.support.streams import add_run
from tests.support.world import STRIPE_HEADERS

pytestmark = pytest.mark.usefixtures("workers")
PRICE: dict[str, Any] = {"unit_amount_decimal": "0.5", "unit_count": 10}
API = "/api/v1"
BODY: dict[str, Any] = {
    "name": "x",
    "amount_cents": 1,
    "currency_code": "usd",
    "interval": "month",
}


@pytest.fixture
async def stripe(settings: Settings) -> Any:
    base = settings.stripe.api_base or ""
    async with httpx.AsyncClient(base_url=base, headers=STRIPE_HEADERS, timeout=100) as http:
        yield http


async def read(stripe: httpx.AsyncClient, path: str, **params: Any) -> Any:
    reply = await stripe.get(f"/v1/{path}", params=params)
    return reply.raise_for_status().json()


async def metered_price(stripe: httpx.AsyncClient, plan: dict[str, Any]) -> Any:
    found = (await read(stripe, "prices", product=plan["stripe_product_id"]))["data"]
    return next(price for price in found if price["recurring"]["usage_type"] == "metered")


async def use(sessions: Sessions, made: dict[str, Any], tokens: int) -> None:
    """Store the settled usage of a model call for a subscription."""
    user_id, subscription_id = UUID(made["user_id"]), UUID(made["subscription_id"])
    run_id = await add_run(sessions, user_id)
    async with sessions.begin() as session:
        row = await session.get_one(Subscription, subscription_id)
        session.add(
            UsageRecord(
                user_id=user_id,
                agent_run_id=run_id,
                subscription_id=subscription_id,
                period_start=row.current_period_start,
                usage_kind="model_call",
                usage_status="settled",
                source_key=uuid4().hex,
                completion_token_count=tokens,
                reasoning_token_count=tokens // 2,
                review_due_at=datetime.now(UTC),
            )
        )


async def reported(person: Person, status: str, count: int = 1) -> list[dict[str, Any]]:
    """Wait until so many meter events have a status, and return all."""

    async def probe() -> Any:
        events = (await person.get("usage"))["meter_events"]
        return events if [e["meter_event_status"] for e in events].count(status) == count else None

    found: list[dict[str, Any]] = await until(probe)
    return found


async def test_a_plan_has_a_metered_price_for_each_overage_price(
    admin: Person, stripe: httpx.AsyncClient
) -> None:
    overage = {"token_count": PRICE, "agent_run_count": {"unit_amount_decimal": "0.0000001"}}
    plan = await make_plan(admin, overage=overage)
    shown: dict[str, Any] = {
        "token_count": PRICE,
        "agent_run_count": {"unit_amount_decimal": "0.0000001"},
    }
    shown["agent_run_count"]["unit_count"] = 1
    assert plan["overage"] == shown
    found = (await read(stripe, "prices", product=plan["stripe_product_id"]))["data"]
    prices = {price["unit_amount_decimal"]: price for price in found}
    assert prices.keys() == {"2900", "0.5", "0.0000001"}
    metered = prices["0.5"]
    assert metered["transform_quantity"] == {"divide_by": 10, "round": "up"}
    assert metered["recurring"]["usage_type"] == "metered"
    meter = await read(stripe, f"billing/meters/{metered['recurring']['meter']}")
    assert (meter["default_aggregation"]["formula"], meter["status"]) == ("sum", "active")


async def test_a_new_overage_price_keeps_its_meter(
    admin: Person, stripe: httpx.AsyncClient
) -> None:
    plan = await make_plan(admin, overage={"token_count": PRICE})
    path = f"{API}/plans/{plan['plan_id']}"
    for overage, count in (
        ({"token_count": {"unit_amount_decimal": "0.50", "unit_count": 10}}, 2),
        ({"token_count": {"unit_amount_decimal": "0.7", "unit_count": 10}}, 3),
        ({}, 3),
        ({"token_count": {"unit_amount_decimal": "0.7", "unit_count": 10}}, 3),
    ):
        changed = await admin.http.patch(path, json={"overage": overage})
        assert changed.status_code == 200, changed.text
        prices = (await read(stripe, "prices", product=plan["stripe_product_id"]))["data"]
        assert len(prices) == count
        assert len({price["recurring"]["meter"] for price in prices} - {None}) == 1
    assert changed.json()["overage"]["token_count"]["unit_amount_decimal"] == "0.7"


async def test_a_stackable_plan_has_no_overage(admin: Person) -> None:
    body = BODY | {"code": uuid4().hex}
    both: dict[str, Any] = {"is_stackable": True, "overage": {"token_count": PRICE}}
    reply = await admin.post("plans", **body, **both)
    problem(reply, 422, "overage_not_stackable")
    plan = await make_plan(admin, overage={"token_count": PRICE})
    path = f"{API}/plans/{plan['plan_id']}"
    reply = await admin.http.patch(path, json={"is_stackable": True})
    problem(reply, 422, "overage_not_stackable")
    reply = await admin.http.patch(path, json={"is_stackable": True, "overage": {}})
    assert reply.status_code == 200
    reply = await admin.http.patch(path, json={"overage": {"token_count": PRICE}})
    problem(reply, 422, "overage_not_stackable")


@pytest.mark.parametrize(
    "price",
    [
        {"unit_amount_decimal": "-1"},
        {"unit_amount_decimal": "NaN"},
        {"unit_amount_decimal": 0.5},
        {"unit_amount_decimal": "0.0000000000001"},
        {"unit_amount_decimal": "1", "unit_count": 0},
        {},
    ],
)
async def test_a_price_that_cannot_be_is_refused(admin: Person, price: dict[str, Any]) -> None:
    body = BODY | {"code": uuid4().hex}
    reply = await admin.post("plans", **body, overage={"token_count": price})
    (fault,) = problem(reply, 422, "invalid_input")["details"]["errors"]
    assert fault["field"].startswith("body.overage.token_count.unit_")


async def test_overage_is_billed_at_renewal_and_never_refused(
    admin: Person,
    user: Person,
    card: MakeCard,
    sessions: Sessions,
    stripe: httpx.AsyncClient,
) -> None:
    await add_card(user, await card("ok"))
    plan = await make_plan(admin, limits={"token_count": 100}, overage={"token_count": PRICE})
    made = await subscribe(user, plan)
    assert made["stripe_price_id"] == plan["stripe_price_id"]
    items = await read(stripe, "subscription_items", subscription=made["stripe_subscription_id"])
    assert len(items["data"]) == 2
    await use(sessions, made, 90)
    await use(sessions, made, 35)
    (sent,) = await reported(user, "sent")
    assert (sent["metric"], sent["quantity"], sent["per"]) == ("token_count", 25, "period")
    seen = await user.get("usage")
    assert (seen["access"], seen["overage_metrics"]) == ("full", ["token_count"])
    assert seen["total"]["token_count"] == seen["total"]["completion_token_count"] == 125
    assert (seen["total"]["reasoning_token_count"], seen["total"]["prompt_token_count"]) == (62, 0)
    assert (seen["windows"]["token_count"]["limit"], seen["windows"]["token_count"]["used"]) == (
        100,
        125,
    )
    assert [alert["threshold_percent"] for alert in seen["alerts"]] in ([100, 80], [80, 100])
    params = {"user_id": str(user.user_id)}
    assert await admin.get("usage", **params) == seen
    params = {
        "customer": made["stripe_customer_id"],
        "subscription": made["stripe_subscription_id"],
    }
    reply = await stripe.post("/v1/invoices/create_preview", data=params)
    lines = reply.raise_for_status().json()["lines"]["data"]
    # Reason: 25 units are three begun packs of ten, at half a cent each, rounded.
    assert sorted(line["amount"] for line in lines) == [2, 2900]
    period = (made["current_period_start"], made["current_period_end"])
    shown = await user.get(f"subscriptions/{made['subscription_id']}")
    assert (shown["current_period_start"], shown["current_period_end"]) == period


async def test_what_a_meter_could_not_count_is_shown(
    admin: Person,
    user: Person,
    card: MakeCard,
    sessions: Sessions,
    settings: Settings,
    stripe: httpx.AsyncClient,
) -> None:
    """The customer was deleted at Stripe: the meter takes the event, and reports the error."""
    await add_card(user, await card("ok"))
    plan = await make_plan(admin, overage={"token_count": PRICE})
    made = await subscribe(user, plan)
    async with sessions.begin() as session:
        await session.execute(
            update(Subscription)
            .where(Subscription.subscription_id == UUID(made["subscription_id"]))
            .values(stripe_customer_id="cus_unknown")
        )
    await use(sessions, made, 8)
    (sent,) = await reported(user, "sent")
    errors = (await stripe.get("/_sandbox/meter-errors")).json()["items"]
    (error,) = [each for each in errors if each["identifier"] == sent["meter_event_id"]]
    meter_id = (await metered_price(stripe, plan))["recurring"]["meter"]
    meter = {"id": meter_id, "type": "billing.meter", "url": "/v1/x"}
    name = "v1.billing.meter.error_report_triggered"
    thin = {"id": error["event_id"], "object": "v2.core.event", "related_object": meter}
    reply = await send_event(user.http, settings, thin | {"type": name})
    assert reply.status_code == 200, reply.text
    (rejected,) = await reported(user, "rejected")
    assert rejected["error_code"] == "meter_event_customer_not_found"
    events = (await admin.get("webhook-events", limit=200))["items"]
    (told,) = [each for each in events if each["stripe_event_id"] == error["event_id"]]
    assert told["webhook_event_status"] == "delivered"


async def test_usage_is_the_owner_s(user: Person, other: Person, admin: Person) -> None:
    seen = await user.get("usage")
    assert (seen["access"], seen["period_start"], seen["windows"]) == ("none", None, {})
    assert set(seen["total"].values()) == {0}
    params = {"user_id": str(user.user_id)}
    problem(await other.http.get(f"{API}/usage", params=params), 404, "not_found")
    params = {"user_id": str(uuid4())}
    problem(await admin.http.get(f"{API}/usage", params=params), 404, "not_found")


async def test_entitlements_are_one_statement_besides_the_credential_s(
    user: Person, admin: Person, sessions: Sessions
) -> None:
    """An administrator who names a user needs no second statement either."""
    statements: list[str] = []

    def note(_: object, __: object, statement: str, *___: object) -> None:
        statements.append(statement)

    async with sessions() as session:
        engine = session.get_bind().engine
    for person, params in ((user, {}), (admin, {"user_id": str(user.user_id)})):
        statements.clear()
        event.listen(engine, "before_cursor_execute", note)
        try:
            await person.get("entitlements", **params)
        finally:
            event.remove(engine, "before_cursor_execute", note)
        read = [each for each in statements if "usage_records" in each]
        about_user = [each for each in statements if "FROM users" in each]
        assert (len(read), len(about_user)) == (1, 2), statements
