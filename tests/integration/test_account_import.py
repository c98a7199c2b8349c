"""The import of a whole account: killed in between, all are there once, and Stripe is unchanged."""

import asyncio
import csv
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import func, insert, select
from temporalio.client import Client

from adapters.tls import trusted
from config import Settings
from database.accounts.models import User
from database.payment_retries.models import PaymentRetry
from database.payments.models import PaymentMethod
from database.session import Sessions
from database.subscriptions.models import Subscription
from domain.ids import adopted_subscription_id
from tests.campaign.answers import ANSWERS
from tests.campaign.calls import Call, call_of
from tests.conftest import PROJECT, free_port, start_sandbox, wait_for_url
from tests.support.checked import settle
from tests.support.worker_process import worker_process

Measure = Callable[[str], None]
AT_ONCE = 8
SEED = 2026
# Every so many customers there is one who owes a renewal, has no user, or has no subscription.
OWING_EVERY, STRANGER_EVERY, IDLE_EVERY = 10, 15, 20


@dataclass
class Account:
    """An account at Stripe with customers that were there before us."""

    base: str
    http: httpx.AsyncClient
    user_ids: dict[str, UUID]
    subscriptions: dict[str, str]
    owing: set[str]
    strangers: set[str]

    async def post(self, path: str, **params: Any) -> dict[str, Any]:
        reply = await self.http.post(f"/v1/{path}", data=params)
        body: dict[str, Any] = reply.raise_for_status().json()
        return body

    async def get(self, path: str) -> dict[str, Any]:
        body: dict[str, Any] = (await self.http.get(path)).raise_for_status().json()
        return body

    async def fill(self, count: int) -> None:
        """Make customers with cards and subscriptions."""
        product = await self.post("products", name="Sold for years")
        params = {"product": product["id"], "currency": "usd", "unit_amount": 900}
        price = await self.post("prices", **params, **{"recurring[interval]": "week"})
        slots = asyncio.Semaphore(AT_ONCE)

        async def make(number: int) -> None:
            async with slots:
                await self._make(number, str(price["id"]))

        await asyncio.gather(*[make(number) for number in range(count)])
        eight_days = {"seconds": 8 * 86_400}
        (await self.http.post("/_sandbox/clock/advance", json=eight_days)).raise_for_status()

    async def _make(self, number: int, price: str) -> None:
        is_owing = number % OWING_EVERY == 1
        script = ["ok", "insufficient_funds"] if is_owing else ["ok"]
        reply = await self.http.post("/_sandbox/payment-methods", json={"script": script})
        card = reply.raise_for_status().json()["id"]
        default = {"invoice_settings[default_payment_method]": card}
        made = await self.post("customers", payment_method=card, **default)
        customer = str(made["id"])
        if number % STRANGER_EVERY == 2:
            self.strangers.add(customer)
        else:
            self.user_ids[customer] = uuid4()
        if number % IDLE_EVERY == 3:
            return
        wanted = {"customer": customer, "items[0][price]": price}
        subscription = await self.post("subscriptions", **wanted)
        self.subscriptions[str(subscription["id"])] = customer
        if is_owing:
            self.owing.add(str(subscription["id"]))

    @property
    def importable(self) -> dict[str, UUID]:
        """Users by Stripe's id of the subscriptions that an import has to adopt."""
        return {
            stripe_id: self.user_ids[customer]
            for stripe_id, customer in self.subscriptions.items()
            if customer in self.user_ids
        }


@pytest.fixture(scope="module")
def stripe_base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A stand-in that sends no webhooks, with an account of its own."""
    port = free_port()
    folder = tmp_path_factory.mktemp("import-stripe")
    child = start_sandbox("sandbox.stripe", folder, "--port", str(port))
    base = f"http://127.0.0.1:{port}"
    wait_for_url(f"{base}/_sandbox/health")
    yield base
    try:
        settle(base)
    finally:
        child.terminate()
        child.wait(100)


@pytest.fixture
async def account(stripe_base: str) -> AsyncIterator[Account]:
    headers = {"Authorization": "Bearer sk_test_x"}
    options: Any = {"verify": trusted(), "timeout": 600}
    async with httpx.AsyncClient(base_url=stripe_base, headers=headers, **options) as http:
        yield Account(stripe_base, http, {}, {}, set(), set())


async def sign_up(sessions: Sessions, account: Account, path: Path) -> None:
    """Make the users by their ids at another login system, and write the operator's mapping."""
    users = [
        {"user_id": user_id, "email": f"{user_id.hex}@example.com", "external_id": user_id.hex}
        for user_id in account.user_ids.values()
    ]
    async with sessions.begin() as session:
        for start in range(0, len(users), 1_000):
            await session.execute(insert(User), users[start : start + 1_000])
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["stripe_customer_id", "external_id"])
        table.writerows((each, user_id.hex) for each, user_id in account.user_ids.items())


