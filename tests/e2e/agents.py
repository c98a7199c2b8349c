"""The agents' main path, told step by step, and what must be true of it whatever went wrong."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import NamedTuple
from uuid import uuid4

import psycopg
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from tests.e2e.client import Caller, Document, World
from tests.e2e.running import PATIENCE_SECONDS, wait_for

ENDED = ("completed", "failed", "canceled", "budget_exceeded")
AMOUNT_CENTS = 2_000
SILENCE_SECONDS = 100.0
# Slow enough for something to go wrong while the model speaks.
TOKEN_SECONDS = 0.02
CLOSED_AFTER_ALL = 1000


class Heard(NamedTuple):
    """An event of a stream, and when it arrived."""

    event: Document
    wall_time: float


class Asker:
    """A customer with a subscription, who talks to an agent."""

    def __init__(self, world: World, **limits: int) -> None:
        self.world = world
        self.customer: Caller = world.customer()
        self._card = self.customer.post(
            "payment-methods",
            stripe_payment_method_id=world.stripe.card("ok"),
            is_default=True,
        )
        plan = world.plan(**limits)
        made = self.customer.post("subscriptions", plan_id=plan["plan_id"])
        path = f"subscriptions/{made['subscription_id']}"
        wait_for("access", lambda: self.customer.get(path)["access"] == "full")

    @property
    def used(self) -> Document:
        """What the subscription's entitlements say was used."""
        used: Document = self.customer.get("entitlements")["used"]
        return used

    def ingest(self, title: str, content: str) -> str:
        """Hand in a document, and return its id once it is ready."""
        made = self.customer.post("documents", title=title, content=content)
        return self.wait_ready(made["document_id"])

    def wait_ready(self, document_id: str) -> str:
        """Wait until a document is ready."""

        def is_ready() -> bool:
            seen = self.customer.get(f"documents/{document_id}")
            assert seen["document_status"] != "failed", seen
            return bool(seen["document_status"] == "ready")

        wait_for("the document", is_ready)
        return document_id

    def pay(self) -> Document:
        """Make a one-off payment."""
        card_id = self._card["payment_method_id"]
        body = {"amount_cents": AMOUNT_CENTS, "currency_code": "usd"}
        made = self.customer.post("payments", **body, payment_method_id=card_id)
        path = f"payments/{made['payment_id']}"
        wait_for("the payment", lambda: self.customer.get(path)["payment_status"] == "succeeded")
        return self.customer.get(path)

    def start(self, text: str, **more: object) -> Document:
        """Begin a run."""
        return self.customer.post("agent-runs", agent="research", input=text, **more)

    def look(self, run: Document) -> Document:
        """Return a run as it is now."""
        return self.customer.get(f"agent-runs/{run['agent_run_id']}")

    def wait(self, run: Document, *statuses: str) -> Document:
        """Wait until a run has one of these statuses."""

        def seen() -> Document | None:
            now = self.look(run)
            return now if now["run_status"] in statuses else None

        return wait_for(f"a run that is {statuses}", seen, PATIENCE_SECONDS)

    def ask(self, text: str, **more: object) -> Document:
        """Run to the end."""
        return self.wait(self.start(text, **more), *ENDED)

    def steps(self, run: Document) -> list[Document]:
        """Return what was asked of models and tools."""
        return self.customer.items(f"agent-runs/{run['agent_run_id']}/steps")

    def approve(self, run: Document) -> None:
        """Let the admin say yes."""
        call = run["pending_approvals"][0]
        facts = {"call_id": call["call_id"], "args_sha256": call["args_sha256"]}
        path = f"agent-runs/{run['agent_run_id']}/approve"
        self.world.admin.post(path, **facts, decision="approve")

    @contextmanager
    def following(self, run: Document) -> Iterator["Future[list[Heard]]"]:
        """Listen to a run's stream all along, coming back whenever the line is cut."""
        with ThreadPoolExecutor(max_workers=1) as pool:
            yield pool.submit(self._follow, run["agent_run_id"])

    def _follow(self, agent_run_id: str) -> list[Heard]:
        heard: list[Heard] = []
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self._listen(agent_run_id, heard):
            assert time.monotonic() < deadline, f"the stream ends after {heard[-1:]}"
            time.sleep(0.1)
        return heard

    def _listen(self, agent_run_id: str, heard: list[Heard]) -> bool:
        """Listen until the line is cut; return whether all was told."""
        after = heard[-1].event["seq"] if heard else 0
        url = f"{self.customer.socket_url}/ws/agent-runs/{agent_run_id}?after={after}"
        with (
            suppress(WebSocketException, OSError),
            connect(url, additional_headers=self.customer.headers, proxy=None) as socket,
        ):
            for message in socket:
                # Reason: what was heard before a cut is kept.
                heard.append(Heard(json.loads(message), time.time()))  # noqa: PERF401
            return socket.protocol.close_code == CLOSED_AFTER_ALL
        return False


