"""Subscriptions that are sold on Stripe's own pages: named by us, paid there, and never twice."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import FastAPI

from api.idempotency import Claim
from api.routes.portal_sessions import operation_id
from api.starters.stripe_operations import run_operation
from config import Settings
from database.session import Sessions
from database.subscriptions.checkout_sessions import CheckoutSessionRepository
from domain.stripe_operations import CloseCheckoutSessions
from tests.api.conftest import API, MakeCard, Person, make_plan, problem, until
from tests.api.support import send_event
from tests.api.webhooks.events import settled

pytestmark = pytest.mark.usefixtures("workers")
WAY_BACK = {
    "success_url": "https://app.example/welcome?session={CHECKOUT_SESSION_ID}",
    "cancel_url": "https://app.example/prices",
}
HEADERS = {"Authorization": "Bearer sk_test_x"}


class Pages:
    """Stripe's pages, as customers use them, and the events that this brings about."""

    def __init__(
        self, http: httpx.AsyncClient, settings: Settings, ours: httpx.AsyncClient
    ) -> None:
        self.http, self._settings, self._ours = http, settings, ours

    async def pay(self, url: str, **typed: str) -> httpx.Response:
        """Play the customer who completes a Checkout page."""
        path = f"/_sandbox/checkout/{id_in(url)}/complete"
        return await self.http.post(path, json={"payment_method": "pm_card_visa"} | typed)

    async def break_down(self, *faults: dict[str, Any]) -> None:
        reply = await self.http.post("/_sandbox/faults", json={"api": list(faults)})
        reply.raise_for_status()

    async def session(self, url: str) -> dict[str, Any]:
        reply = await self.http.get(f"/v1/checkout/sessions/{id_in(url)}")
        found: dict[str, Any] = reply.raise_for_status().json()
        return found

    async def requests(self, start: str) -> list[dict[str, Any]]:
        reply = await self.http.get("/_sandbox/requests")
        items: list[dict[str, Any]] = reply.json()["items"]
        return [each for each in items if f"{each['method']} {each['path']}".startswith(start)]

    async def deliver(self, url: str, *types: str) -> list[str]:
        """Deliver the events of a session and of its subscription, as Stripe does."""
        found = await self.session(url)
        names = {found["id"], found["subscription"], found["invoice"]}
        reply = await self.http.get("/v1/events", params={"limit": "100"})
        events = [
            event
            for event in reversed(reply.json()["data"])
            if event["data"]["object"]["id"] in names and (not types or event["type"] in types)
        ]
        for event in events:
            await send_event(self._ours, self._settings, event)
        return [event["id"] for event in events]


def id_in(url: str) -> str:
    return urlsplit(url).path.rpartition("/")[2]


@pytest.fixture
async def pages(settings: Settings, stranger: httpx.AsyncClient) -> AsyncIterator[Pages]:
    base = settings.stripe.api_base or ""
    async with httpx.AsyncClient(base_url=base, headers=HEADERS, timeout=100) as http:
        yield Pages(http, settings, stranger)


async def order(user: Person, path: str, **body: Any) -> httpx.Response:
    """Send a POST until it has its answer: on a busy machine an operation may take longer."""
    head = {"Idempotency-Key": uuid4().hex}
    async with asyncio.timeout(100):
        while True:
            reply = await user.http.post(f"{API}/{path}", json=body, headers=head)
            if reply.status_code != 503:
                return reply
            await asyncio.sleep(0.5)


async def open_page(user: Person, plan: dict[str, Any], **fields: Any) -> dict[str, Any]:
    reply = await order(user, "checkout-sessions", plan_id=plan["plan_id"], **(WAY_BACK | fields))
    assert reply.status_code == 201, reply.text
    made: dict[str, Any] = reply.json()
    return made


async def shown(user: Person, subscription_id: str) -> dict[str, Any] | None:
    reply = await user.http.get(f"{API}/subscriptions/{subscription_id}")
    return None if reply.status_code == 404 else reply.json()


async def reaches(user: Person, subscription_id: str, status: str) -> dict[str, Any]:
    async def probe() -> dict[str, Any] | None:
        row = await shown(user, subscription_id)
        return row if row is not None and row["subscription_status"] == status else None

    found: dict[str, Any] = await until(probe)
    return found


async def access_of(user: Person) -> str:
    access: str = (await user.http.get(f"{API}/entitlements")).json()["access"]
    return access


