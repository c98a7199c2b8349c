"""What agents need is down, or dies: a run waits and completes, or ends with a named error."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import pytest

from tests.e2e.agents import (
    ENDED,
    TOKEN_SECONDS,
    Asker,
    audit,
    audit_stream,
    audit_usage,
    refunds_of,
    tell,
)
from tests.e2e.client import Document, World
from tests.e2e.running import wait_for

REFUND = "POST /v1/refunds"
LONG_ANSWER_TOKENS = 100
LONGER_THAN_A_HEARTBEAT_SECONDS = 6.5


@pytest.fixture(scope="module")
def asker(world: World) -> Asker:
    return Asker(world)


def test_chroma_is_down(world: World, asker: Asker) -> None:
    """Neither a document nor a question gets lost."""
    mark = uuid4().hex[:8]
    fact = f"The {mark} ferry to Burgas leaves at noon."
    document_id = asker.ingest(f"Ferries {mark}", fact)
    with world.stack.down("chroma"):
        late = asker.customer.post("documents", title="Late", content=fact)
        run = asker.start(f"When does the {mark} ferry to Burgas leave?")
        asker.wait(run, "running")
        seen = asker.customer.get(f"documents/{late['document_id']}")
        assert seen["document_status"] == "pending"
        assert asker.steps(run) == [], "it does not answer without having looked"
    asker.wait_ready(late["document_id"])
    run = asker.wait(run, *ENDED)
    assert run["run_status"] == "completed"
    assert fact in run["output"]
    cited = {citation["document_id"] for citation in run["citations"]}
    assert cited & {document_id, late["document_id"]}


def test_the_model_is_down(world: World, asker: Asker) -> None:
    with world.stack.down("llm"):
        run = asker.start("Hello?")
        wait_for("a failed call", lambda: "model_unavailable" in _outcomes(asker, run))
        assert asker.look(run)["run_status"] == "running"
    run = asker.wait(run, *ENDED)
    assert run["run_status"] == "completed"
    audit_usage(asker, run)


def test_the_model_refuses(world: World, asker: Asker) -> None:
    mark = uuid4().hex
    world.llm.script(mark, {"status": 400, "message": "no"})
    run = asker.ask(f"Is this {mark}?")
    assert (run["run_status"], run["error"]["code"]) == ("failed", "model_rejected")
    audit_usage(asker, run)


@pytest.mark.soak
def test_the_model_dies_while_it_speaks(world: World, asker: Asker) -> None:
    with _speaking(world, asker) as run:
        world.stack.kill_and_wait("llm")
    assert _outcomes(asker, run) == ["model_stream_incomplete", "succeeded"]


@pytest.mark.parametrize(
    "victim", ["api", "postgres", pytest.param("temporal", marks=pytest.mark.soak)]
)
def test_killed_while_the_model_speaks(world: World, asker: Asker, victim: str) -> None:
    with _speaking(world, asker):
        world.stack.kill_and_wait(victim)


@pytest.mark.parametrize(
    "fault",
    [
        {"after": 500},
        pytest.param({"before": 500}, marks=pytest.mark.soak),
        pytest.param({"drop": True}, marks=pytest.mark.soak),
        pytest.param({"delay_seconds": LONGER_THAN_A_HEARTBEAT_SECONDS}, marks=pytest.mark.soak),
    ],
    ids=["500 after", "500 before", "dropped", "slow"],
)
def test_one_refund_whatever_stripe_answers(world: World, asker: Asker, fault: Document) -> None:
    world.stripe.faults({"match": REFUND, "times": 1, **fault})
    story = tell(asker)
    audit(story)
    assert len(refunds_of(story)) == 1


@pytest.mark.soak
def test_stripe_is_down_when_somebody_says_yes(world: World, asker: Asker) -> None:
    payment = asker.pay()
    run = asker.start(f"Please refund payment {payment['payment_id']}.")
    run = asker.wait(run, "waiting_approval")
    with world.stack.down("stripe"):
        asker.approve(run)
        asker.wait(run, "running")
    run = asker.wait(run, *ENDED)
    assert run["run_status"] == "completed"
    assert len(world.stripe.refunds(payment["stripe_payment_intent_id"])) == 1


@pytest.mark.soak
def test_everything_dies_while_the_model_speaks(world: World, asker: Asker) -> None:
    with _speaking(world, asker):
        for victim in ("temporal", "postgres", "worker", "api", "chroma", "llm"):
            world.stack.kill_and_wait(victim)


@contextmanager
def _speaking(world: World, asker: Asker) -> Iterator[Document]:
    """Yield a run while its model speaks and somebody listens; it must come to a good end."""
    mark = uuid4().hex
    # Reason: whoever dies, the model has to be asked again.
    answer = {"token_count": LONG_ANSWER_TOKENS, "token_seconds": TOKEN_SECONDS, "repeat": 10}
    world.llm.script(mark, answer)
    run = asker.start(f"Is this {mark}?")
    with asker.following(run) as stream:
        wait_for("the model", lambda: world.llm.calls(mark))
        yield run
        ended = asker.wait(run, *ENDED)
    assert ended["run_status"] == "completed", ended
    audit_stream(ended, stream.result())
    audit_usage(asker, ended)


def _outcomes(asker: Asker, run: Document) -> list[str | None]:
    return [call["outcome"] for step in asker.steps(run) for call in step["model_calls"]]
