"""Webhooks under load while the API is killed: what was answered 200 is stored, each once."""

import json
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import httpx
import psycopg
import pytest

from tests.conftest import Measure
from tests.e2e.client import World

SENDER_COUNT = 8
PADDING = "x" * 5_000
# Answers that are wanted before the API is killed in the middle of the others.
WARM_COUNT = 60


class Senders:
    """Sends events of 5 KB, each with an id of its own, until it is told to stop."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._stopped = threading.Event()
        self.answered: list[str] = []

    def send(self) -> None:
        """Send one event after the other; keep the ids of those that were answered 200."""
        url = f"{self._world.stack.facts['api']}/api/v1/webhooks/stripe"
        with httpx.Client(timeout=30) as http:
            while not self._stopped.is_set():
                event_id = f"evt_{uuid4().hex}"
                body = {"id": event_id, "object": "event", "type": "quote.created"}
                data = {"object": {"object": "quote", "id": "qt_1", "note": PADDING}}
                payload = json.dumps(body | {"data": data}).encode()
                try:
                    reply = http.post(url, content=payload, headers=self._world.sign(payload))
                except httpx.TransportError:
                    time.sleep(0.02)
                    continue
                if reply.status_code == 200:
                    self.answered.append(event_id)

    def stop(self) -> None:
        self._stopped.set()


@pytest.mark.parametrize(
    "kill_count", [3, pytest.param(10, marks=pytest.mark.soak)], ids=["sample", "soak"]
)
def test_what_was_answered_is_stored_although_the_api_is_killed(
    world: World, measure: Measure, kill_count: int
) -> None:
    senders = Senders(world)
    with ThreadPoolExecutor(SENDER_COUNT) as pool:
        sending = [pool.submit(senders.send) for _ in range(SENDER_COUNT)]
        try:
            for _ in range(kill_count):
                wanted = len(senders.answered) + WARM_COUNT
                deadline = time.monotonic() + 100
                while len(senders.answered) < wanted:
                    assert time.monotonic() < deadline, "the API does not answer any more"
                    time.sleep(0.005)
                world.stack.kill_and_wait("api")
        finally:
            senders.stop()
        for each in sending:
            each.result()
    stored = rows_of(world, senders.answered)
    assert len(stored) == len(senders.answered), "each has one row"
    measure(
        f"SIGKILL of the API under load, {kill_count} times: {len(senders.answered)} events of "
        "5 KB answered 200, all stored, none twice"
    )


def rows_of(world: World, event_ids: Sequence[str]) -> list[str]:
    """Return the stored events of these ids."""
    statement = "SELECT stripe_event_id FROM webhook_events WHERE stripe_event_id = ANY(%s)"
    with psycopg.connect(world.stack.facts["database_url"]) as connection:
        return [str(row[0]) for row in connection.execute(statement, (list(event_ids),))]
