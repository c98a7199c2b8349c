"""The worker killed with SIGKILL while tools act: each effect is there once, whatever the tool.

A run's model orders a refund, a cancellation, orders at an HTTP server with an idempotency key,
with a look-up and with neither, and one at an MCP server; when it has read the results, it plans
all of it again. A person says yes to everything that is not known to be done.
"""

import random
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import Measure, open_folder
from tests.e2e.agents import Asker
from tests.e2e.client import World
from tests.e2e.running import RunningStack, copy_product
from tests.e2e.tool_trials import Shops, Trial, audit, open_shops, prepare, tell
from tests.support.checked import settle

SEED = 2026
TOGETHER = 4
TRIAL_COUNT = 100
SAMPLE_COUNT = 4


@pytest.fixture(scope="module")
def project() -> Iterator[Path]:
    """Copy the product into a folder that PostgreSQL's user can reach."""
    with open_folder() as folder:
        yield copy_product(folder)


@pytest.fixture(scope="module")
def shops(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shops]:
    with open_shops(project, tmp_path_factory.mktemp("shop")) as shops:
        yield shops


@pytest.fixture(scope="module")
def world(project: Path, shops: Shops) -> Iterator[World]:
    """Run a stack of its own, whose agents have the shops' tools."""
    stack = RunningStack(project.parent, "--allow-private", "127.0.0.1", project=project)
    try:
        stack.wait_until_ready()
        world = World(stack)
        yield world
        world.close()
        settle(stack.facts["stripe"])
        stack.stop()
    finally:
        stack.destroy()


@pytest.fixture(scope="module")
def askers(world: World) -> list[Asker]:
    return [Asker(world) for _ in range(TOGETHER)]


@pytest.fixture(scope="module")
def usual_seconds(askers: list[Asker], shops: Shops) -> float:
    """How long a trial takes if nothing dies; the first ones warm everything up."""
    trials: list[Trial] = []
    for _ in range(2):
        trials = together(askers, [0.0] * TOGETHER, None)
        assert [audit(trial, shops) for trial in trials] == [[]] * TOGETHER
    return statistics.median(trial.seconds for trial in trials)


def together(askers: Sequence[Asker], ages: Sequence[float], world: World | None) -> list[Trial]:
    """Run trials side by side, and kill the worker when each has its age, in seconds."""
    with ThreadPoolExecutor(len(askers)) as pool:
        trials = list(pool.map(prepare, askers))
        striking_at = time.monotonic() + max(ages)

        def begin(trial: Trial, age: float) -> Trial:
            time.sleep(max(0.0, striking_at - age - time.monotonic()))
            return tell(trial)

        told = [pool.submit(begin, *each) for each in zip(trials, ages, strict=True)]
        if world is not None:
            time.sleep(max(0.0, striking_at - time.monotonic()))
            world.stack.kill_and_wait("worker")
        return [each.result() for each in told]


@pytest.mark.parametrize(
    "count",
    [
        SAMPLE_COUNT,
        pytest.param(TRIAL_COUNT, marks=[pytest.mark.soak, pytest.mark.timeout(3_600)]),
    ],
)
def test_each_effect_is_there_once(
    world: World,
    askers: list[Asker],
    shops: Shops,
    usual_seconds: float,
    measure: Measure,
    count: int,
) -> None:
    dice = random.Random(SEED)  # noqa: S311
    places = [(place + dice.random()) / count for place in range(count)]
    dice.shuffle(places)
    unknown, seconds, met_count = Counter[str](), [], 0
    for start in range(0, count, TOGETHER):
        world.stack.wait_for_standby()
        ages = [place * usual_seconds for place in places[start : start + TOGETHER]]
        for trial, age in zip(together(askers, ages, world), ages, strict=True):
            unknown.update(audit(trial, shops))
            seconds.append(trial.seconds)
            met_count += trial.seconds > age
    late = statistics.median(seconds) - usual_seconds
    measure(
        f"seed {SEED}, {count} runs of twelve calls of tools, the worker killed within"
        f" {usual_seconds:.1f} s of each, {met_count} before its end: each effect once;"
        f" asked of a person: {dict(unknown)}; late by {late:.1f} s at the median"
    )
