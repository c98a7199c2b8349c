"""API, worker, Temporal and PostgreSQL killed with SIGKILL: the same end, one charge an attempt."""

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum

import pytest

from tests.e2e.client import Document, World
from tests.e2e.running import wait_for
from tests.e2e.story import End, Step, audit, no_trouble, tell

SEED = 2026
FLIGHT_SECONDS = 1.2
# Reason: a killed worker is noticed after 5 s, by the heartbeat that is missing.
LONG_FLIGHT_SECONDS = 7.5
LONGEST_PAUSE_SECONDS = 0.2

ATTACH = "POST /v1/payment_methods/*/attach"
CREATE = "POST /v1/subscriptions"
PAY = "POST /v1/invoices/*/pay"
CANCEL = "DELETE /v1/subscriptions/*"

EXPECTED = End(
    subscription_status="canceled",
    access="none",
    statuses=[
        ("incomplete", "active"),
        ("active", "past_due"),
        ("past_due", "active"),
        ("active", "past_due"),
        ("past_due", "active"),
        ("active", "canceled"),
    ],
    payment_retries=[
        (
            "recovered",
            2,
            [
                ("scheduled", "failed", "insufficient_funds"),
                ("scheduled", "succeeded", None),
            ],
        ),
        ("recovered", 0, [("new_card", "succeeded", None)]),
    ],
    charges=[
        ("succeeded", None),
        ("failed", "insufficient_funds"),
        ("failed", "insufficient_funds"),
        ("succeeded", None),
        ("failed", "lost_card"),
        ("succeeded", None),
    ],
    payment_count=3,
)


class When(StrEnum):
    """Moments that can be told from outside."""

    IN_FLIGHT = "Stripe has the call and has not answered; it then does what it was asked"
    LONG_FLIGHT = "the same, and the call is still in flight when it is sent again"
    NOT_SETTLED = "Stripe has answered, and the worker has not written down what"
    WEBHOOK = "a webhook has reached the API's socket and has no answer"
    WAITING = "a payment retry waits for its next try"


@dataclass(frozen=True)
class Strike:
    """Who is killed when."""

    victim: str
    when: When
    call: str | None = None

    @property
    def fault(self) -> Document:
        """What keeps the call in flight."""
        is_long = self.when is When.LONG_FLIGHT
        seconds = LONG_FLIGHT_SECONDS if is_long else FLIGHT_SECONDS
        return {"match": self.call, "times": 1, "delay_seconds": seconds}

    def __call__(self, world: World) -> None:
        """Wait for the moment, and kill."""
        if self.when is When.WEBHOOK:
            self._while_webhook_is_in_flight(world)
            return
        if self.when is When.WAITING:
            wait_for("a payment retry that waits", lambda: _is_waiting(world))
            self._kill(world)
            return
        wait_for(f"{self.call} in flight", lambda: self._is_in_flight(world))
        if self.when is not When.NOT_SETTLED:
            self._kill(world)
            return
        with world.stack.hanging("worker"):
            wait_for("Stripe's answer", lambda: not self._is_in_flight(world))
            self._kill(world)

    def _while_webhook_is_in_flight(self, world: World) -> None:
        with ExitStack() as outage:
            with world.stack.hanging("api"):
                wait_for("a webhook", lambda: world.stripe.pending_webhook_count() > 0)
                outage.enter_context(world.stack.down(self.victim))
            # Reason: whoever answers 200 now has lost the event.
            assert world.api.get("/health").is_success
            self._pause()

    def _is_in_flight(self, world: World) -> bool:
        calls = world.stripe.requests(self.call or "")
        return any(call["status"] is None for call in calls)

    def _kill(self, world: World) -> None:
        self._pause()
        world.stack.kill_and_wait(self.victim)

    def _pause(self) -> None:
        pause = random.Random(f"{SEED} {self}").uniform(0, LONGEST_PAUSE_SECONDS)  # noqa: S311
        time.sleep(pause)


# Ten moments on two paths; the second one is told in `make soak`.
ROUNDS: tuple[Mapping[Step, Sequence[Strike]], ...] = (
    {
        Step.FIRST_CARD: [Strike("temporal", When.IN_FLIGHT, ATTACH)],
        Step.SUBSCRIBE: [Strike("worker", When.LONG_FLIGHT, CREATE)],
        Step.RENEWAL: [
            Strike("postgres", When.WEBHOOK),
            Strike("worker", When.NOT_SETTLED, PAY),
        ],
        Step.SECOND_CARD: [Strike("api", When.IN_FLIGHT, ATTACH)],
    },
    {
        Step.SUBSCRIBE: [Strike("api", When.IN_FLIGHT, CREATE)],
        Step.RENEWAL: [
            Strike("temporal", When.WAITING),
            Strike("worker", When.LONG_FLIGHT, PAY),
        ],
        Step.SECOND_CARD: [Strike("postgres", When.NOT_SETTLED, PAY)],
        Step.CANCEL: [Strike("temporal", When.IN_FLIGHT, CANCEL)],
    },
)


def test_undisturbed(world: World, plan: Document) -> None:
    assert audit(tell(world, plan, no_trouble)) == EXPECTED


@pytest.mark.parametrize(
    "strikes",
    [
        pytest.param(ROUNDS[0], id="first five"),
        pytest.param(ROUNDS[1], id="last five", marks=pytest.mark.soak),
    ],
)
def test_killed(world: World, plan: Document, strikes: Mapping[Step, Sequence[Strike]]) -> None:
    @contextmanager
    def trouble(step: Step) -> Iterator[None]:
        due = strikes.get(step, ())
        world.stripe.faults(*(strike.fault for strike in due if strike.call is not None))
        with ThreadPoolExecutor(max_workers=1) as pool:
            striking = pool.submit(_strike, world, due)
            yield
            striking.result()

    assert audit(tell(world, plan, trouble)) == EXPECTED


def test_the_ten_moments_are_spread() -> None:
    strikes = [strike for steps in ROUNDS for due in steps.values() for strike in due]
    assert len(strikes) == 10
    assert {strike.victim for strike in strikes} == {"api", "worker", "temporal", "postgres"}
    assert {strike.when for strike in strikes} == set(When)


def _strike(world: World, due: Sequence[Strike]) -> None:
    for strike in due:
        strike(world)


def _is_waiting(world: World) -> bool:
    return any(row["retry_status"] == "waiting" for row in world.admin.items("payment-retries"))
