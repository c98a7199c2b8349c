"""Subscriptions that were made at Stripe, by its Dashboard or its Checkout, become ours."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import select, update

from adapters.tls import trusted
from config import Settings
from database.accounts.models import User
from database.session import Sessions
from database.subscriptions.models import Subscription
from database.webhooks.webhook_events import WebhookEventRepository
from domain.ids import adopted_subscription_id
from tests.api.conftest import MakeCard, Person, make_plan, until
from tests.api.support import add_subscription, send_event, stripe_event
from tests.api.webhooks.events import settled

pytestmark = pytest.mark.usefixtures("workers")


class Dashboard:
    """What people do in Stripe's Dashboard, and the events that it brings about."""

    def __init__(self, http: httpx.AsyncClient, settings: Settings, app: FastAPI) -> None:
        self._http, self._settings, self._app = http, settings, app

    async def do(self, method: str, path: str, **params: Any) -> dict[str, Any]:
        is_post = method == "POST"
        reply = await self._http.request(
            method,
            f"/v1/{path}",
            data=params if is_post else None,
            params=None if is_post else params,
        )
        body: dict[str, Any] = reply.raise_for_status().json()
        return body

    async def customer(self, card: str | None, **params: Any) -> str:
        made = await self.do("POST", "customers", **params)
        if card is not None:
            await self.do("POST", f"payment_methods/{card}/attach", customer=made["id"])
            default = {"invoice_settings[default_payment_method]": card}
            await self.do("POST", f"customers/{made['id']}", **default)
        return str(made["id"])

    async def price(self) -> str:
        product = await self.do("POST", "products", name="Not ours")
        params = {"product": product["id"], "currency": "usd", "unit_amount": 700}
        made = await self.do("POST", "prices", **params, **{"recurring[interval]": "month"})
        return str(made["id"])

    async def subscribe(self, customer: str, price: str, **params: Any) -> dict[str, Any]:
        wanted = {"customer": customer, "items[0][price]": price, **params}
        return await self.do("POST", "subscriptions", **wanted)

    async def events_of(self, stripe_subscription_id: str) -> list[dict[str, Any]]:
        """Return the events about a subscription itself, newest first."""
        page = await self.do("GET", "events", type="customer.subscription.*", limit=100)
        return [
            event
            for event in page["data"]
            if event["data"]["object"]["id"] == stripe_subscription_id
        ]

    async def read_count(self, stripe_subscription_id: str) -> int:
        """Return how often a subscription was read."""
        calls = (await self._http.get("/_sandbox/requests")).json()["items"]
        path = f"/v1/subscriptions/{stripe_subscription_id}"
        return sum((each["method"], each["path"]) == ("GET", path) for each in calls)

    async def break_down(self, *faults: dict[str, Any]) -> None:
        body = {"api": list(faults)}
        (await self._http.post("/_sandbox/faults", json=body)).raise_for_status()

    async def tell(self, *events: dict[str, Any]) -> None:
        transport = httpx.ASGITransport(self._app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
            for event in events:
                assert (await send_event(http, self._settings, event)).status_code == 200


@pytest.fixture
async def dashboard(settings: Settings, app: FastAPI) -> AsyncIterator[Dashboard]:
    headers = {"Authorization": "Bearer sk_test_x"}
    base = settings.stripe.api_base or ""
    async with httpx.AsyncClient(base_url=base, headers=headers, verify=trusted()) as http:
        yield Dashboard(http, settings, app)


async def link(sessions: Sessions, person: Person, customer: str) -> None:
    async with sessions.begin() as session:
        users = update(User).where(User.user_id == person.user_id)
        await session.execute(users.values(stripe_customer_id=customer))


async def adopted(sessions: Sessions, dashboard: Dashboard, stripe_id: str) -> Subscription:
    """Wait for the view of an adopted subscription."""

    async def probe() -> Subscription | None:
        async with sessions() as session:
            statement = select(Subscription).where(Subscription.stripe_subscription_id == stripe_id)
            row = await session.scalar(statement)
        return row if row is not None and row.current_period_end is not None else None

    found: Subscription = await until(probe)
    account = (await dashboard.do("GET", "account"))["id"]
    assert found.subscription_id == adopted_subscription_id(account, stripe_id)
    return found


async def count_of(sessions: Sessions, stripe_id: str) -> int:
    async with sessions() as session:
        statement = select(Subscription).where(Subscription.stripe_subscription_id == stripe_id)
        return len((await session.scalars(statement)).all())


async def linked(dashboard: Dashboard, sessions: Sessions, person: Person, card: str | None) -> str:
    """Make a customer in the Dashboard, and give it to a user as an operator's mapping does."""
    customer = await dashboard.customer(card)
    await link(sessions, person, customer)
    return customer


async def test_a_subscription_of_the_dashboard_becomes_ours_once(
    user: Person, admin: Person, card: MakeCard, dashboard: Dashboard, sessions: Sessions
) -> None:
    plan = await make_plan(admin)
    customer = await linked(dashboard, sessions, user, await card("ok"))
    made = await dashboard.subscribe(customer, plan["stripe_price_id"], **{"items[0][quantity]": 3})
    created = (await dashboard.events_of(made["id"]))[-1]
    await dashboard.tell(created, created)
    row = await adopted(sessions, dashboard, made["id"])
    shown = await user.get(f"subscriptions/{row.subscription_id}")
    assert (shown["plan_id"], shown["quantity"]) == (plan["plan_id"], 3)
    assert (shown["subscription_status"], shown["access"]) == ("active", "full")
    event = await settled(sessions, created["id"])
    assert event.webhook_event_status == "delivered"
    assert event.subscription_id == row.subscription_id
    page = await user.get(f"subscriptions/{row.subscription_id}/events")
    kinds = [item["kind"] for item in page["items"]]
    assert kinds.count("adopted") == kinds.count("customer.subscription.created") == 1
    # From now on it is like any other subscription.
    reply = await user.post(f"subscriptions/{row.subscription_id}/cancel", mode="now")
    assert reply.json()["subscription_status"] == "canceled"
    await dashboard.tell(*await dashboard.events_of(made["id"]))
    assert await count_of(sessions, made["id"]) == 1


async def test_deleted_comes_before_created(
    user: Person, card: MakeCard, dashboard: Dashboard, sessions: Sessions
) -> None:
    customer = await linked(dashboard, sessions, user, await card("ok"))
    made = await dashboard.subscribe(customer, await dashboard.price())
    await dashboard.do("DELETE", f"subscriptions/{made['id']}")
    told = await dashboard.events_of(made["id"])
    assert told[0]["type"] == "customer.subscription.deleted"
    for event in told:
        await dashboard.tell(event)
        await settled(sessions, event["id"])
    row = await adopted(sessions, dashboard, made["id"])
    shown = await user.get(f"subscriptions/{row.subscription_id}")
    assert (shown["subscription_status"], shown["access"]) == ("canceled", "none")
    assert await count_of(sessions, made["id"]) == 1


async def test_a_price_of_no_plan_is_shown_and_parks_nothing_until_a_plan_has_it(
    user: Person, card: MakeCard, dashboard: Dashboard, sessions: Sessions
) -> None:
    customer = await linked(dashboard, sessions, user, await card("ok"))
    price = await dashboard.price()
    made = await dashboard.subscribe(customer, price)
    await dashboard.tell(*await dashboard.events_of(made["id"]))
    row = await adopted(sessions, dashboard, made["id"])
    shown = await user.get(f"subscriptions/{row.subscription_id}")
    assert (shown["plan_id"], shown["stripe_price_id"]) == (None, price)
    assert (shown["subscription_status"], shown["is_parked"]) == ("active", False)
    entitlements = await user.get("entitlements")
    assert (entitlements["access"], entitlements["limits"]) == ("none", {})
    explained = await user.get(f"subscriptions/{row.subscription_id}/explain")
    assert explained["subscription_status"] == "active"


@pytest.mark.parametrize("is_equal_email", [False, True])
async def test_the_event_of_an_unknown_customer_is_ignored(
    user: Person, card: MakeCard, dashboard: Dashboard, sessions: Sessions, is_equal_email: bool
) -> None:
    """An equal email address alone never links a customer to a user."""
    known = {"email": user.email} if is_equal_email else {}
    customer = await dashboard.customer(await card("ok"), **known)
    made = await dashboard.subscribe(customer, await dashboard.price())
    (event, *_) = await dashboard.events_of(made["id"])
    await dashboard.tell(event)
    row = await settled(sessions, event["id"])
    assert (row.webhook_event_status, row.last_error) == ("ignored", None)
    assert await count_of(sessions, made["id"]) == 0
    # Events of somebody else's subscription cost one look at Stripe, not one each.
    for _ in range(3):
        await dashboard.do("POST", f"subscriptions/{made['id']}", **{"metadata[n]": uuid4().hex})
        (event, *_) = await dashboard.events_of(made["id"])
        await dashboard.tell(event)
        assert (await settled(sessions, event["id"])).webhook_event_status == "ignored"
    assert await dashboard.read_count(made["id"]) == 1
    # Once the customer belongs to somebody, an administrator's redelivery adopts it.
    await link(sessions, user, customer)
    await dashboard.tell(*await dashboard.events_of(made["id"]))
    async with sessions.begin() as session:
        await WebhookEventRepository(session).redeliver(row.webhook_event_id)
    await adopted(sessions, dashboard, made["id"])


async def test_a_customer_of_ours_is_known_by_its_metadata_with_its_cards(
    user: Person, card: MakeCard, dashboard: Dashboard, sessions: Sessions
) -> None:
    named = {"metadata[user_id]": str(user.user_id)}
    customer = await dashboard.customer(await card("ok"), **named)
    made = await dashboard.subscribe(customer, await dashboard.price())
    await dashboard.tell(*await dashboard.events_of(made["id"]))
    row = await adopted(sessions, dashboard, made["id"])
    assert (row.user_id, row.stripe_customer_id) == (user.user_id, customer)
    (method,) = (await user.get("payment-methods"))["items"]
    assert method["is_default"]


async def test_metadata_that_names_somebody_else_moves_nothing(
    user: Person, other: Person, card: MakeCard, dashboard: Dashboard, sessions: Sessions
) -> None:
    mine = await linked(dashboard, sessions, user, await card("ok"))
    theirs = await linked(dashboard, sessions, other, await card("ok"))
    price = await dashboard.price()
    first = await dashboard.subscribe(theirs, price)
    await dashboard.tell(*await dashboard.events_of(first["id"]))
    their_row = await adopted(sessions, dashboard, first["id"])
    # My customer says that it is theirs, and so does my subscription: before it is known ...
    await dashboard.do("POST", f"customers/{mine}", **{"metadata[user_id]": str(other.user_id)})
    named = {"metadata[subscription_id]": str(their_row.subscription_id)}
    made = await dashboard.subscribe(mine, price, **named)
    await dashboard.tell(*await dashboard.events_of(made["id"]))
    row = await adopted(sessions, dashboard, made["id"])
    assert row.user_id == user.user_id
    # ... and afterwards.
    await dashboard.do(
        "POST",
        f"subscriptions/{first['id']}",
        **{"metadata[subscription_id]": str(row.subscription_id)},
    )
    (edited, *_) = await dashboard.events_of(first["id"])
    await dashboard.tell(edited)
    event = await settled(sessions, edited["id"])
    assert event.subscription_id == their_row.subscription_id
    for person, stripe_id in ((user, made["id"]), (other, first["id"])):
        (shown,) = (await person.get("subscriptions"))["items"]
        assert shown["stripe_subscription_id"] == stripe_id


async def test_the_event_comes_before_the_answer_to_our_own_post(
    user: Person, card: MakeCard, dashboard: Dashboard, sessions: Sessions
) -> None:
    """The row has no id at Stripe yet, and the event is of a version that has no metadata."""
    customer = await linked(dashboard, sessions, user, await card("ok"))
    subscription_id = await add_subscription(sessions, user.user_id)
    named = {"metadata[subscription_id]": str(subscription_id)}
    made = await dashboard.subscribe(customer, await dashboard.price(), **named)
    event = stripe_event("invoice.paid", stripe_subscription_id=made["id"])
    event["data"]["object"] = {"object": "invoice", "subscription": made["id"]}
    await dashboard.tell(event)
    row = await settled(sessions, event["id"])
    assert row.subscription_id == subscription_id
    async with sessions() as session:
        statement = select(Subscription).where(Subscription.user_id == user.user_id)
        (known,) = (await session.scalars(statement)).all()
    assert known.subscription_id == subscription_id


@pytest.mark.parametrize(
    "faults",
    [
        [{"before": 500, "times": 3}],
        [{"before": 404, "times": 1}],
        [{"before": 404, "times": 2}],
        [{"before": 500, "times": 4}, {"before": 404, "times": 1}],
        [{"before": 400, "times": 1}],
        [{"body": "{}", "times": 1}],
    ],
    ids=["500", "404", "404 twice", "500, then 404", "400", "no fields"],
)
async def test_what_stripe_says_wrongly_once_keeps_nobody_out(
    user: Person,
    card: MakeCard,
    dashboard: Dashboard,
    sessions: Sessions,
    faults: list[dict[str, Any]],
) -> None:
    customer = await linked(dashboard, sessions, user, await card("ok"))
    made = await dashboard.subscribe(customer, await dashboard.price())
    match = f"GET /v1/subscriptions/{made['id']}"
    await dashboard.break_down(*[{"match": match, **fault} for fault in faults])
    (event, *_) = await dashboard.events_of(made["id"])
    await dashboard.tell(event)
    await adopted(sessions, dashboard, made["id"])
    row = await settled(sessions, event["id"])
    assert row.webhook_event_status == "delivered"
