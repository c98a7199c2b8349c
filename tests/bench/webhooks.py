"""Measures the webhook endpoint, beside a naive handler and a route that only answers.

Each round sends unique events, made and signed before the clock starts, over 64 connections that
stay open, and then looks in the database whether each answered event has its row.
"""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any, cast
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import psutil
import psycopg
import uvloop
from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy

from tests.bench.neighbours import naive_webhook
from tests.bench.sides import Side
from tests.conftest import PROJECT, free_port
from tests.e2e.client import API, answered
from tests.e2e.running import wait_for

CONNECTION_COUNT = 64
SUBSCRIPTION_COUNT = naive_webhook.WORKFLOW_COUNT
# A round ends when its events or its seconds are used up.
EVENT_COUNT = 10_000
SECONDS = 5.0
WARM_COUNT = 500
KINDS = ("unknown", "live")
SETTLE_SECONDS = 300
TEMPLATE_TYPE = "customer.subscription.created"
SENT_TYPE = "customer.subscription.updated"

Figures = dict[str, float]


@dataclass(frozen=True)
class Target:
    """A route that takes events.

    Args:
        url: Address of the route.
        pid: Process that serves it.
        table: Table in which each answered event must have one row; None if it stores none.
    """

    url: str
    pid: int
    table: str | None


@dataclass
class Load:
    """Requests to send, and how they were answered."""

    requests: Iterator[tuple[str, bytes]]
    deadline: float
    seconds: list[float] = field(default_factory=list)
    event_ids: list[str] = field(default_factory=list)


class Hooks:
    """Some live subscriptions of a running stack, and events about them."""

    def __init__(self, side: Side) -> None:
        self.side = side
        subscription_ids = self._subscribe(SUBSCRIPTION_COUNT)
        side.world.wait_for_quiet()
        self._templates = self._read_templates(subscription_ids)

    def measure(self, target: Target) -> Figures:
        """Send events of each kind to a route; return rates, delays and CPU time."""
        figures: Figures = {}
        for kind in KINDS:
            self._send(target, kind, WARM_COUNT)
            self._wait_until_settled(target)
            told = self._send(target, kind, EVENT_COUNT)
            figures |= {f"webhooks, {kind}, {name}": value for name, value in told.items()}
            self.side.world.wait_for_quiet()
        return figures

    def _send(self, target: Target, kind: str, count: int) -> Figures:
        prepared = [*self._requests(target, kind, count)]
        used, began = _cpu_seconds(target.pid), time.monotonic()
        load = Load(iter(prepared), began + SECONDS)
        uvloop.run(_send_all(target.url, load))
        elapsed, answering = time.monotonic() - began, _cpu_seconds(target.pid) - used
        self._check_rows(target, load.event_ids)
        self._wait_until_settled(target)
        settled, all_in_all = time.monotonic() - began, _cpu_seconds(target.pid) - used
        done = len(load.seconds)
        ranks = statistics.quantiles(load.seconds, n=100)
        return {
            "answered (1/s)": done / elapsed,
            "delivered (1/s)": done / settled,
            "p50 (ms)": 1000 * ranks[49],
            "p99 (ms)": 1000 * ranks[98],
            "1,000 answered (CPU ms)": 1e6 * answering / done,
            "1,000 delivered (CPU ms)": 1e6 * all_in_all / done,
        }

    def _requests(self, target: Target, kind: str, count: int) -> Iterator[tuple[str, bytes]]:
        host, path = urlsplit(target.url).netloc, urlsplit(target.url).path
        for number in range(count):
            event_id, template = f"evt_{uuid4().hex}", self._templates[number % SUBSCRIPTION_COUNT]
            body = template.replace("EVENT_ID", event_id)
            if kind == "unknown":
                body = body.replace('"object": "subscription"', '"object": "quote"')
            payload = body.encode()
            sent = self.side.world.sign(payload) | {
                "Host": host,
                "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
                "Content-Type": "application/json; charset=utf-8",
                "Content-Length": str(len(payload)),
                "Accept": "*/*; q=0.5, application/xml",
                "Cache-Control": "no-cache",
            }
            head = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
            yield event_id, f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + payload

    def _subscribe(self, count: int) -> list[str]:
        """Start subscriptions of one customer to as many plans, and return their ids."""
        world, customer = self.side.world, self.side.world.customer()
        card = world.stripe.card("ok")
        customer.post("payment-methods", stripe_payment_method_id=card, is_default=True)
        plan_ids = [world.plan()["plan_id"] for _ in range(count)]
        made = [customer.post("subscriptions", plan_id=plan_id) for plan_id in plan_ids]
        return [str(each["subscription_id"]) for each in made]

    def _read_templates(self, subscription_ids: Sequence[str]) -> list[str]:
        """Return an event of each subscription as Stripe sends it, with `EVENT_ID` for its id."""
        headers = {"Authorization": "Bearer sk_test_bench"}
        params: dict[str, str | int] = {"type": TEMPLATE_TYPE, "limit": 100}
        with httpx.Client(base_url=self.side.stack.facts["stripe"], headers=headers) as http:
            events = answered(http.get("/v1/events", params=params))["data"]
        found = {each["data"]["object"]["metadata"]["subscription_id"]: each for each in events}
        return [
            json.dumps(found[each] | {"id": "EVENT_ID", "type": SENT_TYPE}, indent=2)
            for each in subscription_ids
        ]

    def _check_rows(self, target: Target, event_ids: Sequence[str]) -> None:
        """Check that each answered event has one row."""
        if target.table is None:
            return
        statement = f"SELECT count(*) FROM {target.table} WHERE stripe_event_id = ANY(%s)"  # noqa: S608 - a constant
        row = self._read(statement, [*event_ids])
        assert row == len(set(event_ids)) == len(event_ids), f"{row} rows of {len(event_ids)}"

    def _wait_until_settled(self, target: Target) -> None:
        """Wait until the dispatcher has delivered all events."""
        if target.table != "webhook_events":
            return
        waiting = "SELECT count(*) FROM webhook_events WHERE webhook_event_status = 'received'"
        wait_for("the dispatcher", lambda: self._read(waiting) == 0, SETTLE_SECONDS)

    def _read(self, statement: str, *values: Any) -> int:
        with psycopg.connect(self.side.stack.facts["database_url"]) as connection:
            row = connection.execute(statement.encode(), values or None).fetchone()
        assert row
        return int(row[0])


