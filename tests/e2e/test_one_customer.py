"""Many runs of one customer on one plan, while workers are killed: never above the plan.

Compared are what the records of usage hold, what the stand-in of the models counted, and what the
customer may use.
"""

import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.conftest import Measure
from tests.e2e.agents import ENDED, Asker
from tests.e2e.client import Document, World
from tests.e2e.running import wait_for

SEED = 2026
AT_ONCE = 50
SAMPLE_COUNT, RUN_COUNT = 40, 1_000
KILL_PAUSE_SECONDS = (6.0, 12.0)
# After the end of a run nothing of it may stay reserved for longer.
HOLD_SECONDS = 5.0
# A run costs about 900 tokens; a fifth of them find the plan used up.
TOKENS_PER_RUN = 700
ANSWERS: tuple[Document, ...] = (
    {"token_count": 20},
    {"token_count": 60},
    {"behaviour": "cached_prompt"},
    {"behaviour": "xai_totals"},
    {"status": 429, "retry_after": 0.1},
    {"status": 500},
)
# Columns of a record, and what the stand-in counted of a call.
CLASSES: dict[str, Callable[[Document], int]] = {
    "prompt_token_count": lambda call: int(call["prompt_tokens"]),
    "completion_token_count": lambda call: int(call["completion_tokens"]),
    "cached_prompt_token_count": lambda call: (
        call["prompt_tokens"] // 2 if call["behaviour"] == "cached_prompt" else 0
    ),
    "reasoning_token_count": lambda call: 500 if call["behaviour"] == "xai_totals" else 0,
}
HELD = ("prompt_token_count", "completion_token_count")
MARK = re.compile(r"Do you know ([0-9a-f]{32})")
USAGE = """
    SELECT run.run_status, run.completed_at, record.*
    FROM usage_records record JOIN agent_runs run USING (agent_run_id)
    WHERE record.user_id = %s
"""


class Watch:
    """Looks at one customer's records all the time, and keeps the worst that it saw."""

    def __init__(self, world: World, user_id: str) -> None:
        self.most_held = 0
        self.longest_hold_seconds = 0.0
        self._world, self._user_id = world, user_id
        self._is_over = threading.Event()

    def records(self) -> list[dict[str, Any]]:
        """Read all records of usage, with the state of their run."""
        with psycopg.connect(self._world.stack.facts["database_url"]) as connection:
            cursor = connection.execute(USAGE, [self._user_id])
            names = [column.name for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor]

    def look(self) -> None:
        """Look once."""
        records = self.records()
        self.most_held = max(self.most_held, sum(held_tokens(record) for record in records))
        now = time.time()
        for record in records:
            if record["usage_status"] == "reserved" and record["completed_at"] is not None:
                stranded = now - record["completed_at"].timestamp()
                self.longest_hold_seconds = max(self.longest_hold_seconds, stranded)

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Look twice a second."""

        def loop() -> None:
            while not self._is_over.wait(0.5):
                self.look()

        with ThreadPoolExecutor(max_workers=1) as pool:
            looking = pool.submit(loop)
            try:
                yield
            finally:
                self._is_over.set()
            looking.result()


def held_tokens(record: dict[str, Any]) -> int:
    """Return what a record holds: the worst case until it is settled."""
    prefix = "reserved_" if record["usage_status"] == "reserved" else ""
    counts = (record[f"{prefix}{name}"] for name in HELD)
    return int(sum(counts))


@contextmanager
def killing(world: World, dice: random.Random) -> Iterator[list[float]]:
    """Kill the worker again and again, and return when."""
    is_over, moments = threading.Event(), list[float]()

    def loop() -> None:
        while not is_over.wait(dice.uniform(*KILL_PAUSE_SECONDS)):
            world.stack.kill_and_wait("worker")
            moments.append(time.monotonic())

    with ThreadPoolExecutor(max_workers=1) as pool:
        killer = pool.submit(loop)
        try:
            yield moments
        finally:
            is_over.set()
        killer.result()


@pytest.mark.parametrize("count", [SAMPLE_COUNT, pytest.param(RUN_COUNT, marks=pytest.mark.soak)])
def test_many_runs_of_one_customer(world: World, count: int, measure: Measure) -> None:
    limit = TOKENS_PER_RUN * count
    asker = Asker(world, token_count=limit)
    user_id = asker.customer.get("users/me")["user_id"]
    dice = random.Random(SEED)  # noqa: S311
    watch, marks = Watch(world, user_id), [uuid4().hex for _ in range(count)]
    for mark in marks:
        first = dice.choice(ANSWERS)
        world.llm.script(mark, first, {"token_count": 30, "repeat": 9})
    with (
        watch.looking(),
        killing(world, dice) as kills,
        ThreadPoolExecutor(max_workers=AT_ONCE) as pool,
    ):
        ends = Counter(pool.map(lambda mark: ask(asker, mark), marks))
    wait_for("the last hold", lambda: _none_is_held(watch.records()))
    watch.look()
    used = asker.used["token_count"]
    booked = compare(world, marks, watch.records())
    measure(
        f"{count} runs of one customer, {AT_ONCE} at a time, {len(kills)} kills: ends {dict(ends)};"
        f" at most {watch.most_held} of {limit} tokens held or used, {used} used in the end;"
        f" the longest hold after a run's end {watch.longest_hold_seconds:.1f} s; {booked}"
    )
    assert sum(ends.values()) == count
    assert set(ends) <= {"completed", "budget_exceeded", "limit_reached"}, ends
    assert watch.most_held <= limit
    assert used <= limit
    assert watch.longest_hold_seconds <= HOLD_SECONDS


def ask(asker: Asker, mark: str) -> str:
    """Run to the end, and return the status; the code, if the run is refused."""
    reply = asker.customer.send(
        "POST", "agent-runs", json={"agent": "research", "input": f"Do you know {mark}?"}
    )
    if reply.status_code == 402:
        return str(reply.json()["code"])
    assert reply.status_code == 202, reply.text
    return str(asker.wait(reply.json(), *ENDED)["run_status"])


def compare(world: World, marks: list[str], records: list[dict[str, Any]]) -> str:
    """Compare what was booked with what the models' stand-in counted, by class of tokens."""
    asked = [record for record in records if record["usage_kind"] == "model_call"]
    mine = set(marks)
    calls = [call for call in world.llm.calls("") if mine & set(MARK.findall(str(call["body"])))]
    exact = [record for record in asked if record["outcome"] == "succeeded"]
    told = [call for call in calls if call["finish_reason"]]
    booked_exactly = Counter(tuple(record[name] for name in CLASSES) for record in exact)
    counted_exactly = Counter(tuple(count(call) for count in CLASSES.values()) for call in told)
    assert not booked_exactly - counted_exactly, "every class of tokens of each call"
    lines = []
    for name, count in CLASSES.items():
        booked, counted = sum(record[name] for record in exact), sum(map(count, told))
        lines.append(f"{name} {booked} booked of {counted}")
        # Reason: an answer that a killed worker had not told is booked at its worst case.
        assert sum(record[name] for record in asked) >= booked
    assert len(asked) >= len(calls)
    lost = len(told) - len(exact)
    return f"{len(asked)} calls, {lost} answers lost with a worker; " + ", ".join(lines)


def _none_is_held(records: list[dict[str, Any]]) -> bool:
    return all(record["usage_status"] == "settled" for record in records)
