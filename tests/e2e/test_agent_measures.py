"""What the agents' path costs on a whole stack: a step's overhead, a token's way, the spending."""

import asyncio
import random
import statistics
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from typing import NamedTuple
from uuid import uuid4

import pytest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Worker

from bootstrap.workers import STICKY_TIMEOUT, workflow_runner
from sandbox.llm.tokens import pieces
from tests.conftest import Measure
from tests.e2e.agents import ENDED, Asker, audit_stream, audit_usage
from tests.e2e.bare import QUEUE, BareWorkflow, Order, bare
from tests.e2e.client import Document, World

SEED = 2026
TRY_COUNT = 3

STEP_COUNT = 20
SAMPLE_STEP_COUNT = 10
MAX_RATIO = 1.5

MAX_TOKEN_P95_MS = 150
TOKEN_COUNT = 200
TOKEN_SECONDS = 0.01

RUN_COUNT = 20
SAMPLE_COUNT = 8
# What a model can do wrong without being given up.
TROUBLES: tuple[Document, ...] = (
    {"status": 429, "retry_after": 0.1},
    {"status": 500},
    {"text": "It is very, very", "no_finish_reason": True},
    {"text": "It is very, very", "disconnect_after": 3},
    {"tool_calls": [{"name": "search_memory", "arguments": "{'query': 'trains',}"}]},
    {"tool_calls": [{"name": "search_memory", "arguments": {"query": 5}}]},
    {"tool_calls": [{"name": "format_disk", "arguments": "{"}]},
)


@pytest.fixture(scope="module")
def asker(world: World) -> Asker:
    return Asker(world)


@pytest.fixture
async def temporal(world: World) -> AsyncIterator[Client]:
    """A client of the stack's server, with a worker of ours beside the stack's."""
    facts = world.stack.facts
    client = await Client.connect(
        facts["temporal"],
        namespace=facts["namespace"],
        data_converter=pydantic_data_converter,
    )
    serving = Worker(
        client,
        task_queue=QUEUE,
        workflows=[BareWorkflow],
        activities=[bare],
        workflow_runner=workflow_runner(is_sandboxed=True),
        sticky_queue_schedule_to_start_timeout=STICKY_TIMEOUT,
        disable_eager_activity_execution=True,
    )
    async with serving:
        yield client


@pytest.mark.parametrize("most", [None, pytest.param(MAX_RATIO, marks=pytest.mark.soak)])
async def test_overhead_of_durability(
    world: World, asker: Asker, temporal: Client, measure: Measure, most: float | None
) -> None:
    """What makes a step durable, workflow, graph and two queues, is as quick as a bare activity."""
    ratio = 0.0
    for _ in range(TRY_COUNT):
        ratios = await _ratios(world, asker, temporal, measure, count=SAMPLE_STEP_COUNT)
        ratio = ratios.shell
        if most is None or ratio <= most:
            return
    assert most is not None
    assert ratio <= most


@pytest.mark.soak
async def test_overhead_of_a_step(
    world: World, asker: Asker, temporal: Client, measure: Measure
) -> None:
    """All of a step beyond the model's own time, against an activity that does nothing at all."""
    ratios = await _ratios(world, asker, temporal, measure, count=STEP_COUNT)
    assert ratios.whole <= MAX_RATIO


class Ratios(NamedTuple):
    """A step's time by a bare activity's: all but the model, and without what it writes down."""

    whole: float
    shell: float


async def _ratios(
    world: World,
    asker: Asker,
    temporal: Client,
    measure: Measure,
    *,
    count: int,
) -> Ratios:
    steps, bares = [], []
    for _ in range(count):
        steps.append(await _step_trip(world, asker, temporal))
        bares.append(await _bare_trip(world, temporal))
    whole = statistics.median(trip.whole for trip in steps)
    shell = statistics.median(trip.whole - trip.inside for trip in steps)
    other = statistics.median(trip.whole for trip in bares)
    within = statistics.median(trip.inside for trip in bares)
    measure(
        f"medians of {count}: bare activity {1000 * other:.1f} ms,"
        f" {1000 * within:.1f} ms of it between start and completion;"
        f" step beyond the model {1000 * whole:.1f} ms, ratio {whole / other:.2f};"
        f" without what it writes down {1000 * shell:.1f} ms, ratio {shell / other:.2f}"
    )
    return Ratios(whole / other, shell / other)


class Trip(NamedTuple):
    """From an activity's scheduling to the workflow's next step, and within the worker."""

    whole: float
    inside: float


async def _step_trip(world: World, asker: Asker, temporal: Client) -> Trip:
    """Return how long a step took, without the model."""
    mark = uuid4().hex
    await asyncio.to_thread(world.llm.script, mark, {"text": "Yes.", "token_seconds": 0})
    run = await asyncio.to_thread(asker.start, f"Is this {mark}?")
    await temporal.get_workflow_handle(run["workflow_id"]).result()
    (call,) = await asyncio.to_thread(world.llm.calls, mark)
    trip = await asyncio.to_thread(_trip, world, run["workflow_id"], "ask_model")
    seconds = float(call["ended_wall_time"] - call["started_wall_time"])
    return Trip(trip.whole - seconds, trip.inside - seconds)


