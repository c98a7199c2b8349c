"""Counts the product files that four ways through the code run.

Run: `python -m tests.gates.trace_ways`. The script starts the embedded stack with a tracer in
worker and API (`tests/gates/tracer/`), and goes each way twice, after once untraced:

- create a subscription: from the POST to the active subscription;
- a webhook: from the POST of an event to the changed subscription;
- an agent's step: a call of the model, from its node in the run's graph to the node's return;
- a refund: from the POST to the refunded payment.

A file counts if one of its functions runs on the way, in both rounds, and is called by a function
that does not call it while nobody sends anything. Module bodies and imports do not count. The state
is read from the database, so that reading it counts nothing; Stripe's sandbox sends no webhooks.
"""

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import httpx
import psycopg

from tests.conftest import open_folder
from tests.e2e.agents import Asker
from tests.e2e.client import World, answered
from tests.e2e.running import RunningStack, wait_for

TRACER = Path(__file__).parent / "tracer"
TRIGGER = "workflows/agents/graphs/pipeline.py:ask_model"
IDLE_SECONDS = 20
# What still runs after the visible end belongs to the way.
SETTLE_SECONDS = 1.5
IDLE = 1


class Call(NamedTuple):
    """A call of a function of the product."""

    path: str
    function: str
    caller: str


class Windows:
    """Opens and closes the windows of a tracer, and reads what it recorded."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / "windows"
        self._path.write_bytes(bytes(2))

    @contextmanager
    def open(self, number: int) -> Iterator[None]:
        """Record all calls under a number."""
        self._write(number, 0)
        yield
        self._write(0, 0)

    def arm(self, number: int) -> None:
        """Record the calls of the tracer's trigger under a number, when it is called next."""
        self._write(0, number)

    def calls(self, number: int) -> set[Call]:
        """Return what was recorded under a number."""
        lines = [
            line.split("\t")
            for path in self._folder.glob("*.calls")
            for line in path.read_text().splitlines()
        ]
        return {Call(*call) for window, *call in lines if int(window) == number}

    def _write(self, window: int, armed: int) -> None:
        # Reason: the tracers map this file, so it is changed in place.
        with self._path.open("r+b") as file:
            file.write(bytes((window, armed)))


def files_of(rounds: list[set[Call]], idle: set[Call]) -> list[str]:
    """Return the files that each round has run, apart from calls of the idle time."""
    ran = [{call.path for call in calls - idle} for calls in rounds]
    return sorted(set.intersection(*ran))


