"""Steps that cannot be taken are bounded, shown, owed, and taken later; seen through the API."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from api.app import build_app
from api.monitoring import make_pages
from bootstrap.workers import PROJECT, run_workers
from commands.doctor.findings import CheckDoubtfulError
from commands.doctor.parked import check_parked_steps
from config import Settings
from database.parked_steps import count_parked
from database.session import Sessions
from domain.parked_steps import ParkableResource
from domain.payment_retries.policy import LastResort, RetryPolicy
from domain.payments.rules import PaymentStatus
from domain.subscriptions.lifecycle import CommandKind
from domain.workflow_names import BILLING
from services.releases import release_of, retry_parked_of_other_releases
from tests.api.conftest import Person, client, problem
from tests.api.support import add_user, bearer, eventually
from tests.support.payers import Payer, start_paying
from tests.support.world import Customer, World
from tests.workflows.payment_retries.test_payment_retry import fail_renewal

DAY = timedelta(days=1)
READ = "GET /v1/subscriptions/*"
REFUSED: dict[str, Any] = {"before": 400, "error": {"message": "No such parameter.", "param": "x"}}


@pytest.fixture(scope="module")
async def people(
    endless_world: World, own_stripe: str, settings: Settings, sessions: Sessions
) -> AsyncIterator["People"]:
    """The API in front of the world's workflows, and its users."""
    stripe = settings.stripe.model_copy(update={"api_base": own_stripe})
    ours = settings.model_copy(update={"stripe": stripe})
    app = build_app(ours, endless_world.env.client, sessions)
    async with app.router.lifespan_context(app):
        admin_id = await add_user(sessions, "admin")
        yield People(app, ours, sessions, admin_id)


class People:
    """Who looks at the world through its API."""

    def __init__(self, app: Any, settings: Settings, sessions: Sessions, admin_id: UUID) -> None:
        self.settings = settings
        self._sessions = sessions
        self._app = app
        self.admin = self.person(admin_id)

    def person(self, user_id: UUID) -> Person:
        return Person(user_id, "", client(self._app, **bearer(self.settings, user_id)))

    async def listed(self, kind: str, key: str, *, is_parked: bool) -> set[str]:
        """Return the ids that the list shows."""
        wanted = "true" if is_parked else "false"
        page = await self.admin.get(kind, is_parked=wanted, limit=200)
        return {item[key] for item in page["items"]}

    async def gauge(self, resource: ParkableResource) -> float:
        """Return the metric of parked steps."""
        page = await make_pages(self._sessions, self._app.state.temporal)["/metrics"]()
        name = f'parked_steps{{resource="{resource}"}}'
        (line,) = [line for line in page.body.decode().splitlines() if line.startswith(name)]
        return float(line.rpartition(" ")[2])