class Story(NamedTuple):
    """One customer's whole path, as it ended."""

    asker: Asker
    document_id: str
    fact: str
    payment: Document
    runs: tuple[Document, Document]
    streams: tuple[list[Heard], list[Heard]]
    seconds: float


def tell(asker: Asker) -> Story:
    """Ingest, ask, pay, ask for the money back, and get it after somebody's yes.

    Args:
        asker: Whoever does it; may have done it before.
    """
    began, mark = time.monotonic(), uuid4().hex[:8]
    world = asker.world
    fact = f"The {mark} train to Varna leaves from platform {int(mark, 16) % 90 + 10}."
    document_id = asker.ingest(f"Trains {mark}", fact)
    world.llm.script(mark, {"token_seconds": TOKEN_SECONDS, "repeat": 1_000})
    question = asker.start(f"Where does the {mark} train to Varna leave from?")
    with asker.following(question) as first:
        question = asker.wait(question, *ENDED)
    payment = asker.pay()
    text = f"Please refund payment {payment['payment_id']}, the {mark} train was late."
    wish = asker.start(text, conversation_id=question["conversation_id"])
    with asker.following(wish) as second:
        asker.approve(asker.wait(wish, "waiting_approval"))
        wish = asker.wait(wish, *ENDED)
    return Story(
        asker,
        document_id,
        fact,
        payment,
        (question, wish),
        (first.result(), second.result()),
        time.monotonic() - began,
    )


def audit(story: Story) -> None:
    """Check what always holds at the end of a story."""
    asker, (question, wish) = story.asker, story.runs
    assert question["run_status"] == wish["run_status"] == "completed", story.runs
    assert story.fact in question["output"]
    assert [cited["document_id"] for cited in question["citations"]] == [story.document_id]
    assert len(refunds_of(story)) == 1, "one refund"
    paid_back = asker.customer.get(f"payments/{story.payment['payment_id']}")
    assert (paid_back["payment_status"], paid_back["refunded_cents"]) == ("refunded", AMOUNT_CENTS)
    for run, stream in zip(story.runs, story.streams, strict=True):
        audit_stream(run, stream)
        audit_usage(asker, run)
    kinds = [heard.event["kind"] for heard in story.streams[1]]
    for kind in ("tool_call", "approval_requested", "approval_decided", "tool_result", "done"):
        assert kinds.count(kind) == 1, kinds


def refunds_of(story: Story) -> list[Document]:
    """Return what Stripe paid back."""
    return story.asker.world.stripe.refunds(story.payment["stripe_payment_intent_id"])


def audit_stream(run: Document, stream: list[Heard]) -> None:
    """Check that a stream has all numbers once, and tells what the run came to."""
    events = [heard.event for heard in stream]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1)), "no gap"
    assert events[-1]["kind"] == "done"
    answers = [e["data"] for e in events if e["kind"] == "message" and "attempt" in e["data"]]
    for answer in answers:
        assert told(events, answer["step"], answer["attempt"]) == answer["text"]
    if run["run_status"] == "completed":
        assert answers[-1]["text"] == run["output"]


def told(events: list[Document], step: int, attempt: int) -> str:
    """Return the text that one attempt has streamed."""
    tokens = [event["data"] for event in events if event["kind"] == "token"]
    mine = [token for token in tokens if (token["step"], token["attempt"]) == (step, attempt)]
    return "".join(token["text"] for token in mine)


def audit_usage(asker: Asker, run: Document) -> None:
    """Check that nothing of a run is left open, and nothing cost more than was reserved."""
    calls = [call for step in asker.steps(run) for call in step["model_calls"]]
    assert None not in [call["outcome"] for call in calls]
    for name in ("prompt_tokens", "completion_tokens"):
        assert run["usage"][name] == sum(call[name] for call in calls)
    records = usage_records(asker.world, run)
    assert len(records) == len(calls)
    for record in records:
        assert record["usage_status"] == "settled", record
        for name in ("prompt_token_count", "completion_token_count", "cost_cents"):
            assert record[name] <= record[f"reserved_{name}"], record


def usage_records(world: World, run: Document) -> list[Document]:
    """Return the records of a run's calls of models; REST does not show what was reserved."""
    with psycopg.connect(world.stack.facts["database_url"]) as connection:
        cursor = connection.execute(
            "SELECT usage_status, prompt_token_count, completion_token_count, cost_cents,"
            " reserved_prompt_token_count, reserved_completion_token_count, reserved_cost_cents"
            " FROM usage_records WHERE agent_run_id = %s AND usage_kind = 'model_call'",
            [run["agent_run_id"]],
        )
        names = [column.name for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor]
