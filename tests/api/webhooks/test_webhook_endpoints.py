"""Webhooks go out: endpoints, deliveries in order, redelivery, rotation, refused addresses."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from fastapi import FastAPI
from sqlalchemy import func, update
from standardwebhooks import WebhookVerificationError
from temporalio.client import Client

from api.app import build_app
from bootstrap.workers import run_workers
from commands.migrate import migrate_database
from config import Settings
from database.session import Sessions, make_engine, make_sessions
from database.subscriptions.models import Subscription
from database.webhooks.models import WebhookDelivery, WebhookEndpoint
from database.webhooks.webhook_deliveries import WebhookOutboxRepository
from domain.ids import webhook_endpoint_workflow_id
from domain.webhooks.outgoing import BACKOFF, MAX_CONCURRENT_COUNT, TEST_EVENT_TYPE
from services.agents.tools.catalog import ToolCatalog
from services.webhooks.announcements import KEEP_FOR, WebhookAnnouncements
from tests.api.conftest import Person, problem, until
from tests.api.support import add_subscription, add_user
from tests.conftest import own_database
from tests.support.namespaces import open_namespace
from tests.support.receiver import Receiver, receiving

PATH = "webhook-endpoints"


# Reason: the workers that other tests of this process started would deliver, too, on other clocks.
@pytest.fixture(scope="module")
def own_url() -> Iterator[str]:
    with own_database() as server:
        migrate_database(server.get_uri())
        yield server.get_uri()


@pytest.fixture(scope="module")
async def sessions(own_url: str) -> AsyncIterator[Sessions]:
    engine = make_engine(own_url, pool_size=20)
    yield make_sessions(engine)
    await engine.dispose()


@pytest.fixture(scope="module")
async def app(
    settings: Settings, dev_server: Client, sessions: Sessions, own_url: str, tools: ToolCatalog
) -> AsyncIterator[FastAPI]:
    own = settings.model_copy(update={"database_url": own_url})
    async with open_namespace(dev_server) as temporal:
        built = build_app(own, temporal, sessions, tools)
        async with (
            run_workers(temporal, own, sessions, tools=tools),
            built.router.lifespan_context(built),
        ):
            yield built


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


async def register(admin: Person, url: str, *event_types: str) -> dict[str, Any]:
    made = await admin.post(PATH, url=url, event_types=list(event_types or ("subscription.*",)))
    assert made.status_code == 201, made.text
    endpoint: dict[str, Any] = made.json()
    return endpoint


async def remove(admin: Person, endpoint: dict[str, Any]) -> None:
    path = f"/api/v1/{PATH}/{endpoint['webhook_endpoint_id']}"
    assert (await admin.http.delete(path)).status_code == 204


@pytest.fixture
async def endpoint(admin: Person, receiver: Receiver) -> AsyncIterator[dict[str, Any]]:
    """Register the receiver for subscriptions, and delete the endpoint after the test."""
    made = await register(admin, receiver.url)
    yield made
    await remove(admin, made)


async def set_status(sessions: Sessions, subscription_id: UUID, *statuses: str) -> None:
    for status in statuses:
        async with sessions.begin() as session:
            await session.execute(
                update(Subscription)
                .where(Subscription.subscription_id == subscription_id)
                .values(subscription_status=status),
            )


async def deliveries(
    admin: Person, endpoint: dict[str, Any], **filters: Any
) -> list[dict[str, Any]]:
    page = await admin.get(f"{PATH}/{endpoint['webhook_endpoint_id']}/deliveries", **filters)
    items: list[dict[str, Any]] = page["items"]
    return items


async def until_settled(
    admin: Person, endpoint: dict[str, Any], count: int
) -> list[dict[str, Any]]:
    """Wait until an endpoint has this number of deliveries and none is pending."""

    async def settled() -> list[dict[str, Any]] | None:
        found = await deliveries(admin, endpoint, limit=200)
        is_done = all(each["delivery_status"] != "pending" for each in found)
        return found if is_done and len(found) >= count else None

    found: list[dict[str, Any]] = await until(settled)
    assert len(found) == count
    return found


async def test_a_change_reaches_the_endpoint(
    admin: Person, endpoint: dict[str, Any], receiver: Receiver, sessions: Sessions
) -> None:
    user_id = await add_user(sessions)
    subscription_id = await add_subscription(sessions, user_id)
    await set_status(sessions, subscription_id, "past_due")
    found = await until_settled(admin, endpoint, 3)
    assert [each["event_type"] for each in reversed(found)] == [
        "subscription.created",
        "subscription.active",
        "subscription.past_due",
    ]
    assert {(each["delivery_status"], each["attempt_count"]) for each in found} == {
        ("delivered", 1)
    }
    assert {each["response_status"] for each in found} == {200}
    events = [each.verified(endpoint["secret"]) for each in receiver.requests]
    assert [each["data"]["seq"] for each in events] == [1, 2, 3]
    assert {each["data"]["subscription_id"] for each in events} == {str(subscription_id)}
    assert events[2]["type"] == "subscription.past_due"
    ids = [f"msg_{UUID(each['webhook_message_id']).hex}" for each in reversed(found)]
    assert [each.message_id for each in receiver.requests] == ids


async def test_a_failing_delivery_holds_its_resource_alone(
    admin: Person, endpoint: dict[str, Any], receiver: Receiver, sessions: Sessions
) -> None:
    held, other = [await add_subscription(sessions, await add_user(sessions)) for _ in range(2)]
    await until_settled(admin, endpoint, 4)
    failures = Counter[str]()

    def answer(event: dict[str, Any]) -> int:
        of = event["data"]["subscription_id"]
        failures[of] += 1
        return 500 if of == str(held) and failures[of] <= 2 else 200

    receiver.requests.clear()
    receiver.answer = answer
    await set_status(sessions, held, "past_due", "unpaid", "canceled")
    await set_status(sessions, other, "past_due", "unpaid")
    await until_settled(admin, endpoint, 9)
    tried = [each.event["data"] for each in receiver.requests]
    assert [each["seq"] for each in tried if each["subscription_id"] == str(held)] == [
        3,
        3,
        3,
        4,
        5,
    ]
    assert [each["seq"] for each in tried if each["subscription_id"] == str(other)] == [3, 4]
    last_of_other = max(i for i, each in enumerate(tried) if each["subscription_id"] == str(other))
    assert last_of_other < max(i for i, each in enumerate(tried) if each["seq"] == 5)
    (first,) = {each.message_id for each in receiver.requests[:1]}
    same = [each for each in receiver.requests if each.message_id == first]
    assert len({each.body for each in same}) == 1
    for each in receiver.requests:
        each.verified(endpoint["secret"])


async def test_an_endpoint_gets_few_requests_at_a_time(
    admin: Person, endpoint: dict[str, Any], receiver: Receiver, sessions: Sessions
) -> None:
    def answer(_: dict[str, Any]) -> int:
        time.sleep(0.2)
        return 200

    receiver.answer = answer
    user_id = await add_user(sessions)
    await asyncio.gather(*[add_subscription(sessions, user_id) for _ in range(20)])
    await until_settled(admin, endpoint, 40)
    assert 1 < receiver.most_at_once <= MAX_CONCURRENT_COUNT


async def test_a_dropped_delivery_lets_the_next_ones_through(
    admin: Person, endpoint: dict[str, Any], receiver: Receiver, sessions: Sessions
) -> None:
    """The last attempt of a delivery fails; the endpoint takes everything else, and stays on."""
    receiver.answer = lambda event: 500 if event["data"]["seq"] == 1 else 200
    await add_subscription(sessions, await add_user(sessions))

    async def has_failed() -> bool:
        return any(each["attempt_count"] for each in await deliveries(admin, endpoint))

    await until(has_failed)
    async with sessions.begin() as session:
        await session.execute(
            update(WebhookDelivery)
            .where(WebhookDelivery.delivery_status == "pending", WebhookDelivery.seq == 1)
            .values(attempt_count=len(BACKOFF))
        )
    second, first = await until_settled(admin, endpoint, 2)
    assert (first["delivery_status"], first["attempt_count"]) == ("dropped", len(BACKOFF) + 1)
    assert (second["delivery_status"], second["attempt_count"]) == ("delivered", 1)
    now = await admin.get(f"{PATH}/{endpoint['webhook_endpoint_id']}")
    assert (now["is_active"], now["failing_since"]) == (True, None)


async def test_filters_choose_what_is_recorded(
    admin: Person, endpoint: dict[str, Any], sessions: Sessions
) -> None:
    path = f"/api/v1/{PATH}/{endpoint['webhook_endpoint_id']}"
    changed = await admin.http.patch(path, json={"event_types": ["subscription.canceled"]})
    assert changed.json()["event_types"] == ["subscription.canceled"]
    subscription_id = await add_subscription(sessions, await add_user(sessions))
    await set_status(sessions, subscription_id, "past_due", "canceled")
    (only,) = await until_settled(admin, endpoint, 1)
    assert (only["event_type"], only["seq"]) == ("subscription.canceled", 4)
    assert await deliveries(admin, endpoint, event_type="subscription.created") == []
    assert await deliveries(admin, endpoint, delivery_status="dropped") == []


async def test_an_endpoint_that_is_off_holds_what_is_pending(
    admin: Person, endpoint: dict[str, Any], receiver: Receiver, sessions: Sessions
) -> None:
    path = f"/api/v1/{PATH}/{endpoint['webhook_endpoint_id']}"
    receiver.answer = lambda _: 503
    subscription_id = await add_subscription(sessions, await add_user(sessions))

    async def has_failed() -> bool:
        return any(each["attempt_count"] for each in await deliveries(admin, endpoint))

    await until(has_failed)
    assert (await admin.get(f"{PATH}/{endpoint['webhook_endpoint_id']}"))["failing_since"]
    off = (await admin.http.patch(path, json={"is_active": False})).json()
    assert (off["is_active"], off["switched_off_at"]) == (False, None)
    await set_status(sessions, subscription_id, "canceled")  # not recorded
    for action, body in (("test", {}), ("redeliver", {"webhook_delivery_id": str(uuid4())})):
        refused = await admin.post(f"{PATH}/{endpoint['webhook_endpoint_id']}/{action}", **body)
        assert problem(refused, 409, "illegal_command")["details"] == {"is_active": False}
    receiver.answer = lambda _: 200
    receiver.requests.clear()
    on = (await admin.http.patch(path, json={"is_active": True})).json()
    assert (on["is_active"], on["failing_since"]) == (True, None)
    await until_settled(admin, endpoint, 2)
    types = [each["type"] for each in receiver.events()]
    assert types == ["subscription.created", "subscription.active"]


async def test_a_test_event_is_sent_once(
    admin: Person, endpoint: dict[str, Any], receiver: Receiver
) -> None:
    path = f"{PATH}/{endpoint['webhook_endpoint_id']}/test"
    sent = [await admin.post(path, key) for key in ("one", "one")]
    assert [each.status_code for each in sent] == [202, 202]
    (row,) = await until_settled(admin, endpoint, 1)
    assert row["webhook_delivery_id"] == sent[0].json()["webhook_delivery_id"]
    assert (row["event_type"], row["delivery_status"]) == (TEST_EVENT_TYPE, "delivered")
    event = receiver.requests[0].verified(endpoint["secret"])
    assert event["data"] == {"seq": 1, "webhook_endpoint_id": endpoint["webhook_endpoint_id"]}
    receiver.answer = lambda _: 500
    await admin.post(path)
    failed, _ = await until_settled(admin, endpoint, 2)
    assert (failed["delivery_status"], failed["attempt_count"]) == ("dropped", 1)
    assert failed["last_error"] == "the endpoint answered 500"
    assert (await admin.get(f"{PATH}/{endpoint['webhook_endpoint_id']}"))["failing_since"] is None


async def test_a_delivery_is_sent_again_with_the_same_id(
    admin: Person, endpoint: dict[str, Any], receiver: Receiver, sessions: Sessions
) -> None:
    await add_subscription(sessions, await add_user(sessions))
    _, first = await until_settled(admin, endpoint, 2)
    path = f"{PATH}/{endpoint['webhook_endpoint_id']}/redeliver"
    again = await admin.post(path, webhook_delivery_id=first["webhook_delivery_id"])
    assert again.status_code == 200
    assert (again.json()["delivery_status"], again.json()["attempt_count"]) == ("pending", 0)

    async def is_sent() -> bool:
        return len(receiver.requests) == 3

    await until(is_sent)
    await until_settled(admin, endpoint, 2)
    assert receiver.requests[2].message_id == receiver.requests[0].message_id
    assert receiver.requests[2].body == receiver.requests[0].body
    unknown = await admin.post(path, webhook_delivery_id=str(uuid4()))
    problem(unknown, 404, "not_found")


async def test_a_secret_is_shown_once_and_rotated(
    admin: Person, endpoint: dict[str, Any], receiver: Receiver
) -> None:
    path = f"{PATH}/{endpoint['webhook_endpoint_id']}"
    assert "secret" not in await admin.get(path)
    rotated = [await admin.post(f"{path}/rotate-secret", "r", overlap="1h") for _ in range(2)]
    new = rotated[0].json()["secret"]
    assert new.startswith("whsec_")
    assert rotated[1].json()["secret"] is None
    assert rotated[0].json()["previous_secret_expires_at"]
    await admin.post(f"{path}/test")
    await until_settled(admin, endpoint, 1)
    for secret in (endpoint["secret"], new):
        assert receiver.requests[0].verified(secret)
    newest = (await admin.post(f"{path}/rotate-secret", overlap="0s")).json()["secret"]
    await admin.post(f"{path}/test")
    await until_settled(admin, endpoint, 2)
    assert receiver.requests[1].verified(newest)
    for secret in (endpoint["secret"], new):
        with pytest.raises(WebhookVerificationError):
            receiver.requests[1].verified(secret)
    problem(await admin.post(f"{path}/rotate-secret", overlap="8d"), 422, "invalid_input")
    problem(await admin.post(f"{PATH}/{uuid4()}/rotate-secret", overlap="1d"), 404, "not_found")


async def test_the_same_key_makes_one_endpoint(admin: Person, receiver: Receiver) -> None:
    body = {"url": receiver.url, "event_types": ["payment.*"]}
    made = [await admin.post(PATH, "same", **body) for _ in range(2)]
    assert [each.status_code for each in made] == [201, 201]
    assert made[0].json()["webhook_endpoint_id"] == made[1].json()["webhook_endpoint_id"]
    assert made[0].json()["secret"]
    assert made[1].json()["secret"] is None
    assert made[0].json()["is_active"] is True
    where = made[0].headers["Location"].removeprefix("/api/v1/")
    assert (await admin.get(where))["event_types"] == ["payment.*"]
    listed = (await admin.get(PATH))["items"]
    assert made[0].json()["webhook_endpoint_id"] in {each["webhook_endpoint_id"] for each in listed}
    await remove(admin, made[0].json())
    problem(await admin.http.get(f"/api/v1/{where}"), 404, "not_found")
    problem(await admin.http.delete(f"/api/v1/{where}"), 404, "not_found")


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:9000/hooks",
        "https://localhost/hooks",
        "https://10.0.0.1/hooks",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/hooks",
        "https://93.184.215.14:99999/hooks",
        "http://93.184.215.14/hooks",
        "https://user:password@93.184.215.14/hooks",
    ],
)
async def test_addresses_are_checked_at_registration(
    url: str, admin: Person, endpoint: dict[str, Any]
) -> None:
    made = await admin.post(PATH, url=url, event_types=["*"])
    assert made.status_code == 422, made.text
    assert made.json()["code"] in {"webhook_address_refused", "invalid_input"}
    path = f"/api/v1/{PATH}/{endpoint['webhook_endpoint_id']}"
    assert (await admin.http.patch(path, json={"url": url})).status_code == 422


async def test_an_address_that_leads_inward_later_is_not_connected_to(
    admin: Person, endpoint: dict[str, Any], receiver: Receiver, sessions: Sessions
) -> None:
    async with sessions.begin() as session:
        # As if the name of a registered host were changed to an address of ours.
        values = {"url": receiver.url.replace("127.0.0.1", "localhost")}
        await session.execute(update(WebhookEndpoint).values(**values))
    await admin.post(f"{PATH}/{endpoint['webhook_endpoint_id']}/test")
    (row,) = await until_settled(admin, endpoint, 1)
    assert (row["delivery_status"], row["last_error"]) == ("dropped", "the address is not public")
    assert receiver.requests == []


async def test_what_is_not_a_type_is_refused(admin: Person, receiver: Receiver) -> None:
    for wrong in (["subscription.cancelled"], [], ["refund.*"], [TEST_EVENT_TYPE]):
        made = await admin.post(PATH, url=receiver.url, event_types=wrong)
        problem(made, 422, "invalid_input")


async def test_only_true_and_false_switch_an_endpoint(
    admin: Person, endpoint: dict[str, Any]
) -> None:
    path = f"/api/v1/{PATH}/{endpoint['webhook_endpoint_id']}"
    for wrong in (0, 1, "off"):
        problem(await admin.http.patch(path, json={"is_active": wrong}), 422, "invalid_input")


async def test_only_administrators(user: Person, endpoint: dict[str, Any]) -> None:
    problem(
        await user.post(PATH, url="https://a.example", event_types=["*"]), 403, "admin_required"
    )
    for path in (PATH, f"{PATH}/{endpoint['webhook_endpoint_id']}/deliveries"):
        problem(await user.http.get(f"/api/v1/{path}"), 403, "admin_required")


async def test_a_workflow_that_was_terminated_is_started_again(
    app: FastAPI, admin: Person, endpoint: dict[str, Any], receiver: Receiver, sessions: Sessions
) -> None:
    receiver.answer = lambda _: 500
    temporal: Client = app.state.temporal
    await add_subscription(sessions, await add_user(sessions))
    handle = temporal.get_workflow_handle(
        webhook_endpoint_workflow_id(endpoint["webhook_endpoint_id"])
    )

    async def has_failed_twice() -> bool:
        return any(each["attempt_count"] == 2 for each in await deliveries(admin, endpoint))

    await until(has_failed_twice)
    await handle.terminate()
    receiver.answer = lambda _: 200
    await WebhookAnnouncements(temporal, sessions)._round()  # as it does every five minutes
    await until_settled(admin, endpoint, 2)


async def test_old_deliveries_are_deleted(
    admin: Person, endpoint: dict[str, Any], receiver: Receiver, sessions: Sessions
) -> None:
    await add_subscription(sessions, await add_user(sessions))
    found = await until_settled(admin, endpoint, 2)
    async with sessions.begin() as session:
        row = await session.get_one(WebhookDelivery, UUID(found[0]["webhook_delivery_id"]))
        row.created_at = func.now() - KEEP_FOR - timedelta(minutes=1)
    async with sessions.begin() as session:
        assert await WebhookOutboxRepository(session).prune(KEEP_FOR, 10) == 1
    (left,) = await deliveries(admin, endpoint)
    assert left["webhook_delivery_id"] == found[1]["webhook_delivery_id"]