class Trouble:
    """Faults of one customer's calls at Stripe, or of all calls."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def plant(self, match: str, customer: Customer | None = None, **fault: Any) -> None:
        whose = {"customer_email": f"{customer.user_id.hex}@example.com"} if customer else {}
        body = {"api": [{"match": match, **whose, **fault}]}
        (await self._world.http.post("/_sandbox/faults", json=body)).raise_for_status()

    async def clear(self) -> None:
        (await self._world.http.post("/_sandbox/faults", json={})).raise_for_status()

    async def count(self, match: str, stripe_id: str) -> int:
        """Count the calls of a kind about an object."""
        log = (await self._world.http.get("/_sandbox/requests")).json()["items"]
        method, _, path = match.partition(" ")
        path = path.replace("*", stripe_id)
        return sum((row["method"], row["path"]) == (method, path) for row in log)


@pytest.fixture
async def trouble(world: World) -> AsyncIterator[Trouble]:
    made = Trouble(world)
    yield made
    await made.clear()


async def hint(customer: Customer) -> None:
    """Let something happen at Stripe."""
    await customer.mailbox.signal("hint", [f"evt_{uuid4().hex}"])
    await customer.world.settle()


async def park_a_sync(world: World, trouble: Trouble, **fault: Any) -> Customer:
    """Subscribe somebody, and let the next look at Stripe fail."""
    customer = await subscribe(world)
    await trouble.plant(READ, customer, **(fault or REFUSED))
    await hint(customer)
    return customer


async def subscribe(world: World) -> Customer:
    """Subscribe somebody, and wait until all that is known of it at Stripe was told."""
    customer = await world.subscribe("ok")
    await world.settle()
    return customer


async def test_a_parked_step_of_a_subscription_is_shown_and_taken_again(
    world: World, trouble: Trouble, people: People
) -> None:
    before = await people.gauge(ParkableResource.SUBSCRIPTION)
    customer = await park_a_sync(world, trouble)
    user, admin = people.person(customer.user_id), people.admin
    own_id, path = str(customer.subscription_id), f"subscriptions/{customer.subscription_id}"

    shown = await user.get(path)
    (parked,) = shown["parked"]
    assert shown["is_parked"]
    assert parked.keys() == {"step", "code", "message", "since"}
    assert (parked["step"], parked["code"]) == ("sync", "provider_rejected")
    assert parked["message"] == "No such parameter."
    assert own_id in await people.listed("subscriptions", "subscription_id", is_parked=True)
    assert own_id not in await people.listed("subscriptions", "subscription_id", is_parked=False)
    assert "sync" in str((await user.get(f"{path}/explain"))["because"])
    assert await people.gauge(ParkableResource.SUBSCRIPTION) == before + 1
    with pytest.raises(
        CheckDoubtfulError, match=r"of subscriptions.*, the oldest since 2.* UTC: see docs"
    ):
        await check_parked_steps(people.settings)

    problem(await user.post(f"{path}/retry-parked"), 403, "admin_required")
    still = await admin.post(f"{path}/retry-parked")
    assert still.status_code == 200, still.text
    assert still.json()["parked"] == [parked], "it is as old as before"
    kinds = [event.kind for event in await customer.events()]
    assert kinds.count("parked") == 1

    await trouble.clear()
    done = await admin.post(f"{path}/retry-parked")
    assert (done.status_code, done.json()["parked"]) == (200, [])
    assert not (await user.get(path))["is_parked"]
    assert own_id not in await people.listed("subscriptions", "subscription_id", is_parked=True)
    assert await people.gauge(ParkableResource.SUBSCRIPTION) == before
    assert (await customer.row()).subscription_status == "active"


@pytest.mark.parametrize(
    ("match", "fault", "code"),
    [
        (READ, {"before": 400}, "provider_rejected"),
        (READ, {"body": "{}"}, "unreadable_answer"),
        (READ, {"body": '{"object": "subscription", "id": 7}'}, "unreadable_answer"),
        (READ, {"body": "[]"}, "unreadable_answer"),
        ("GET /v1/invoices", {"body": "{}"}, "unreadable_answer"),
    ],
    ids=["400", "no fields", "other types", "no object", "a list without entries"],
)
async def test_what_no_retry_mends_is_tried_once_and_parked(
    world: World,
    trouble: Trouble,
    match: str,
    fault: dict[str, Any],
    code: str,
) -> None:
    customer = await subscribe(world)
    stripe_id = (await customer.row()).stripe_subscription_id or ""
    before = await trouble.count(READ, stripe_id)
    await trouble.plant(match, customer, **fault)
    await hint(customer)
    (owed,) = (await customer.row()).parked_data
    assert (owed["parked"]["step"], owed["parked"]["code"]) == ("sync", code)
    assert await trouble.count(READ, stripe_id) == before + 1


async def test_pauses_grow_and_the_step_is_taken_as_soon_as_it_can_be(
    world: World, trouble: Trouble
) -> None:
    customer = await park_a_sync(world, trouble)
    stripe_id = (await customer.row()).stripe_subscription_id or ""
    tries = await trouble.count(READ, stripe_id)
    for minutes in (0.25, 1, 5, 30):
        pause = timedelta(minutes=minutes)
        # Reason: the clock goes on by itself while this test works.
        await world.step(pause / 2)
        assert await trouble.count(READ, stripe_id) == tries, f"before {pause}"
        await world.step(pause / 2 + timedelta(seconds=1))
        tries += 1
        async with asyncio.timeout(60):
            # Reason: on a busy machine a timer's task may begin after all looked idle.
            while await trouble.count(READ, stripe_id) < tries:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert await trouble.count(READ, stripe_id) == tries, f"after {pause}"
    await trouble.clear()
    await world.step(timedelta(hours=3))
    assert (await customer.row()).parked_data == []


async def test_a_look_that_succeeds_clears_nothing_that_another_step_owes(
    world: World, trouble: Trouble, people: People
) -> None:
    policy = RetryPolicy(schedules={"default": (DAY,)}, last_resort=LastResort.CANCEL)
    customer, retry = await fail_renewal(world, "insufficient_funds", policy=policy)
    await trouble.plant("DELETE /v1/subscriptions/*", customer, **REFUSED)
    await world.step(DAY + timedelta(hours=1))
    (retry,) = await customer.retries()
    assert retry.retry_status == "exhausted"
    (owed,) = (await customer.row()).parked_data
    assert owed["parked"]["step"] == "last_resort"
    looks = len([event for event in await customer.events() if event.kind == "event"])

    await hint(customer)

    events = await customer.events()
    assert len([event for event in events if event.kind == "event"]) == looks + 1
    row = await customer.row()
    assert row.subscription_status == "past_due"
    assert [each["parked"]["step"] for each in row.parked_data] == ["last_resort"]

    await trouble.clear()
    path = f"subscriptions/{customer.subscription_id}/retry-parked"
    done = (await people.admin.post(path)).json()
    assert (done["subscription_status"], done["is_parked"]) == ("canceled", False)
    assert [event.kind for event in await customer.events()].count("last_resort") == 1
    assert len(await customer.charges()) == 3


async def test_a_command_takes_parked_steps_again(world: World, trouble: Trouble) -> None:
    customer = await park_a_sync(world, trouble)
    card = await customer.add_card("ok")
    await trouble.clear()
    await customer.command(CommandKind.CHANGE_PAYMENT_METHOD, card)
    await world.settle()
    assert (await customer.row()).parked_data == []


async def test_a_cancel_needs_no_parked_step(world: World, trouble: Trouble) -> None:
    customer = await park_a_sync(world, trouble)
    await trouble.clear()
    state = await customer.command(CommandKind.CANCEL_NOW)
    await world.settle()
    assert state.subscription_status == "canceled"
    assert (await customer.row()).parked_data == []


async def test_a_parked_charge_of_a_payment_retry(
    world: World, trouble: Trouble, people: People
) -> None:
    customer, retry = await fail_renewal(world, "insufficient_funds", "ok")
    user, admin = people.person(customer.user_id), people.admin
    own_id, path = str(retry.payment_retry_id), f"payment-retries/{retry.payment_retry_id}"
    await trouble.plant("POST /v1/invoices/*/pay", customer, **REFUSED)
    await world.step(DAY + timedelta(hours=1))

    shown = await user.get(path)
    (parked,) = shown["parked"]
    assert (parked["step"], parked["code"]) == ("charge", "provider_rejected")
    assert (shown["is_parked"], shown["attempt_count"]) == (True, 0), "nothing was charged"
    told = await user.get(f"subscriptions/{customer.subscription_id}/explain")
    assert "tried again later (charge)" in str(told["because"])
    assert "The payment is tried again." not in [each["what"] for each in told["next"]]
    assert own_id in await people.listed("payment-retries", "payment_retry_id", is_parked=True)
    assert await people.gauge(ParkableResource.PAYMENT_RETRY) >= 1
    problem(await user.post(f"{path}/retry-parked"), 403, "admin_required")
    still = await admin.post(f"{path}/retry-parked")
    assert (still.status_code, still.json()["parked"]) == (200, [parked]), still.text

    await trouble.clear()
    done = await admin.post(f"{path}/retry-parked")
    assert (done.status_code, done.json()["parked"]) == (200, []), done.text
    assert done.json()["retry_status"] == "recovered"
    await world.settle()
    after = await user.get(path)
    assert (after["retry_status"], after["is_parked"]) == ("recovered", False)
    assert [charge["outcome"] for charge in await customer.charges()] == [
        "succeeded",
        "failed",
        "succeeded",
    ]


async def test_a_cancel_ends_a_parked_charge_with_its_payment_retry(
    world: World, trouble: Trouble, people: People
) -> None:
    customer, retry = await fail_renewal(world, "insufficient_funds", "ok")
    await trouble.plant("POST /v1/invoices/*/pay", customer, **REFUSED)
    await world.step(DAY + timedelta(hours=1))
    assert (await customer.retries())[0].parked_data != []

    await customer.command(CommandKind.CANCEL_NOW)
    await world.settle()

    admin, own_id = people.admin, str(retry.payment_retry_id)
    shown = await admin.get(f"payment-retries/{own_id}")
    assert (shown["retry_status"], shown["parked"]) == ("canceled", [])
    assert own_id not in await people.listed("payment-retries", "payment_retry_id", is_parked=True)


async def test_a_canceled_payment_shows_no_parked_step(world: World, trouble: Trouble) -> None:
    await trouble.plant("POST /v1/payment_intents", **REFUSED)
    payer = await start_paying(world, "ok")

    async def is_parked() -> bool:
        return "parked" in await details_of(payer)

    await eventually(is_parked)
    await payer.commands.cancel(payer.payment_id, uuid4())
    row = await payer.reaches(PaymentStatus.CANCELED)
    await payer.ends()
    assert row.parked_data == []
    assert "parked" not in await details_of(payer)


async def details_of(payer: Payer) -> str:
    """Return the text of the Web UI about a payment's workflow."""
    shown = await payer.handle.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)
    return str(shown.current_details)