async def test_who_pays_on_the_page_has_the_subscription_that_we_named(
    user: Person, plan: dict[str, Any], pages: Pages
) -> None:
    page = await open_page(user, plan, quantity=3)
    found = await pages.session(page["url"])
    assert found["success_url"] == WAY_BACK["success_url"]
    assert found["metadata"] == {"subscription_id": page["subscription_id"]}
    paid = await pages.pay(page["url"])
    assert paid.status_code == 200, paid.text
    # The customer is led back now, and nothing is granted for that.
    assert await access_of(user) == "none"
    assert await shown(user, page["subscription_id"]) is None
    await pages.deliver(page["url"])
    row = await reaches(user, page["subscription_id"], "active")
    assert (row["plan_id"], row["quantity"]) == (plan["plan_id"], 3)
    assert row["stripe_subscription_id"] == (await pages.session(page["url"]))["subscription"]
    assert await access_of(user) == "full"
    invoices = (
        await user.http.get(f"{API}/subscriptions/{row['subscription_id']}/invoices")
    ).json()
    assert [each["invoice_status"] for each in invoices["items"]] == ["paid"]


@pytest.mark.parametrize("order", ["completed only", "backwards", "twice"])
async def test_order_losses_and_duplicates_of_events_do_not_matter(
    user: Person, plan: dict[str, Any], pages: Pages, order: str
) -> None:
    page = await open_page(user, plan)
    (await pages.pay(page["url"])).raise_for_status()
    if order == "completed only":
        assert await pages.deliver(page["url"], "checkout.session.completed")
    elif order == "backwards":
        await pages.deliver(page["url"], "invoice.paid")
        await pages.deliver(page["url"], "customer.subscription.created")
    else:
        for _ in range(2):
            await pages.deliver(page["url"])
    await reaches(user, page["subscription_id"], "active")
    listed = (await user.http.get(f"{API}/subscriptions")).json()["items"]
    assert [each["subscription_id"] for each in listed] == [page["subscription_id"]]


async def test_a_page_that_nobody_completes_leaves_nothing(
    user: Person, plan: dict[str, Any], pages: Pages, sessions: Sessions
) -> None:
    page = await open_page(user, plan)
    declined = await pages.pay(page["url"], payment_method="pm_card_chargeDeclined")
    assert declined.status_code == 402
    assert (await user.http.get(f"{API}/subscriptions")).json()["items"] == []
    assert await access_of(user) == "none"


async def test_a_page_is_made_once_for_a_key(
    user: Person, plan: dict[str, Any], pages: Pages
) -> None:
    before = len(await pages.requests("POST /v1/checkout/sessions"))
    body = {"plan_id": plan["plan_id"], **WAY_BACK}
    head = {"Idempotency-Key": uuid4().hex}
    replies = await asyncio.gather(
        *[user.http.post(f"{API}/checkout-sessions", json=body, headers=head) for _ in range(3)]
    )
    assert {reply.status_code for reply in replies} == {201}
    assert len({reply.text for reply in replies}) == 1
    assert len(await pages.requests("POST /v1/checkout/sessions")) == before + 1


async def test_a_new_page_closes_the_one_before(
    user: Person, plan: dict[str, Any], pages: Pages
) -> None:
    first, second = await open_page(user, plan), await open_page(user, plan)
    assert (await pages.session(first["url"]))["status"] == "expired"
    assert (await pages.pay(first["url"])).status_code == 400
    (await pages.pay(second["url"])).raise_for_status()


async def test_a_subscription_that_is_ordered_otherwise_closes_the_page(
    user: Person, plan: dict[str, Any], pages: Pages, admin: Person, card: MakeCard
) -> None:
    other_plan = await make_plan(admin)
    page, other_page = await open_page(user, plan), await open_page(user, other_plan)
    body: dict[str, Any] = {"stripe_payment_method_id": await card("ok"), "is_default": True}
    (await user.post("payment-methods", **body)).raise_for_status()
    made = await order(user, "subscriptions", plan_id=plan["plan_id"])
    assert made.status_code == 202, made.text
    assert (await pages.session(page["url"]))["status"] == "expired"
    assert (await pages.session(other_page["url"]))["status"] == "open"
    problem(
        await order(user, "checkout-sessions", plan_id=plan["plan_id"], **WAY_BACK),
        409,
        "already_subscribed",
    )


async def test_who_has_just_paid_on_the_page_does_not_pay_again(
    user: Person, plan: dict[str, Any], pages: Pages, card: MakeCard
) -> None:
    page = await open_page(user, plan)
    (await pages.pay(page["url"])).raise_for_status()
    # No event has come yet.
    reply = await order(user, "subscriptions", plan_id=plan["plan_id"])
    body = problem(reply, 409, "already_subscribed")
    assert body["details"] == {"subscription_id": page["subscription_id"]}
    reply = await order(user, "checkout-sessions", plan_id=plan["plan_id"], **WAY_BACK)
    problem(reply, 409, "already_subscribed")
    await pages.deliver(page["url"])
    await reaches(user, page["subscription_id"], "active")