class _Connection(asyncio.Protocol):
    """One connection that sends one request after the other."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._send_next()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found or len(rest) < int(head.lower().split(b"content-length: ")[1].split()[0]):
            return
        if not head.startswith(b"HTTP/1.1 200 "):
            self.ended.set_exception(AssertionError(self._buffer.decode()))
            return
        self._load.seconds.append(time.monotonic() - self._began)
        self._load.event_ids.append(self._event_id)
        self._buffer = b""
        self._send_next()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_exception(error or ConnectionError("the server closed a connection"))

    def _send_next(self) -> None:
        self._began = time.monotonic()
        following = None if self._began > self._load.deadline else next(self._load.requests, None)
        if following is None:
            self.ended.set_result(None)
            self._transport.close()
            return
        self._event_id, request = following
        self._transport.write(request)


async def _send_all(url: str, load: Load) -> None:
    loop, address = asyncio.get_running_loop(), urlsplit(url)
    assert address.hostname
    assert address.port
    host, port = address.hostname, address.port
    made = [
        await loop.create_connection(lambda: _Connection(load), host, port)
        for _ in range(CONNECTION_COUNT)
    ]
    async with asyncio.timeout(SETTLE_SECONDS):
        await asyncio.gather(*[connection.ended for _, connection in made])


@cache
def hooks_of(side: Side) -> Hooks:
    """Return the events of a side, for our route and for its neighbours."""
    return Hooks(side)


def measure_ours(hooks: Hooks) -> Figures:
    """Measure the route of the running stack."""
    stack = hooks.side.stack
    url = f"{stack.facts['api']}{API}/webhooks/stripe"
    return hooks.measure(Target(url, stack.pid("api"), "webhook_events"))


def measure_naive(hooks: Hooks) -> Figures:
    """Measure the naive handler, with the database and Temporal of the running stack."""
    facts = hooks.side.stack.facts
    with psycopg.connect(facts["database_url"]) as connection:
        connection.execute(
            f"CREATE TABLE IF NOT EXISTS {naive_webhook.TABLE}"
            " (stripe_event_id text PRIMARY KEY, event_type text, body bytea,"
            " received_at timestamptz NOT NULL DEFAULT now())"
        )
    asyncio.run(_start_workflows(facts))
    with _neighbour(facts) as (base, pid):
        return hooks.measure(Target(f"{base}/naive", pid, naive_webhook.TABLE))


def measure_bare(hooks: Hooks) -> Figures:
    """Measure a route of FastAPI that only reads the body."""
    with _neighbour(hooks.side.stack.facts) as (base, pid):
        return hooks.measure(Target(f"{base}/bare", pid, None))


async def _start_workflows(facts: Mapping[str, Any]) -> None:
    """Start workflows that take signals; no worker runs them."""
    client = await Client.connect(facts["temporal"], namespace=facts["namespace"])
    for number in range(naive_webhook.WORKFLOW_COUNT):
        await client.start_workflow(
            "NaiveWebhookWorkflow",
            id=naive_webhook.workflow_id(number),
            task_queue="naive-webhook",
            id_conflict_policy=WorkflowIDConflictPolicy.TERMINATE_EXISTING,
        )


@contextmanager
def _neighbour(facts: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Run the neighbours' server; yield its address and its process id."""
    port = free_port()
    environment = os.environ | {
        "NAIVE_DATABASE": facts["database_url"],
        "NAIVE_TEMPORAL": facts["temporal"],
        "NAIVE_NAMESPACE": facts["namespace"],
        "NAIVE_SECRET": facts["stripe_webhook_secret"],
    }
    command = [sys.executable, "-m", naive_webhook.__name__, str(port)]
    process = subprocess.Popen(command, cwd=PROJECT, env=environment)
    base = f"http://127.0.0.1:{port}"

    def is_ready() -> bool:
        assert process.poll() is None
        try:
            return httpx.post(f"{base}/bare").is_success
        except httpx.TransportError:
            return False

    try:
        wait_for("the neighbour", is_ready)
        yield base, process.pid
    finally:
        process.terminate()
        process.wait()


def _cpu_seconds(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)
