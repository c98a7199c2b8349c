"""Measures subscriptions: their start, alone and at once, and what a resting one costs."""

import asyncio
import statistics
import time

import httpx
import psycopg

from tests.bench.cpu import cpu_between, cpu_seconds, memory_kb
from tests.bench.runs import cpu_figures, post_until_taken
from tests.bench.sides import Side
from tests.e2e.client import API, TIMEOUT_SECONDS, Caller, answered

POLL_SECONDS = 0.05
ALONE_COUNT = 10
AT_ONCE = 12
EACH = 2


class Sellers:
    """Makes customers with a card, and starts subscriptions for them."""

    def __init__(self, side: Side) -> None:
        self.side = side
        self._plan_id = side.world.plan()["plan_id"]

    def start_alone(self, count: int = ALONE_COUNT) -> dict[str, float]:
        """Start one subscription after the other; return time and CPU time."""
        customers = self._customers(count)
        before = cpu_seconds(self.side.stack)
        seconds = asyncio.run(self._start_in_turn(customers))
        used = cpu_between(before, cpu_seconds(self.side.stack))
        figures = {"one start alone, p50 (ms)": 1000 * statistics.median(seconds)}
        return figures | cpu_figures("one start alone", used, count)

    def start_at_once(self, count: int = AT_ONCE * EACH) -> dict[str, float]:
        """Start subscriptions at once; return starts a second and CPU time."""
        customers = self._customers(count)
        before, began = cpu_seconds(self.side.stack), time.monotonic()
        asyncio.run(self._start_side_by_side(customers))
        seconds = time.monotonic() - began
        used = cpu_between(before, cpu_seconds(self.side.stack))
        return {"starts at once (1/s)": count / seconds} | cpu_figures(
            "starts at once", used, count
        )

    def rest(self, count: int) -> dict[str, float]:
        """Start many subscriptions; return what each of them adds once it rests, in KB."""
        self.start_at_once(count // 10)  # what is loaded and cached once is no part of the slope
        self.side.world.wait_for_quiet()
        pid = self.side.stack.pid("worker")
        first = (memory_kb(pid), self._database_kb())
        for _ in range(10):
            self.start_at_once(count // 10)
        self.side.world.wait_for_quiet()
        last = (memory_kb(pid), self._database_kb())
        worker, database = ((new - old) / count for old, new in zip(first, last, strict=True))
        return {"resting, worker (KB)": worker, "resting, database (KB)": database}

    def _database_kb(self) -> float:
        with psycopg.connect(self.side.stack.facts["database_url"]) as connection:
            row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
        return float(row[0]) / 1024 if row else 0.0

    def _customers(self, count: int) -> list[Caller]:
        world = self.side.world
        customers = [world.customer() for _ in range(count)]
        for customer in customers:
            card = world.stripe.card("ok")
            customer.post("payment-methods", stripe_payment_method_id=card, is_default=True)
        world.wait_for_quiet()
        return customers

    async def _start_in_turn(self, customers: list[Caller]) -> list[float]:
        async with self._http() as http:
            return [await self._start(http, customer) for customer in customers]

    async def _start_side_by_side(self, customers: list[Caller]) -> None:
        free = asyncio.Semaphore(AT_ONCE)
        async with self._http() as http:

            async def start(customer: Caller) -> None:
                async with free:
                    await self._start(http, customer)

            await asyncio.gather(*[start(customer) for customer in customers])

    async def _start(self, http: httpx.AsyncClient, customer: Caller) -> float:
        began, headers = time.monotonic(), customer.headers
        body = {"plan_id": self._plan_id}
        made = await post_until_taken(http, "/subscriptions", body, headers)
        path = f"/subscriptions/{made['subscription_id']}"
        while made["subscription_status"] != "active":
            await asyncio.sleep(POLL_SECONDS)
            made = answered(await http.get(path, headers=headers))
        return time.monotonic() - began

    def _http(self) -> httpx.AsyncClient:
        base_url = self.side.stack.facts["api"] + API
        return httpx.AsyncClient(base_url=base_url, timeout=TIMEOUT_SECONDS)