async def test_whose_subscription_of_a_page_has_ended_can_subscribe_again(
    user: Person, plan: dict[str, Any], pages: Pages
) -> None:
    page = await open_page(user, plan)
    (await pages.pay(page["url"])).raise_for_status()
    await pages.deliver(page["url"])
    await reaches(user, page["subscription_id"], "active")
    path = f"subscriptions/{page['subscription_id']}/cancel"
    (await user.post(path, mode="now")).raise_for_status()
    again = await open_page(user, plan)
    assert again["subscription_id"] != page["subscription_id"]


async def test_a_page_of_a_subscription_row_in_the_making_is_not_made(
    user: Person, plan: dict[str, Any], pages: Pages, sessions: Sessions
) -> None:
    """Two orders at once: at most one of them can be paid."""
    replies = await asyncio.gather(
        order(user, "subscriptions", plan_id=plan["plan_id"]),
        *[order(user, "checkout-sessions", plan_id=plan["plan_id"], **WAY_BACK) for _ in range(3)],
    )
    codes = [reply.json().get("code") for reply in replies if reply.status_code == 409]
    assert set(codes) <= {"already_subscribed", "checkout_open"}
    urls = [reply.json()["url"] for reply in replies[1:] if reply.status_code == 201]
    statuses = [(await pages.session(url))["status"] for url in urls]
    is_subscribed = replies[0].status_code == 202
    assert statuses.count("open") + is_subscribed <= 1
    assert {reply.status_code for reply in replies} <= {201, 202, 409}


async def test_the_trial_of_a_plan_is_given_once_on_pages_too(
    user: Person, admin: Person, pages: Pages
) -> None:
    plan = await make_plan(admin, trial_days=14)
    page = await open_page(user, plan)
    (await pages.pay(page["url"])).raise_for_status()
    await pages.deliver(page["url"])
    row = await reaches(user, page["subscription_id"], "trialing")
    assert row["trial_end"] is not None
    (
        await user.post(f"subscriptions/{row['subscription_id']}/cancel", mode="now")
    ).raise_for_status()
    again = await open_page(user, plan)
    (await pages.pay(again["url"])).raise_for_status()
    await pages.deliver(again["url"])
    assert (await reaches(user, again["subscription_id"], "active"))["trial_end"] is None


async def test_metadata_that_names_the_page_of_somebody_else_moves_nothing(
    user: Person, other: Person, plan: dict[str, Any], pages: Pages, sessions: Sessions
) -> None:
    """Somebody edits a subscription in the Dashboard so that it names another user's page."""
    theirs, mine = await open_page(other, plan), await open_page(user, plan)
    (await pages.pay(mine["url"])).raise_for_status()
    stripe_id = (await pages.session(mine["url"]))["subscription"]
    edited = {"metadata[subscription_id]": theirs["subscription_id"]}
    await pages.http.post(f"/v1/subscriptions/{stripe_id}", data=edited)
    for event_id in await pages.deliver(mine["url"]):
        await settled(sessions, event_id)
    assert await shown(other, theirs["subscription_id"]) is None
    assert (await other.http.get(f"{API}/subscriptions")).json()["items"] == []
    assert (await pages.session(theirs["url"]))["status"] == "open"


@pytest.mark.parametrize(
    "change",
    [
        {"success_url": "ftp://app.example"},
        {"success_url": "javascript:alert(1)"},
        {"cancel_url": "app.example"},
        {"cancel_url": "https://app.example/ x"},
        {"quantity": 0},
        {"trial_days": 30},
    ],
)
async def test_a_page_leads_to_an_address_of_the_web(
    user: Person, plan: dict[str, Any], change: dict[str, Any]
) -> None:
    body = {"plan_id": plan["plan_id"], **WAY_BACK} | change
    problem(await order(user, "checkout-sessions", **body), 422, "invalid_input")


async def test_a_page_is_opened_for_ones_own_account_only(
    user: Person, other: Person, plan: dict[str, Any], admin: Person, pages: Pages
) -> None:
    body = {"plan_id": plan["plan_id"], **WAY_BACK, "user_id": str(other.user_id)}
    problem(await order(user, "checkout-sessions", **body), 404, "not_found")
    reply = await order(admin, "checkout-sessions", **body)
    assert reply.status_code == 201
    problem(
        await order(user, "checkout-sessions", plan_id=str(uuid4()), **WAY_BACK), 404, "not_found"
    )


