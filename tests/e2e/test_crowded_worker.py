"""Three hundred runs at once on one worker: none is lost, and a payment retry beside is in time."""

import asyncio
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from threading import Thread
from uuid import uuid4

import httpx
import pytest

from tests.bench.cpu import cpu_between, cpu_seconds
from tests.bench.runs import post_until_taken
from tests.conftest import Measure
from tests.e2e.agents import ENDED, Asker
from tests.e2e.client import API, TIMEOUT_SECONDS, Document, World, answered
from tests.e2e.running import wait_for
from tests.e2e.story import MONTH_DAYS, Subscribed

RUN_COUNT = 300
ASKER_COUNT = 12
STEP_COUNT = 6
MODEL_SECONDS = 1.0
RETRY_COUNT = 10
WAIT_SECONDS = 20
MAX_RATIO, MAX_MORE_SECONDS = 2.0, 1.0
PATIENCE_SECONDS = 1_200
SCRIPT = ("ok", "insufficient_funds", "ok")
READ = {"name": "read_billing", "arguments": {"records": "payments"}}


class Crowd:
    """Runs of some customers, all open at the same time."""

    def __init__(self, world: World, count: int) -> None:
        self.world, self.count = world, count
        self.askers = [Asker(world) for _ in range(ASKER_COUNT)]
        self.runs: list[tuple[Asker, Document]] = []

    def start(self) -> None:
        """Begin all runs."""
        asyncio.run(self._start())

    async def _start(self) -> None:
        async with httpx.AsyncClient(base_url=self._base, timeout=TIMEOUT_SECONDS) as http:
            turns = asyncio.Semaphore(ASKER_COUNT)

            async def begin(asker: Asker) -> None:
                mark, pace = uuid4().hex, {"delay_seconds": MODEL_SECONDS, "token_seconds": 0}
                again = {**pace, "tool_calls": [READ], "repeat": STEP_COUNT - 1}
                async with turns:
                    await asyncio.to_thread(
                        self.world.llm.script, mark, again, {**pace, "text": "Done."}
                    )
                    body = {"agent": "analysis", "input": f"What did I pay, {mark}?"}
                    headers = asker.customer.headers
                    run = await post_until_taken(http, "/agent-runs", body, headers)
                self.runs.append((asker, run))

            await asyncio.gather(
                *(begin(self.askers[number % ASKER_COUNT]) for number in range(self.count))
            )

    @property
    def _base(self) -> str:
        return f"{self.world.stack.facts['api']}{API}"

    def finish(self) -> list[Document]:
        """Wait until all runs have ended, and return them."""

        def look(asker: Asker, run: Document) -> Document | None:
            seen = asker.look(run)
            return seen if seen["run_status"] in ENDED else None

        return [
            wait_for("the end of a run", partial(look, *each), PATIENCE_SECONDS)
            for each in self.runs
        ]

    @contextmanager
    def working(self) -> Iterator[None]:
        """Begin all runs, and go on when most of them are open."""
        thread = Thread(target=self.start)
        thread.start()
        wait_for("a crowd", lambda: len(self.runs) > 0.8 * self.count, PATIENCE_SECONDS)
        try:
            yield
        finally:
            thread.join()


def lateness(world: World, payers: list[Subscribed]) -> list[float]:
    """Let renewals fail; return how long after they were due the retries have charged."""
    world.stripe.advance(MONTH_DAYS)
    for payer in payers:
        payer.wait_retries("recovered")
    return [_late_by(world, payer) for payer in payers]


def _late_by(world: World, payer: Subscribed) -> float:
    (retry,) = payer.retries
    history = world.admin.get(f"workflows/{retry['workflow_id']}/history")["events"]
    # Reason: a retry waits from its workflow's first task on; one that is late has no timer.
    first = next(each for each in history if "workflowTaskStartedEventAttributes" in each)
    due_at = datetime.fromisoformat(first["eventTime"]) + timedelta(seconds=WAIT_SECONDS)
    charged = payer.charges[-1]
    assert charged["outcome"] == "succeeded", charged
    return float(charged["wall_time"] - due_at.timestamp())


def subscribe(world: World) -> list[Subscribed]:
    """Make customers whose next renewal fails once."""
    name = f"patient-{uuid4().hex[:8]}"
    policy = {"schedules": {"default": [f"{WAIT_SECONDS}s"]}, "grace": "7d"}
    answered(world.admin.send("PUT", f"retry-policies/{name}", json=policy))
    plan = world.admin.post(
        "plans",
        code=name,
        name="Patient",
        amount_cents=2900,
        currency_code="usd",
        interval="month",
        retry_policy=name,
    )
    payers = [Subscribed(world, plan) for _ in range(RETRY_COUNT)]
    for payer in payers:
        payer.add_card(*SCRIPT)
        payer.subscribe()
    for payer in payers:
        payer.wait_status("active")
    return payers


@pytest.mark.soak
@pytest.mark.timeout(3_600)
def test_a_crowd_delays_no_payment_retry(world: World, measure: Measure) -> None:
    alone = lateness(world, subscribe(world))
    crowd, payers = Crowd(world, RUN_COUNT), subscribe(world)
    before, began = cpu_seconds(world.stack), time.monotonic()
    with crowd.working():
        beside = lateness(world, payers)
    runs = crowd.finish()
    seconds = time.monotonic() - began
    used = cpu_between(before, cpu_seconds(world.stack))
    steps = RUN_COUNT * STEP_COUNT
    usual, now = statistics.median(alone), statistics.median(beside)
    each = ", ".join(f"{name} {1000 * spent / steps:.1f}" for name, spent in used.items())
    measure(
        f"{RUN_COUNT} runs of {STEP_COUNT} steps at once, model {MODEL_SECONDS} s: {seconds:.0f} s,"
        f" {steps / seconds:.1f} steps a second; CPU of a step (ms): {each};"
        f" from due to charge: alone {1000 * usual:.0f} ms, beside {1000 * now:.0f} ms"
        f" (worst {1000 * max(beside):.0f} ms), medians of {RETRY_COUNT}"
    )
    assert [run["run_status"] for run in runs] == ["completed"] * RUN_COUNT
    assert now <= max(MAX_RATIO * usual, usual + MAX_MORE_SECONDS)