async def test_a_parked_payment(world: World, trouble: Trouble, people: People) -> None:
    await trouble.plant("POST /v1/payment_intents", **REFUSED)
    payer = await start_paying(world, "ok")

    async def is_parked() -> bool:
        row = await payer.row()
        return row is not None and row.parked_data != []

    await eventually(is_parked)
    row = await payer.row()
    assert row is not None
    user, admin = people.person(row.user_id), people.admin
    own_id, path = str(payer.payment_id), f"payments/{payer.payment_id}"
    shown = await user.get(path)
    (parked,) = shown["parked"]
    assert (parked["step"], parked["code"]) == ("pay", "provider_rejected")
    assert (shown["is_parked"], shown["payment_status"]) == (True, "pending")
    assert own_id in await people.listed("payments", "payment_id", is_parked=True)
    assert await people.gauge(ParkableResource.PAYMENT) >= 1
    problem(await user.post(f"{path}/retry-parked"), 403, "admin_required")
    still = await admin.post(f"{path}/retry-parked")
    assert (still.status_code, still.json()["parked"]) == (200, [parked]), still.text

    await trouble.clear()
    done = await admin.post(f"{path}/retry-parked")
    assert (done.status_code, done.json()["is_parked"]) == (200, False), done.text
    await payer.reaches(PaymentStatus.SUCCEEDED)
    await payer.ends()
    assert await payer.ledger("charge") == [("succeeded", 2_500)]


