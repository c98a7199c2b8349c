"""Measures agent runs: one alone, twelve at once, and after the worker was killed."""

import asyncio
import os
import signal
import statistics
import time
from collections.abc import Mapping
from http import HTTPStatus
from uuid import uuid4

import httpx
from temporalio.client import Client

from tests.bench.cpu import cpu_between, cpu_seconds
from tests.bench.sides import Side
from tests.e2e.agents import Asker
from tests.e2e.client import API, TIMEOUT_SECONDS, Document, answered
from tests.e2e.running import wait_for

ANSWER = "The train to Varna leaves from platform nine."
ASKER_COUNT = 12
ALONE_COUNT = 10
RUNS_EACH = 4
KILLED_COUNT = 10
# A run that is to be killed speaks for about five seconds.
SLOW_TOKEN_SECONDS = 0.25
SLOW_ANSWER = "A word, and another one, and then a few more words, until it is all said."
KILL_AFTER_SECONDS = 2.0


class Crowd:
    """Some customers with a subscription, who ask short questions."""

    def __init__(self, side: Side, count: int = ASKER_COUNT) -> None:
        self.side = side
        self._askers = [Asker(side.world) for _ in range(count)]
        self._mark = uuid4().hex
        self._script(text=ANSWER)

    def ask_alone(self, count: int = ALONE_COUNT) -> dict[str, float]:
        """Ask one question after the other; return time, CPU time and length of history."""
        before = cpu_seconds(self.side.stack)
        seconds, run_ids = asyncio.run(self._ask_in_turn(count))
        used = cpu_between(before, cpu_seconds(self.side.stack))
        events = asyncio.run(_history_length(self.side, run_ids[-1]))
        figures = {"one run alone, p50 (ms)": 1000 * statistics.median(seconds)}
        return figures | cpu_figures("one run alone", used, count) | {"events of a run": events}

    def ask_at_once(self, each: int = RUNS_EACH) -> dict[str, float]:
        """Let all customers ask at once, each some questions; return runs a second."""
        count = each * len(self._askers)
        before, began = cpu_seconds(self.side.stack), time.monotonic()
        asyncio.run(self._ask_side_by_side(each))
        seconds = time.monotonic() - began
        used = cpu_between(before, cpu_seconds(self.side.stack))
        return {"runs at once (1/s)": count / seconds} | cpu_figures("runs at once", used, count)

    def ask_through_a_kill(self) -> dict[str, float]:
        """Return how much later ten runs end if their worker is killed meanwhile."""
        self._script(text=SLOW_ANSWER, token_seconds=SLOW_TOKEN_SECONDS)
        calm = asyncio.run(self._ask_slowly(is_killed=False))
        killed = asyncio.run(self._ask_slowly(is_killed=True))
        self._script(text=ANSWER)
        return {
            "ten runs (s)": calm,
            "ten runs, worker killed (s)": killed,
            "delay by the kill (s)": killed - calm,
        }

    def _script(self, **reply: object) -> None:
        self._mark = uuid4().hex
        self.side.world.llm.script(self._mark, {**reply, "repeat": 1_000_000})

    async def _ask_in_turn(self, count: int) -> tuple[list[float], list[str]]:
        seconds, run_ids = [], []
        async with _http(self.side) as http:
            for _ in range(count):
                began = time.monotonic()
                run_ids.append(await self._ask(http, self._askers[0]))
                seconds.append(time.monotonic() - began)
        return seconds, run_ids

    async def _ask_side_by_side(self, each: int) -> None:
        async with _http(self.side) as http:

            async def ask_all(asker: Asker) -> None:
                for _ in range(each):
                    await self._ask(http, asker)

            await asyncio.gather(*[ask_all(asker) for asker in self._askers])

    async def _ask_slowly(self, *, is_killed: bool) -> float:
        began = time.monotonic()
        async with _http(self.side) as http:
            asking = [self._ask(http, asker) for asker in self._askers[:KILLED_COUNT]]
            runs = asyncio.gather(*asking)
            await asyncio.sleep(KILL_AFTER_SECONDS)
            if is_killed:
                for pid in self.side.stack.facts["pids"]["worker"]:
                    os.kill(pid, signal.SIGKILL)
            await runs
        return time.monotonic() - began

    async def _ask(self, http: httpx.AsyncClient, asker: Asker) -> str:
        """Start a run, read its stream to the end, and return the run's id."""
        body = {"agent": "research", "input": f"Where does the train leave? {self._mark}"}
        headers = asker.customer.headers
        made = await post_until_taken(http, "/agent-runs", body, headers)
        path = f"/agent-runs/{made['agent_run_id']}"
        last = ""
        async with http.stream("GET", f"{path}/events", headers=headers) as events:
            async for line in events.aiter_lines():
                last = line if line.startswith("event:") else last
        assert "done" in last, last
        return str(made["workflow_id"])


async def post_until_taken(
    http: httpx.AsyncClient, path: str, body: Document, headers: Mapping[str, str]
) -> Document:
    """Send a POST, and again under its key while the answer is 503 because all are busy."""
    keyed = {**headers, "Idempotency-Key": uuid4().hex}
    reply = await http.post(path, json=body, headers=keyed)
    while reply.status_code == HTTPStatus.SERVICE_UNAVAILABLE:
        reply = await http.post(path, json=body, headers=keyed)
    return answered(reply)


def cpu_figures(what: str, used: Mapping[str, float], count: int) -> dict[str, float]:
    """Return the CPU time of one of `count` things, of all services and of each, in ms."""
    total = 1000 * sum(used.values()) / count
    each = {f"{what}, {name} (CPU ms)": 1000 * spent / count for name, spent in used.items()}
    return {f"{what}, all (CPU ms)": total} | each


def _http(side: Side) -> httpx.AsyncClient:
    base_url = side.stack.facts["api"] + API
    return httpx.AsyncClient(base_url=base_url, timeout=TIMEOUT_SECONDS)


async def _history_length(side: Side, workflow_id: str) -> int:
    facts = side.stack.facts
    client = await Client.connect(facts["temporal"], namespace=facts["namespace"])
    handle = client.get_workflow_handle(workflow_id)
    await handle.result()
    return len((await handle.fetch_history()).events)


def wait_until_back(side: Side, old_pid: int) -> None:
    """Wait until the worker has been started again."""
    wait_for("a new worker", lambda: side.stack.pid("worker") != old_pid)
