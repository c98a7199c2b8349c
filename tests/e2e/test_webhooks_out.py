"""Webhooks to a receiver that fails, while worker and API are killed: all, in order, signed."""

import random
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.conftest import Measure
from tests.e2e.client import Document, World
from tests.e2e.running import wait_for
from tests.support.receiver import Receiver, receiving

SEED = 2026
FAILING_SHARE = 0.2
PAUSE_SECONDS = 3.0
# Reason: a message may fail several times in a row, and then waits for minutes.
LIMIT_SECONDS = 3_600
VICTIMS = ("worker", "api", "worker")


@contextmanager
def registered(world: World, receiver: Receiver, *event_types: str) -> Iterator[Document]:
    """Register the receiver for a while."""
    endpoint = world.admin.post(
        "webhook-endpoints", url=receiver.url, event_types=list(event_types)
    )
    try:
        yield endpoint
    finally:
        path = f"webhook-endpoints/{endpoint['webhook_endpoint_id']}"
        assert world.admin.send("DELETE", path).status_code in {204, 404}


def write_facts(world: World, user_id: str, resource_count: int, event_count: int) -> None:
    """Write payments, and change each of them many times, as fast as the database can."""
    ids = [uuid4() for _ in range(resource_count)]
    with psycopg.connect(world.stack.facts["database_url"]) as connection:
        for payment_id in ids:
            connection.execute(
                "INSERT INTO payments"
                " (payment_id, user_id, amount_cents, currency_code, payment_status)"
                " VALUES (%s, %s, 100000, 'usd', 'failed')",
                (payment_id, user_id),
            )
        connection.commit()
        for number in range(1, event_count - 1):
            connection.execute(
                "UPDATE payments SET refunded_cents = %s WHERE payment_id = ANY(%s)", (number, ids)
            )
            connection.commit()
            time.sleep(0.02)


def by_resource(receiver: Receiver) -> dict[UUID, list[int]]:
    """Return the numbers of the accepted events of each payment, in the order of their arrival."""
    found = defaultdict(list)
    for event in receiver.events():
        found[UUID(event["data"]["payment_id"])].append(event["data"]["seq"])
    return found


def without_repeats(numbers: list[int]) -> list[int]:
    return list(dict.fromkeys(numbers))


def verify_until_quiet(world: World, receiver: Receiver, secret: str) -> None:
    """Wait for the last delivery; verify each signature in the five minutes for which it holds."""
    verified: list[Document] = []

    def is_quiet() -> bool:
        count = int(world.admin.get("admin/quiet")["delivery_count"])
        new = receiver.requests[len(verified) :]
        verified.extend(request.verified(secret) for request in new)
        return count == 0

    wait_for("all deliveries", is_quiet, LIMIT_SECONDS)


@pytest.mark.parametrize(
    ("resource_count", "event_count"),
    [
        pytest.param(20, 10, id="200"),
        pytest.param(250, 40, id="10000", marks=[pytest.mark.soak, pytest.mark.timeout(4_000)]),
    ],
)
def test_each_is_delivered_in_order_although_all_is_killed(
    resource_count: int, event_count: int, world: World, measure: Measure
) -> None:
    chance = random.Random(SEED)  # noqa: S311 - not a secret
    is_sample = resource_count < 100
    failures: dict[tuple[str, int], int] = defaultdict(int)

    def answer(event: dict[str, Any]) -> int:
        key = (event["data"]["payment_id"], event["data"]["seq"])
        # Reason: after two failures the next wait is 30 s, too long for the sample.
        if (is_sample and failures[key] >= 2) or chance.random() >= FAILING_SHARE:
            return 200
        failures[key] += 1
        return chance.choice((400, 429, 500, 503))

    total = resource_count * event_count
    user_id = world.admin.post("users", email=f"{uuid4().hex}@example.com", password=uuid4().hex)
    with receiving(answer) as receiver, registered(world, receiver, "payment.*") as endpoint:
        began = time.monotonic()
        with ThreadPoolExecutor(max_workers=1) as pool:
            writing: Future[None] = pool.submit(
                write_facts, world, user_id["user_id"], resource_count, event_count
            )
            for victim in VICTIMS:
                time.sleep(PAUSE_SECONDS * chance.random())
                world.stack.kill_and_wait(victim)
            writing.result()

        verify_until_quiet(world, receiver, endpoint["secret"])
        seconds = time.monotonic() - began
        accepted = receiver.accepted
        found = by_resource(receiver)
    expected = list(range(1, event_count + 1))
    assert len(found) == resource_count
    assert {tuple(without_repeats(numbers)) for numbers in found.values()} == {tuple(expected)}
    failed_count = len(receiver.requests) - len(accepted)
    measure(
        f"webhooks out: {total} deliveries in {seconds:.0f} s, {len(receiver.requests)} requests, "
        f"{failed_count} failed, {len(accepted) - total} repeated, {len(VICTIMS)} kills"
    )
    assert failed_count > total * FAILING_SHARE / 2