@asynccontextmanager
async def release_running(
    world: World, people: People, sessions: Sessions, release: str
) -> AsyncIterator[None]:
    """Let workers of a release start beside those that run."""
    # Reason: one client of the SDK cannot have two workers of a queue, as two processes can.
    client = await Client.connect(
        world.env.client.service_client.config.target_host,
        data_converter=pydantic_data_converter,
    )
    async with run_workers(client, people.settings, sessions, (BILLING,), release):
        yield


async def test_a_new_release_takes_parked_steps_again_once(
    world: World, trouble: Trouble, people: People, sessions: Sessions
) -> None:
    customer = await park_a_sync(world, trouble)
    stripe_id = (await customer.row()).stripe_subscription_id or ""
    (owed,) = (await customer.row()).parked_data
    assert owed["parked"]["release"] == release_of(PROJECT)
    tries = await trouble.count(READ, stripe_id)

    async def is_tried() -> bool:
        return await trouble.count(READ, stripe_id) > tries

    async with release_running(world, people, sessions, "next"):
        await eventually(is_tried)
        await world.settle()
    assert await trouble.count(READ, stripe_id) == tries + 1
    for release in ("next", release_of(PROJECT)):
        # Reason: what it does at its start it does before anything else is known of it.
        await retry_parked_of_other_releases(world.env.client, sessions, release)
        await world.settle()
    assert await trouble.count(READ, stripe_id) == tries + 1

    await trouble.clear()

    async def is_done() -> bool:
        return (await customer.row()).parked_data == []

    async with release_running(world, people, sessions, "after next"):
        await eventually(is_done)


async def test_a_new_release_takes_all_kinds_of_steps_again(
    world: World, trouble: Trouble, people: People, sessions: Sessions
) -> None:
    customer, _ = await fail_renewal(world, "insufficient_funds", "ok")
    await trouble.plant("POST /v1/invoices/*/pay", customer, **REFUSED)
    await world.step(DAY + timedelta(hours=1))
    assert (await customer.retries())[0].parked_data != []
    await trouble.plant("POST /v1/payment_intents", **REFUSED)
    payer = await start_paying(world, "ok")

    async def is_parked() -> bool:
        row = await payer.row()
        return row is not None and row.parked_data != []

    await eventually(is_parked)
    await trouble.clear()
    async with release_running(world, people, sessions, f"release-{uuid4().hex}"):
        await payer.reaches(PaymentStatus.SUCCEEDED)

        async def is_recovered() -> bool:
            return (await customer.retries())[0].retry_status == "recovered"

        await eventually(is_recovered)
    await payer.ends()
    await world.settle()
    assert (await customer.retries())[0].parked_data == []


async def test_parked_steps_are_counted_with_their_oldest(
    world: World, trouble: Trouble, sessions: Sessions
) -> None:
    customer = await park_a_sync(world, trouble)
    async with sessions() as session:
        counts = {count.resource: count for count in await count_parked(session)}
    assert counts.keys() == set(ParkableResource)
    known = counts[ParkableResource.SUBSCRIPTION]
    (owed,) = (await customer.row()).parked_data
    assert known.step_count >= 1
    assert known.oldest_since is not None
    assert known.oldest_since <= datetime.fromisoformat(owed["parked"]["since"])
