"""What a life left behind, wherever it can be read, for the invariants."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.campaign.models.plan import Spec

Json = dict[str, Any]
ENDED = frozenset({"completed", "failed", "canceled", "budget_exceeded"})


@dataclass(frozen=True)
class Said:
    """A message that somebody sent to a run, and how it was answered.

    Args:
        tag: Of the run.
        content: What was said.
        sent_at: When it was sent.
        answered_at: When its answer came.
        status: Of the answer.
        is_interrupting: Whether it was to stop the answer under way.
    """

    tag: str
    content: str
    sent_at: float
    answered_at: float
    status: int
    is_interrupting: bool = False


@dataclass
class RunSeen:
    """A run, as the API, its stream and the database have it.

    Args:
        tag: A text that stands in its input and nowhere before.
        input: The user's words.
        row: Of `agent_runs`.
        shown: As the API shows it.
        usage: Rows of `usage_records` about calls of models, by step and attempt.
        tool_calls: Rows of `tool_calls`, each with `approval_status`.
        events: What its stream told, in the order in which it came.
        payment_intent: Of the payment that it is asked to refund.
        decision: What somebody decided about the refund, if that was answered with 200.
        canceled_at: When a cancel of it was answered with 200.
    """

    tag: str
    input: str
    agent_run_id: str = ""
    row: Json = field(default_factory=dict)
    shown: Json = field(default_factory=dict)
    usage: list[Json] = field(default_factory=list)
    tool_calls: list[Json] = field(default_factory=list)
    events: list[Json] = field(default_factory=list)
    payment_intent: str | None = None
    decision: str | None = None
    canceled_at: float | None = None

    @property
    def has_ended(self) -> bool:
        """Whether the API shows an end."""
        return self.shown.get("run_status") in ENDED


@dataclass
class Evidence:
    """All that is known of a life.

    Args:
        spec: What was played.
        runs: The conversation's runs, in the order in which they were begun.
        calls: What the stand-in's log has of them, oldest first.
        said: Messages to runs.
        refunds: What Stripe's ledger has of the life's payments.
        kill_count: How often the worker was killed meanwhile.
        problems: What the API answered that it must not, and what did not come in time.
    """

    spec: Spec
    runs: list[RunSeen] = field(default_factory=list)
    calls: list[Json] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)
    refunds: list[Json] = field(default_factory=list)
    kill_count: int = 0
    problems: list[str] = field(default_factory=list)

    def calls_of(self, run: RunSeen) -> list[Json]:
        """Return a run's calls: those that hold its tag, and none of a later run."""
        place = self.runs.index(run)
        later = [each.tag for each in self.runs[place + 1 :]]
        return [
            call
            for call in self.calls
            if has_text(call["body"], run.tag)
            and not any(has_text(call["body"], tag) for tag in later)
        ]

    def attempts(self, run: RunSeen) -> Iterator[tuple[Json, list[Json]]]:
        """Yield each attempt that the product has booked, with its calls in the stand-in's log."""
        calls = self.calls_of(run)
        ends = [record["created_wall_time"] for record in run.usage[1:]]
        for record, end in zip(run.usage, [*ends, math.inf], strict=False):
            begin = record["created_wall_time"]
            yield record, [c for c in calls if begin <= c["started_wall_time"] < end]

    def said_to(self, run: RunSeen) -> list[Said]:
        """Return what was said to a run, and taken."""
        return [said for said in self.said if said.tag == run.tag and said.status == 200]


def texts_of(message: Json) -> str:
    """Return the text of a message of either provider."""
    content = message.get("content")
    if isinstance(content, list):
        return "\n".join(part.get("text") or "" for part in content)
    return content or ""


def has_text(body: Json, text: str) -> bool:
    """Tell whether a user's message of a request holds a text."""
    return any(
        text in texts_of(message) for message in body["messages"] if message["role"] == "user"
    )


def place_of(body: Json, text: str) -> int | None:
    """Return which of a request's messages is the first to hold a text of a user."""
    for place, message in enumerate(body["messages"]):
        if message["role"] == "user" and text in texts_of(message):
            return place
    return None


def assistant_count(body: Json, after: int, before: int | None = None) -> int:
    """Return how many messages of the assistant stand behind a place, and before another."""
    return sum(each["role"] == "assistant" for each in body["messages"][after:before])


def step_of(call: Json, run: RunSeen) -> int:
    """Return at which step of its run a call was made: how often the model had spoken by then."""
    place = place_of(call["body"], run.tag)
    return 0 if place is None else assistant_count(call["body"], place)