class Ways:
    """The four ways, on a running stack."""

    def __init__(self, world: World, windows: Windows) -> None:
        self._world = world
        self._windows = windows
        self._plan = world.plan()
        self._asker = Asker(world)
        self._asker.ingest("Trains", "The train to Varna leaves from platform 12.")
        self._subscription: dict[str, Any] = {}

    def create_subscription(self, window: int) -> None:
        """Subscribe a new customer."""
        customer = self._world.customer()
        card = self._world.stripe.card("ok")
        customer.post("payment-methods", stripe_payment_method_id=card, is_default=True)
        with self._opened(window):
            made = customer.post("subscriptions", plan_id=self._plan["plan_id"])
            sql = "SELECT * FROM subscriptions WHERE subscription_id = %s"
            self._wait_row(sql, made["subscription_id"], "subscription_status", "active")
        self._subscription = customer.get(f"subscriptions/{made['subscription_id']}")

    def webhook(self, window: int) -> None:
        """Deliver the event of a cancellation that was made at Stripe."""
        facts, stripe_id = self._world.stack.facts, self._subscription["stripe_subscription_id"]
        stripe = httpx.Client(
            base_url=facts["stripe"], headers={"Authorization": "Bearer sk_test_trace"}
        )
        with stripe:
            changed = {"cancel_at_period_end": "true"}
            answered(stripe.post(f"/v1/subscriptions/{stripe_id}", data=changed))
            events = {"type": "customer.subscription.updated", "limit": "1"}
            event = answered(stripe.get("/v1/events", params=events))["data"][0]
        assert event["data"]["object"]["id"] == stripe_id, event
        payload = json.dumps(event).encode()
        with self._opened(window):
            path = "/api/v1/webhooks/stripe"
            answered(self._world.api.post(path, content=payload, headers=self._world.sign(payload)))
            sql = "SELECT cancel_at IS NOT NULL AS is_set FROM subscriptions WHERE workflow_id = %s"
            self._wait_row(sql, self._subscription["workflow_id"], "is_set", True)

    def agent_step(self, window: int) -> None:
        """Ask an agent; only its call of the model is traced."""
        self.wait_quiet()
        if window:
            self._windows.arm(window)
        run = self._asker.start(f"Where does the train to Varna leave from? {uuid4().hex[:6]}")
        sql = "SELECT run_status FROM agent_runs WHERE agent_run_id = %s"
        self._wait_row(sql, run["agent_run_id"], "run_status", "completed")

    def refund(self, window: int) -> None:
        """Refund a payment."""
        payment_id = self._asker.pay()["payment_id"]
        with self._opened(window):
            self._world.admin.post(f"payments/{payment_id}/refund", reason="requested_by_customer")
            sql = "SELECT * FROM payments WHERE payment_id = %s"
            self._wait_row(sql, payment_id, "payment_status", "refunded")

    def wait_quiet(self) -> None:
        """Wait until no work is open; Stripe's webhooks stay where they are."""
        wait_for("quiet", lambda: self._world.admin.get("admin/quiet")["is_quiet"])

    @contextmanager
    def _opened(self, window: int) -> Iterator[None]:
        """Open a window for one way, from silence to silence; 0 opens none."""
        self.wait_quiet()
        time.sleep(SETTLE_SECONDS)
        with self._windows.open(window):
            yield
            time.sleep(SETTLE_SECONDS)

    def _wait_row(self, sql: str, key: str, column: str, value: object) -> None:
        url = self._world.stack.facts["database_url"]
        with psycopg.connect(url, autocommit=True) as connection:
            cursor = connection.cursor(row_factory=psycopg.rows.dict_row)

            def is_there() -> bool:
                row = cursor.execute(sql, [key]).fetchone()
                return row is not None and row[column] == value

            wait_for(f"{column} = {value}", is_there)


def trace(folder: Path, trigger: str) -> Mapping[str, list[str]]:
    """Go all ways on a stack of its own.

    Args:
        folder: Folder for the stack's data and the tracer's.
        trigger: Path and function of the node that calls the model.

    Returns:
        Files of each way.
    """
    windows = Windows(folder)
    os.environ |= {
        "PYTHONPATH": str(TRACER),
        "PERDURE_TRACE_FOLDER": str(folder),
        "PERDURE_TRACE_TRIGGER": trigger,
    }
    stack = RunningStack(folder)
    try:
        stack.wait_until_ready()
        world = World(stack)
        world.stripe.faults(off=True)
        ways = Ways(world, windows)
        go: dict[str, Callable[[int], None]] = {
            "create a subscription": ways.create_subscription,
            "a webhook": ways.webhook,
            "an agent's step": ways.agent_step,
            "a refund": ways.refund,
        }
        for number in (0, 10, 20):
            for index, way in enumerate(go.values()):
                way(number and number + index)
        ways.wait_quiet()
        with windows.open(IDLE):
            time.sleep(IDLE_SECONDS)
        world.close()
        stack.stop()
    finally:
        stack.destroy()
    idle = windows.calls(IDLE)
    return {
        name: files_of([windows.calls(10 + index), windows.calls(20 + index)], idle)
        for index, name in enumerate(go)
    }


def main() -> None:
    """Print each way's files by layer, and their number."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trigger", default=TRIGGER, help="the node that calls the model")
    arguments = parser.parse_args()
    with open_folder() as folder:
        ways = trace(folder, arguments.trigger)
    for name, files in ways.items():
        layers = Counter(path.partition("/")[0] for path in files)
        counts = ", ".join(f"{layer} {count}" for layer, count in layers.items())
        sys.stdout.write(f"{name}: {len(files)} files ({counts})\n")
        sys.stdout.writelines(f"  {path}\n" for path in files)


if __name__ == "__main__":
    main()
