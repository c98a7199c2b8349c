"""Every state can be told to a person: why, and what comes next."""

from datetime import UTC, datetime, timedelta

import pytest

from domain.explain import Explanation, Facts, RecoveryFacts, explain
from domain.parked import ParkedStep
from domain.retries import CLOSED, RetryStatus
from domain.subscriptions import Access, SubscriptionStatus

NOW = datetime(2026, 11, 23, tzinfo=UTC)
SOON = NOW + timedelta(days=3)
LATER = NOW + timedelta(days=14)
PARKED = ParkedStep(step="sync", code="provider_rejected", message="no such price.", since=NOW)


def explained(
    status: SubscriptionStatus,
    access: Access = Access.NONE,
    **facts: object,
) -> Explanation:
    known = {"stripe_subscription_id": "sub_1"} | facts
    return explain(
        Facts.model_validate({"subscription_status": status, "access": access} | known),
    )


def recovery(status: RetryStatus, **facts: object) -> RecoveryFacts:
    known = {"stripe_invoice_id": "in_1", "retry_status": status} | facts
    return RecoveryFacts.model_validate(known)


def all_words(told: Explanation) -> str:
    return " ".join([*told.because, *[coming.what for coming in told.next]])


@pytest.mark.parametrize("status", SubscriptionStatus)
@pytest.mark.parametrize("access", Access)
@pytest.mark.parametrize("parked", [(), (PARKED,)])
def test_there_is_always_a_reason_and_something_next(
    status: SubscriptionStatus,
    access: Access,
    parked: tuple[ParkedStep, ...],
) -> None:
    told = explained(status, access, parked=parked)
    assert (told.subscription_status, told.access) == (status, access)
    assert told.because
    assert told.next
    assert all(what[0].isupper() and what.endswith(".") for what in told.because)
    assert all(coming.what[0].isupper() and coming.what.endswith(".") for coming in told.next)


def test_a_start_that_stripe_has_not_answered() -> None:
    told = explained(SubscriptionStatus.INCOMPLETE, stripe_subscription_id=None)
    assert told.because == ("The subscription is being made at Stripe.",)
    assert "Stripe answers" in told.next[0].what


def test_an_incomplete_one_names_the_page_to_pay_at() -> None:
    told = explained(SubscriptionStatus.INCOMPLETE, next_action_url="https://pay.example/1")
    assert "https://pay.example/1" in told.next[0].what
    assert "23 hours" in explained(SubscriptionStatus.INCOMPLETE).next[0].what


def test_what_comes_by_itself_has_a_time() -> None:
    active = explained(SubscriptionStatus.ACTIVE, Access.FULL, current_period_end=SOON)
    assert [coming.at for coming in active.next] == [SOON]
    trial = explained(SubscriptionStatus.TRIALING, Access.FULL, trial_end=LATER)
    assert [coming.at for coming in trial.next] == [LATER]


def test_a_planned_end_replaces_the_renewal() -> None:
    facts = {"cancel_at": LATER, "current_period_end": SOON}
    told = explained(SubscriptionStatus.ACTIVE, Access.FULL, **facts)
    assert [(coming.at, "ends" in coming.what) for coming in told.next] == [(LATER, True)]


def test_a_waiting_retry_in_grace() -> None:
    waiting = recovery(
        RetryStatus.WAITING,
        attempt_count=2,
        next_attempt_at=SOON,
        decline_code="insufficient_funds",
    )
    told = explained(
        SubscriptionStatus.PAST_DUE,
        Access.GRACE,
        grace_ends_at=LATER,
        recoveries=(waiting,),
    )
    assert [coming.at for coming in told.next] == [SOON, LATER]
    assert "insufficient funds" in all_words(told)
    assert "so far: 2" in all_words(told)
    assert "grace period while" in all_words(told)


def test_grace_that_has_ended_or_was_not_computed_yet() -> None:
    over = explained(SubscriptionStatus.PAST_DUE, Access.NONE, grace_ends_at=NOW)
    assert "grace period has ended" in all_words(over)
    unknown = explained(SubscriptionStatus.PAST_DUE, Access.GRACE)
    assert "access ends" not in all_words(unknown)
    assert "open invoice" in unknown.next[0].what


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (RetryStatus.WAITING_PAYMENT_METHOD, "add another one"),
        (RetryStatus.WAITING_AUTHENTICATION, "confirm the payment"),
        (RetryStatus.PAUSED, "older invoice waits"),
        (RetryStatus.CHARGING, "being charged right now"),
        (RetryStatus.WAITING, "charged again"),
    ],
)
def test_each_open_recovery_says_what_it_waits_for(status: RetryStatus, word: str) -> None:
    told = explained(SubscriptionStatus.PAST_DUE, recoveries=(recovery(status),))
    assert word in told.next[0].what


@pytest.mark.parametrize("status", sorted(CLOSED))
def test_closed_recoveries_are_history(status: RetryStatus) -> None:
    closed = recovery(status, decline_code="lost_card", attempt_count=4)
    told = explained(SubscriptionStatus.ACTIVE, Access.FULL, recoveries=(closed,))
    assert len(told.next) == 1
    assert "lost card" not in all_words(told)


def test_a_debt_that_was_given_up() -> None:
    told = explained(SubscriptionStatus.PAST_DUE, Access.NONE, is_written_off=True)
    assert "given up" in all_words(told)
    assert "grace" not in all_words(told)


def test_a_parked_one_says_who_has_to_act() -> None:
    told = explained(SubscriptionStatus.ACTIVE, Access.FULL, parked=(PARKED,))
    assert "no such price." in all_words(told)
    assert "Support looks into it" in all_words(told)