async def _bare_trip(world: World, temporal: Client) -> Trip:
    workflow_id = f"bare-{uuid4()}"
    order = Order(agent_run_id=workflow_id, step=1, at=datetime.now().astimezone())
    await temporal.execute_workflow(BareWorkflow.run, order, id=workflow_id, task_queue=QUEUE)
    return await asyncio.to_thread(_trip, world, workflow_id, "bare")


def _trip(world: World, workflow_id: str, name: str) -> Trip:
    """Read the last activity of a name from a history."""
    history = world.admin.get(f"workflows/{workflow_id}/history")["events"]
    scheduled = [event for event in history if _activity_type(event) == name][-1]
    later = iter(history[history.index(scheduled) :])
    started, ended, heard = (
        next(_at(event) for event in later if event["eventType"].endswith(kind))
        for kind in ("ACTIVITY_TASK_STARTED", "ACTIVITY_TASK_COMPLETED", "WORKFLOW_TASK_COMPLETED")
    )
    return Trip(heard - _at(scheduled), ended - started)


def _activity_type(event: Document) -> str | None:
    facts: Document = event.get("activityTaskScheduledEventAttributes", {})
    name: str | None = facts.get("activityType", {}).get("name")
    return name


def _at(event: Document) -> float:
    return datetime.fromisoformat(event["eventTime"]).timestamp()


@pytest.mark.parametrize("most_ms", [None, pytest.param(MAX_TOKEN_P95_MS, marks=pytest.mark.soak)])
def test_a_token_reaches_the_socket(
    world: World, asker: Asker, measure: Measure, most_ms: float | None
) -> None:
    p95 = 0.0
    for _ in range(TRY_COUNT):
        delays = sorted(_token_delays(world, asker))
        p50, p95 = (1000 * delays[len(delays) * share // 100] for share in (50, 95))
        measure(
            f"{len(delays)} tokens from the model to the WebSocket:"
            f" p50 {p50:.0f} ms, p95 {p95:.0f} ms"
        )
        if most_ms is None or p95 <= most_ms:
            return
    assert most_ms is not None
    assert p95 <= most_ms


def _token_delays(world: World, asker: Asker) -> Iterator[float]:
    """Yield for each token of one answer how long after the model it was heard."""
    mark = uuid4().hex
    pace = {"token_count": TOKEN_COUNT, "token_seconds": TOKEN_SECONDS, "timed": True}
    world.llm.script(mark, pace)
    run = asker.start(f"Is this {mark}?")
    with asker.following(run) as following:
        run = asker.wait(run, *ENDED)
    heard = following.result()
    audit_stream(run, heard)
    (call,) = world.llm.calls(mark)
    said = call["token_wall_times"]
    assert len(said) == TOKEN_COUNT
    tokens = [each for each in heard if each.event["kind"] == "token"]
    place = 0
    for token in tokens:
        for _ in pieces(token.event["data"]["text"]):
            yield token.wall_time - said[place]
            place += 1
    assert place == TOKEN_COUNT


@pytest.mark.parametrize("count", [SAMPLE_COUNT, pytest.param(RUN_COUNT, marks=pytest.mark.soak)])
def test_spending_is_what_the_model_counted(world: World, asker: Asker, count: int) -> None:
    """Whatever goes wrong: never less, to the token where it was told, never above the hold."""
    dice = random.Random(SEED)  # noqa: S311
    before = asker.used["token_count"]
    marks = [uuid4().hex for _ in range(count)]
    for mark in marks:
        troubles = dice.choices(TROUBLES, k=dice.randrange(3))
        world.llm.script(mark, *troubles, {"token_count": dice.randrange(5, 60)})
    began = [asker.start(f"Do you remember {mark}?") for mark in marks]
    runs = [asker.wait(run, *ENDED) for run in began]
    assert [run["run_status"] for run in runs] == ["completed"] * count
    # Reason: by what it remembers, one run can speak of another one's mark.
    calls = {call["seq"]: call for mark in marks for call in world.llm.calls(mark)}.values()
    booked_usage, sent = (
        {
            name: sum(facts[name] for facts in each)
            for name in ("prompt_tokens", "completion_tokens")
        }
        for each in ([run["usage"] for run in runs], calls)
    )
    assert all(booked_usage[name] >= sent[name] for name in sent)
    for run in runs:
        audit_usage(asker, run)
    exact = [
        (call["prompt_tokens"], call["completion_tokens"])
        for run in runs
        for step in asker.steps(run)
        for call in step["model_calls"]
        if call["outcome"] == "succeeded"
    ]
    told = [
        (call["prompt_tokens"], call["completion_tokens"])
        for call in calls
        if call["finish_reason"]
    ]
    assert sorted(exact) == sorted(told)
    assert asker.used["token_count"] - before == sum(booked_usage.values())
    assert len(calls) > count, "something went wrong"
