"""The worker killed with SIGKILL while agents work: right ends, one refund, no gap in a stream."""

import random
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from uuid import uuid4

import pytest

from tests.conftest import Measure
from tests.e2e.agents import ENDED, Asker, Story, audit, refunds_of, tell
from tests.e2e.client import Document, World
from tests.e2e.running import wait_for

SEED = 2026
MOMENT_COUNT = 30
SAMPLE_COUNT = 4
INGESTION_COUNT = 3
PARAGRAPH_COUNT = 60


def moments(count: int) -> list[float]:
    """Return moments of a story that lasts from 0 to 1: one of each part, seeded, mixed."""
    dice = random.Random(SEED)  # noqa: S311
    drawn = [(place + dice.random()) / count for place in range(count)]
    dice.shuffle(drawn)
    return drawn


@pytest.fixture(scope="module")
def asker(world: World) -> Asker:
    return Asker(world)


@pytest.fixture(scope="module")
def usual_seconds(asker: Asker) -> float:
    """How long a story takes if nothing goes wrong; the first one warms everything up."""
    for story in (stories := [tell(asker) for _ in range(2)]):
        audit(story)
    return stories[-1].seconds


def test_killed_at_some_moments(
    world: World, asker: Asker, usual_seconds: float, measure: Measure
) -> None:
    """One kill meets several stories, each at a moment of its own."""
    chosen = moments(SAMPLE_COUNT)
    stories = _told_together(world, asker, [moment * usual_seconds for moment in chosen])
    for story in stories:
        audit(story)
    _report(chosen, stories, usual_seconds, measure)


@pytest.mark.soak
def test_killed_at_every_moment(
    world: World, asker: Asker, usual_seconds: float, measure: Measure
) -> None:
    chosen = moments(MOMENT_COUNT)
    stories: list[Story] = []
    for moment in chosen:
        stories += _told_together(world, asker, [moment * usual_seconds])
        audit(stories[-1])
    _report(chosen, stories, usual_seconds, measure)


@pytest.mark.soak
@pytest.mark.parametrize("moment", moments(INGESTION_COUNT))
def test_killed_while_a_document_is_ingested(world: World, asker: Asker, moment: float) -> None:
    text = "\n\n".join(_paragraph() for _ in range(PARAGRAPH_COUNT))
    began = time.monotonic()
    first = asker.ingest("Times", text)
    undisturbed = asker.customer.get(f"documents/{first}")
    seconds = time.monotonic() - began
    made = asker.customer.post("documents", title="Times", content=text)
    time.sleep(moment * seconds)
    world.stack.kill_and_wait("worker")
    asker.wait_ready(made["document_id"])
    seen = asker.customer.get(f"documents/{made['document_id']}")
    assert seen["chunk_count"] == undisturbed["chunk_count"] > 1


def test_a_worker_that_waits_takes_over(world: World) -> None:
    # Reason: what another asker has in its documents is in the request, and meets other scripts.
    asker, mark = Asker(world), uuid4().hex
    world.stack.wait_for_standby()
    slow: Document = {"text": "One word after the other. " * 20, "token_seconds": 0.5}
    world.llm.script(mark, slow, {"text": "Done.", "repeat": 9})
    run = asker.start(f"Speak slowly, {mark}.")
    wait_for("the model", lambda: world.llm.calls(mark))
    world.stack.kill_and_wait("worker")
    ended = asker.wait(run, *ENDED)
    assert (ended["run_status"], ended["output"]) == ("completed", "Done.")
    history = world.admin.get(f"workflows/{run['workflow_id']}/history")["events"]
    failures = [
        event["activityTaskStartedEventAttributes"]["lastFailure"]["message"]
        for event in history
        if "lastFailure" in event.get("activityTaskStartedEventAttributes", {})
    ]
    # Reason: on a busy machine the missed heartbeats are noticed first.
    assert failures in (
        ["the worker that executed this step died"],
        ["activity Heartbeat timeout"],
    )


def _told_together(world: World, asker: Asker, ages: Sequence[float]) -> list[Story]:
    """Tell stories side by side, and kill the worker when each has its age, in seconds."""
    with ExitStack() as cleaning:
        pool = cleaning.enter_context(ThreadPoolExecutor(len(ages)))
        striking_at = time.monotonic() + max(ages)
        told = [pool.submit(_late, tell, asker, striking_at - age) for age in ages]
        _sleep_until(striking_at)
        world.stack.kill_and_wait("worker")
        return [each.result() for each in told]


def _late(story: Callable[[Asker], Story], asker: Asker, at: float) -> Story:
    _sleep_until(at)
    return story(asker)


def _sleep_until(at: float) -> None:
    time.sleep(max(0.0, at - time.monotonic()))


def _paragraph() -> str:
    """Return a paragraph that is told nowhere else."""
    return " ".join(f"Train {uuid4().hex[:6]} leaves at noon." for _ in range(12))


def _report(
    chosen: Sequence[float],
    stories: Sequence[Story],
    usual_seconds: float,
    measure: Measure,
) -> None:
    delays = [story.seconds - usual_seconds for story in stories]
    counts = [len(refunds_of(story)) for story in stories]
    ends = [story.runs[1]["run_status"] for story in stories]
    told = [
        f"  {moment:4.0%} of it: {count} refund, {delay:+5.1f} s"
        for moment, count, delay in zip(chosen, counts, delays, strict=True)
    ]
    lines = [
        f"seed {SEED}, an undisturbed story takes {usual_seconds:.1f} s; worker killed at:",
        *told,
        f"{len(stories)} moments, {ends.count('completed')} right ends, {sum(counts)} refunds,"
        f" no gap, recovery median {statistics.median(delays):.1f} s, worst {max(delays):.1f} s",
    ]
    measure("\n".join(lines))
