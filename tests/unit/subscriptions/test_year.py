"""A year of one subscription by the pure rules alone, hour by hour, with no server."""

import time
from datetime import UTC, datetime, timedelta

from domain.payment_retries.lifecycle import (
    AttemptTrigger,
    ChargeResult,
    NextStep,
    RetryFacts,
    RetryStatus,
    facts_after_charge,
    next_step,
)
from domain.payment_retries.policy import RetryPolicy
from domain.subscriptions.lifecycle import (
    Access,
    CommandKind,
    Effect,
    SubscriptionStatus,
    access,
    decide,
    follow,
)
from tests.conftest import Measure

START = datetime(2027, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
DECLINED = ("insufficient_funds", None)
POLICY = RetryPolicy(schedules={"default": (timedelta(days=1), timedelta(days=3))})


class Year:
    """A subscription whose April renewal fails, and is recovered by the second retry."""

    def __init__(self) -> None:
        self.now = START
        self.status = SubscriptionStatus.ACTIVE
        self.grace_ends_at: datetime | None = None
        self.retry: RetryFacts | None = None
        self.renewal_count = 0
        self.hours: dict[Access, int] = dict.fromkeys(Access, 0)

    def live(self) -> None:
        """Live for a year."""
        while self.now < START.replace(year=START.year + 1):
            self.now += HOUR
            if self.now.day == 1 and self.now.hour == 0:
                self.renew()
            if self.retry is not None:
                self.charge_if_due(self.retry)
            is_owing = self.retry is not None
            given = access(self.status, self.grace_ends_at, False, is_owing, self.now)
            self.hours[given] += 1

    def renew(self) -> None:
        """Renew, with a declined charge in April."""
        self.renewal_count += 1
        if self.now.month != 4:
            return
        self.follow(SubscriptionStatus.PAST_DUE)
        grace_ends_at = self.now + POLICY.grace
        failed = RetryFacts(waits_from=self.now, grace_ends_at=grace_ends_at)
        self.retry = failed.model_copy(update={"decline_code": DECLINED[0]})

    def charge_if_due(self, retry: RetryFacts) -> None:
        """Charge if the policy says so: the first time in vain, the second time with success."""
        step = next_step(POLICY, retry)
        assert step.at is not None
        if step.at > self.now:
            return
        assert step.action is NextStep.Action.CHARGE
        result = ChargeResult.FAILED if retry.attempt_count == 0 else ChargeResult.SUCCEEDED
        decline = DECLINED if result is ChargeResult.FAILED else (None, None)
        self.retry = facts_after_charge(retry, AttemptTrigger.SCHEDULED, result, decline, self.now)
        if self.retry.retry_status is RetryStatus.RECOVERED:
            self.retry = None
            self.follow(SubscriptionStatus.ACTIVE)

    def follow(self, at_stripe: SubscriptionStatus) -> None:
        """Follow the status at Stripe."""
        decision = follow(self.status, at_stripe)
        self.status = decision.next_status
        if Effect.START_GRACE in decision.effects:
            self.grace_ends_at = self.now + POLICY.grace
        if Effect.CLEAR_GRACE in decision.effects:
            self.grace_ends_at = None


def test_a_year_by_the_rules_alone(measure: Measure) -> None:
    started = time.process_time()
    year = Year()
    year.live()
    took = time.process_time() - started
    measure(f"a subscription-year, pure domain core, hour by hour: {took * 1_000:.0f} ms CPU")
    assert year.renewal_count == 12
    assert year.hours[Access.NONE] == 0
    # The first retry comes after a day, the second one three days later.
    assert year.hours[Access.GRACE] == 4 * 24
    assert decide(year.status, CommandKind.CANCEL_NOW).refusal is None
    assert decide(SubscriptionStatus.CANCELED, CommandKind.CANCEL_NOW).refusal is not None