class CommandLine:
    """`cli.py stripe import` as operators run it."""

    def __init__(self, settings: Settings, temporal: Client, folder: Path) -> None:
        names = ("PATH", "HOME", "TMPDIR", "XDG_RUNTIME_DIR")
        self._environment = {
            **{name: os.environ[name] for name in names if name in os.environ},
            "AUTH__JWT_SECRET": settings.auth.jwt_secret.get_secret_value(),
            "DATABASE_URL": settings.database_url,
            "STRIPE__API_BASE": str(settings.stripe.api_base),
            "TEMPORAL__ADDRESS": temporal.service_client.config.target_host,
            "TEMPORAL__NAMESPACE": temporal.namespace,
        }
        self.mapping, self.report = folder / "customers.csv", folder / "left.csv"

    def start(self, *options: str) -> subprocess.Popen[str]:
        command = [sys.executable, "cli.py", "stripe", "import", *options]
        return subprocess.Popen(
            command,
            cwd=PROJECT,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    async def run(self, *options: str) -> str:
        process = self.start(*options)
        output, _ = await asyncio.to_thread(process.communicate, None, 3_000)
        assert process.returncode == 0, output
        return output


async def rows_of(sessions: Sessions, account: Account) -> dict[str, Subscription]:
    async with sessions() as session:
        found = await session.scalars(
            select(Subscription).where(
                Subscription.stripe_subscription_id.in_(list(account.subscriptions))
            )
        )
        rows = list(found)
    by_id = {str(row.stripe_subscription_id): row for row in rows}
    assert len(by_id) == len(rows)
    return by_id


async def wait_for_rows(sessions: Sessions, account: Account, count: int) -> None:
    ids = list(account.subscriptions)
    statement = select(func.count()).where(Subscription.stripe_subscription_id.in_(ids))
    # Reason: each question about thousands of rows takes a while of a core.
    pause = 0.05 + len(ids) / 5_000
    async with asyncio.timeout(1_800):
        while True:
            async with sessions() as session:
                if (await session.scalar(statement) or 0) >= count:
                    return
            await asyncio.sleep(pause)


async def kill_worker_at(
    temporal: Client, settings: Settings, folder: Path, wait: Coroutine[Any, Any, None]
) -> None:
    """Run a worker until something has happened, and kill it in the middle of its work."""
    async with worker_process(temporal, settings, folder) as worker:
        await wait
        worker.process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(worker.process.wait, 100)


def busiest_second(requests: list[dict[str, Any]]) -> int:
    """Return the most requests that came within one second."""
    times = sorted(request["wall_time"] for request in requests)
    most = first = 0
    for last, at in enumerate(times):
        while at - times[first] >= 1:
            first += 1
        most = max(most, last - first + 1)
    return most


def end(command: subprocess.Popen[str]) -> None:
    """Kill a command, unless it has ended."""
    if command.poll() is None:
        command.kill()
        command.communicate()


@pytest.mark.parametrize("count", [60, pytest.param(5_400, marks=pytest.mark.soak)])
async def test_an_import_killed_twice(
    account: Account,
    settings: Settings,
    sessions: Sessions,
    namespace: Client,
    tmp_path: Path,
    measure: Measure,
    count: int,
) -> None:
    stripe = settings.stripe.model_copy(update={"api_base": account.base})
    ours = settings.model_copy(update={"stripe": stripe})
    command = CommandLine(ours, namespace, tmp_path)
    await account.fill(count)
    await sign_up(sessions, account, command.mapping)
    ledger = await account.get("/_sandbox/ledger")
    last_seq = (await account.get("/_sandbox/requests"))["items"][-1]["seq"]
    expected = account.importable

    first = command.start("--mapping", str(command.mapping))
    for part in (4, 2):
        wait = wait_for_rows(sessions, account, len(expected) // part)
        await kill_worker_at(namespace, ours, tmp_path, wait)
        end(first)  # the command too, the first time
    loop = asyncio.get_running_loop()
    async with worker_process(namespace, ours, tmp_path):
        began = loop.time()
        output = await command.run("--report", str(command.report))
        seconds = loop.time() - began
        await check(sessions, account)
        made = {each: row.updated_at for each, row in (await rows_of(sessions, account)).items()}
        again = await command.run("--mapping", str(command.mapping))
        assert "new: 0;" in again, again
        now = {each: row.updated_at for each, row in (await rows_of(sessions, account)).items()}
        assert now == made
        requests = await account.get(f"/_sandbox/requests?after={last_seq}")
        assert await account.get("/_sandbox/ledger") == ledger
        await start_retries(command, sessions, account)

    assert {request["method"] for request in requests["items"]} == {"GET"}
    rate = busiest_second(requests["items"])
    measure(
        f"import of {len(expected)} subscriptions, killed twice: all once, the rest in "
        f"{seconds:.0f} s, at most {rate} calls to Stripe a second"
    )
    assert rate <= 80
    with command.report.open() as file:
        left = {row["stripe_customer_id"] for row in csv.DictReader(file)}
    assert account.strangers <= left
    assert not left & account.user_ids.keys()
    assert f"{len(account.subscriptions)} that have not ended" in output, output


# Every call of an import, and the worker's question whose account it is.
READS = (
    Call.READ_ACCOUNT,
    Call.LIST_CUSTOMERS,
    Call.CARDS_OF_CUSTOMER,
    Call.LIST_SUBSCRIPTIONS,
    Call.READ_SUBSCRIPTION,
    Call.LIST_INVOICES,
    Call.READ_INVOICE,
    Call.READ_CARD,
)
# Reason: by a 404 Stripe tells that there is no such thing, which an import believes.
TROUBLES = [
    answer
    for answer in ANSWERS
    if answer.is_for_reads and not answer.is_slow
    if answer.name != "404"
]


@pytest.mark.parametrize(
    "count",
    [2, pytest.param(len(TROUBLES), marks=[pytest.mark.soak, pytest.mark.timeout(4_000)])],
)
async def test_an_import_whatever_stripe_answers(
    account: Account,
    settings: Settings,
    sessions: Sessions,
    namespace: Client,
    tmp_path: Path,
    measure: Measure,
    count: int,
) -> None:
    """Each call meets so many answers, one after the other; a command that gives up is repeated."""
    stripe = settings.stripe.model_copy(update={"api_base": account.base})
    ours = settings.model_copy(update={"stripe": stripe})
    command = CommandLine(ours, namespace, tmp_path)
    await account.fill(45)
    await sign_up(sessions, account, command.mapping)
    ledger = await account.get("/_sandbox/ledger")
    last_seq = (await account.get("/_sandbox/requests"))["items"][-1]["seq"]
    dice = random.Random(SEED)  # noqa: S311
    faults = [
        {"match": call.value, "label": answer.name, "times": 1, **answer.fault}
        for call in READS
        for answer in dice.sample(TROUBLES, count)
    ]
    planted = await account.http.post("/_sandbox/faults", json={"api": faults})
    planted.raise_for_status()
    failures: list[str] = []
    async with worker_process(namespace, ours, tmp_path):
        for _ in range(10):
            process = command.start("--mapping", str(command.mapping))
            output, _ = await asyncio.to_thread(process.communicate, None, 3_000)
            if process.returncode == 0:
                break
            failures.append(output.strip().splitlines()[-1])
        await check(sessions, account)
    (await account.http.post("/_sandbox/faults", json={})).raise_for_status()
    requests = (await account.get(f"/_sandbox/requests?after={last_seq}"))["items"]
    met = {(call_of(each["method"], each["path"]), each["fault"]) for each in requests}
    assert {call for call, _ in met} <= set(READS)
    met_count = len([pair for pair in met if pair[1] is not None])
    measure(
        f"import of {len(account.importable)} subscriptions: {met_count} of {len(faults)} pairs of "
        f"call and answer met; gave up {len(failures)} times: {failures}"
    )
    assert process.returncode == 0, output
    assert "Traceback" not in output + str(failures)
    assert await account.get("/_sandbox/ledger") == ledger
    assert {each["method"] for each in requests} == {"GET"}


async def start_retries(command: CommandLine, sessions: Sessions, account: Account) -> None:
    """Start the payment retries that the import has left paused, twice."""
    owing_count = len(account.owing & account.importable.keys())
    assert f"{owing_count} payment retries started" in await command.run("--start-retries")
    ids = [row.subscription_id for row in (await rows_of(sessions, account)).values()]
    statement = select(PaymentRetry.retry_status, PaymentRetry.paused_reason).where(
        PaymentRetry.subscription_id.in_(ids)
    )
    async with asyncio.timeout(300):
        while True:
            async with sessions() as session:
                found = [tuple(row) for row in await session.execute(statement)]
            if found == [("waiting", None)] * owing_count:
                break
            await asyncio.sleep(0.1)
    assert "0 payment retries started" in await command.run("--start-retries")


async def check(sessions: Sessions, account: Account) -> None:
    """Check that all subscriptions, cards and debts of users are there, once each."""
    expected = account.importable
    rows = await rows_of(sessions, account)
    assert {stripe_id: row.user_id for stripe_id, row in rows.items()} == expected
    account_id = (await account.get("/v1/account"))["id"]
    assert all(
        row.subscription_id == adopted_subscription_id(account_id, stripe_id)
        for stripe_id, row in rows.items()
    )
    statuses = Counter(row.subscription_status for row in rows.values())
    owing = account.owing & expected.keys()
    assert statuses == {"past_due": len(owing), "active": len(expected) - len(owing)}
    assert not [row for row in rows.values() if row.parked_data]
    ids = [row.subscription_id for row in rows.values()]
    async with sessions() as session:
        retries = await session.execute(
            select(PaymentRetry.retry_status, PaymentRetry.paused_reason, func.count())
            .where(PaymentRetry.subscription_id.in_(ids))
            .group_by(PaymentRetry.retry_status, PaymentRetry.paused_reason)
        )
        assert list(retries) == [("paused", "imported", len(owing))]
        users = list(account.user_ids.values())
        cards = await session.scalar(
            select(func.count()).where(PaymentMethod.user_id.in_(users), PaymentMethod.is_default)
        )
    assert cards == len(users)