async def test_the_portal_is_opened_for_ones_own_customer(
    user: Person, other: Person, pages: Pages, admin: Person
) -> None:
    body = {"return_url": "https://app.example/account"}
    reply = await order(user, "portal-sessions", **body)
    assert reply.status_code == 201, reply.text
    assert set(reply.json()) == {"url", "expires_at"}
    assert reply.json()["url"].startswith("http")
    *_, made = await pages.requests("POST /v1/billing_portal/sessions")
    assert made["params"]["return_url"] == body["return_url"]
    body |= {"user_id": str(other.user_id)}
    problem(await order(user, "portal-sessions", **body), 404, "not_found")
    assert (await order(admin, "portal-sessions", **body)).status_code == 201
    *_, of_other = await pages.requests("POST /v1/billing_portal/sessions")
    assert of_other["params"]["customer"] != made["params"]["customer"]


async def test_a_repeated_request_gets_a_link_to_the_portal_that_is_valid(
    user: Person, sessions: Sessions
) -> None:
    head, body = {"Idempotency-Key": uuid4().hex}, {"return_url": "https://app.example/account"}
    replies = [
        await user.http.post(f"{API}/portal-sessions", json=body, headers=head) for _ in range(2)
    ]
    assert [reply.status_code for reply in replies] == [201, 201]
    for reply in replies:
        assert datetime.fromisoformat(reply.json()["expires_at"]) > datetime.now(UTC)


async def test_a_link_to_the_portal_that_took_long_is_there_for_the_same_key(
    user: Person, pages: Pages
) -> None:
    body = {"return_url": f"https://app.example/{uuid4().hex}"}
    head = {"Idempotency-Key": uuid4().hex}
    await pages.break_down(
        {"match": "POST /v1/billing_portal/sessions", "times": 1, "delay_seconds": 6}
    )
    replies = [
        await user.http.post(f"{API}/portal-sessions", json=body, headers=head) for _ in range(2)
    ]
    assert [reply.status_code for reply in replies] == [503, 201], replies[1].text
    made = await pages.requests("POST /v1/billing_portal/sessions")
    ours = [each for each in made if each["params"].get("return_url") == body["return_url"]]
    assert len(ours) == 1


@pytest.mark.parametrize(("second", "is_same"), [(0, True), (59, True), (61, False)])
def test_the_same_link_is_for_a_minute_after_the_first_request(second: int, is_same: bool) -> None:
    begun = datetime(2026, 1, 1, 12, 0, 57, tzinfo=UTC)
    claim = Claim(uuid4(), uuid4(), begun)
    again = operation_id(claim, begun + timedelta(seconds=second))
    assert (again == operation_id(claim, begun)) is is_same


async def test_what_a_customer_does_in_the_portal_is_followed(
    user: Person, plan: dict[str, Any], admin: Person, pages: Pages
) -> None:
    page = await open_page(user, plan)
    (await pages.pay(page["url"])).raise_for_status()
    await pages.deliver(page["url"])
    row = await reaches(user, page["subscription_id"], "active")
    path = f"/v1/subscriptions/{row['stripe_subscription_id']}"
    ending = {"cancel_at_period_end": "true"}
    (await pages.http.post(path, data=ending)).raise_for_status()
    await pages.deliver(page["url"], "customer.subscription.updated")

    async def is_ending() -> bool:
        now = await shown(user, page["subscription_id"])
        return now is not None and now["cancel_at"] is not None

    await until(is_ending)


async def test_a_page_whose_creation_is_still_under_way_is_not_wanted_any_more(
    user: Person, plan: dict[str, Any], pages: Pages, sessions: Sessions, app: FastAPI
) -> None:
    """The answer to its creation is lost, and the plan is sold otherwise meanwhile."""
    page = await open_page(user, plan)
    subscription_id = UUID(page["subscription_id"])
    async with sessions.begin() as session:
        row = await CheckoutSessionRepository(session).get(subscription_id)
        assert row is not None
        row.stripe_checkout_session_id = None
    operation = CloseCheckoutSessions(
        operation_id=uuid4(),
        resource_id=uuid4(),
        user_id=user.user_id,
        plan_id=UUID(plan["plan_id"]),
    )
    await run_operation(app.state.temporal, operation, "close", user.user_id)
    assert (await pages.session(page["url"]))["status"] == "expired"
    async with sessions() as session:
        row = await CheckoutSessionRepository(session).get(subscription_id)
    assert row is not None
    assert row.checkout_status == "expired"
