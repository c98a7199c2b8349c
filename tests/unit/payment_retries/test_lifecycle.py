"""The policy, and what it says comes next."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from domain.payment_retries import declines
from domain.payment_retries.declines import (
    CLASSES,
    LIMIT_REACHED,
    NOT_CHARGED_CODES,
    DeclineClass,
    classify,
    is_card_refused_for_good,
)
from domain.payment_retries.lifecycle import (
    CLOSED,
    AttemptTrigger,
    ChargeResult,
    NextStep,
    RetryFacts,
    RetryStatus,
    facts_after_charge,
    next_step,
    status_of_invoice,
)
from domain.payment_retries.policy import CARD_ATTEMPT_LIMIT, RetryPolicy

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY = timedelta(days=1)
POLICY = RetryPolicy(
    schedules={
        "default": (DAY, 3 * DAY),
        "soft": (2 * DAY,),
        "processing_error": (timedelta(hours=1),),
    },
)
FRESH = RetryFacts(waits_from=NOW, grace_ends_at=NOW + 14 * DAY)
SOFT = ("insufficient_funds", "try_again_later")


def with_decline(facts: RetryFacts, code: str | None, advice: str | None = None) -> RetryFacts:
    return facts.model_copy(update={"decline_code": code, "advice_code": advice})


@pytest.mark.parametrize(
    ("decline_code", "advice_code", "expected"),
    [
        ("insufficient_funds", "try_again_later", DeclineClass.SOFT),
        ("insufficient_funds", "do_not_try_again", DeclineClass.HARD),
        ("generic_decline", "confirm_card_data", DeclineClass.HARD),
        ("lost_card", None, DeclineClass.HARD),
        ("lost_card", "try_again_later", DeclineClass.SOFT),
        ("authentication_required", None, DeclineClass.AUTHENTICATION),
        ("authentication_required", "do_not_try_again", DeclineClass.HARD),
        ("never_heard_of_it", None, DeclineClass.SOFT),
        (None, None, DeclineClass.SOFT),
    ],
)
def test_advice_goes_before_the_code(
    decline_code: str | None,
    advice_code: str | None,
    expected: DeclineClass,
) -> None:
    assert classify(decline_code, advice_code) is expected


@pytest.mark.parametrize(
    ("body", "match"),
    [
        ({"schedules": {"soft": ["1d"]}}, "default"),
        ({"schedules": {"default": ["1d"] * (CARD_ATTEMPT_LIMIT + 1)}}, "networks"),
        ({"schedules": {"default": ["0s"]}}, "longer than zero"),
        ({"schedules": {"default": [5]}}, "unit"),
        ({"schedules": {"default": ["soon"]}}, "default"),
        ({"grace": "-P1D"}, "negative"),
        ({"after_uncollectible": "mark_uncollectible"}, "cancel"),
    ],
)
def test_a_policy_that_cannot_be_meant_is_refused(body: dict[str, object], match: str) -> None:
    with pytest.raises(ValidationError, match=match):
        RetryPolicy.model_validate(body)


def test_a_policy_survives_the_database() -> None:
    body = {
        "schedules": {"default": ["90s", "15m"], "lost_card": []},
        "grace": "0s",
        "time_to_respond": "3d",
        "last_resort": "mark_uncollectible",
        "after_uncollectible": "pause",
        "older_invoices": "void",
    }
    policy = RetryPolicy.model_validate(body)
    assert policy.model_dump(mode="json") == body
    assert policy.schedule_for("lost_card", None) == ()


@pytest.mark.parametrize(
    ("code", "advice", "expected"),
    [
        ("processing_error", None, (timedelta(hours=1),)),
        ("insufficient_funds", None, (2 * DAY,)),
        (None, None, (2 * DAY,)),
        ("lost_card", None, (DAY, 3 * DAY)),
    ],
)
def test_schedules_go_by_code_then_class_then_default(
    code: str | None,
    advice: str | None,
    expected: tuple[timedelta, ...],
) -> None:
    assert POLICY.schedule_for(code, advice) == expected


def test_each_wait_runs_from_the_previous_scheduled_try() -> None:
    policy = RetryPolicy(schedules={"default": (DAY, 3 * DAY)})
    first = next_step(policy, with_decline(FRESH, *SOFT))
    assert first == NextStep(
        retry_status=RetryStatus.WAITING,
        at=NOW + DAY,
        action=NextStep.Action.CHARGE,
    )
    tried = facts_after_charge(
        FRESH, AttemptTrigger.SCHEDULED, ChargeResult.FAILED, SOFT, NOW + DAY
    )
    assert next_step(policy, tried).at == NOW + 4 * DAY
    again = facts_after_charge(
        tried, AttemptTrigger.SCHEDULED, ChargeResult.FAILED, SOFT, NOW + 4 * DAY
    )
    last = next_step(policy, again)
    assert (last.at, last.action) == (NOW + 4 * DAY, NextStep.Action.LAST_RESORT)


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("lost_card", RetryStatus.WAITING_PAYMENT_METHOD),
        (LIMIT_REACHED, RetryStatus.WAITING_PAYMENT_METHOD),
        ("authentication_required", RetryStatus.WAITING_AUTHENTICATION),
    ],
)
def test_what_a_retry_cannot_mend_waits_until_grace_ends(code: str, status: RetryStatus) -> None:
    step = next_step(POLICY, with_decline(FRESH, code))
    assert step == NextStep(
        retry_status=status,
        at=FRESH.grace_ends_at,
        action=NextStep.Action.LAST_RESORT,
    )


@pytest.mark.parametrize("status", [*sorted(CLOSED), RetryStatus.PAUSED])
def test_who_has_ended_or_stepped_back_does_nothing(status: RetryStatus) -> None:
    step = next_step(POLICY, FRESH.model_copy(update={"retry_status": status}))
    assert step == NextStep(retry_status=status)


def test_only_scheduled_tries_use_up_the_schedule() -> None:
    for trigger in (AttemptTrigger.MANUAL, AttemptTrigger.NEW_CARD):
        after = facts_after_charge(FRESH, trigger, ChargeResult.FAILED, SOFT, NOW + DAY)
        assert (after.attempt_count, after.waits_from) == (0, NOW)
    paid = facts_after_charge(FRESH, AttemptTrigger.SCHEDULED, ChargeResult.SUCCEEDED, SOFT, NOW)
    assert (paid.attempt_count, paid.retry_status) == (1, RetryStatus.RECOVERED)


def test_the_schedule_resumes_after_waiting_for_the_customer() -> None:
    waiting = FRESH.model_copy(update={"retry_status": RetryStatus.WAITING_PAYMENT_METHOD})
    later = NOW + 5 * DAY
    after = facts_after_charge(waiting, AttemptTrigger.NEW_CARD, ChargeResult.FAILED, SOFT, later)
    assert after.waits_from == later
    assert after.attempt_count == 0


def test_an_invoice_that_is_gone_ends_the_recovery() -> None:
    gone = facts_after_charge(
        FRESH,
        AttemptTrigger.SCHEDULED,
        ChargeResult.GONE,
        (None, None),
        NOW,
    )
    assert (gone.retry_status, gone.attempt_count) == (RetryStatus.CANCELED, 0)


@pytest.mark.parametrize(
    ("invoice_status", "expected"),
    [
        ("paid", RetryStatus.RECOVERED),
        ("void", RetryStatus.CANCELED),
        ("uncollectible", RetryStatus.WRITTEN_OFF),
        ("open", RetryStatus.WAITING),
        ("draft", RetryStatus.WAITING),
    ],
)
def test_the_invoice_tells_where_its_recovery_stands(
    invoice_status: str,
    expected: RetryStatus,
) -> None:
    assert status_of_invoice(invoice_status) is expected


@given(
    waits=st.lists(st.integers(1, 30), min_size=0, max_size=CARD_ATTEMPT_LIMIT),
    codes=st.lists(st.sampled_from(["insufficient_funds", "do_not_honor"]), min_size=20),
)
def test_n_waits_are_n_retries_no_closer_than_the_policy_says(
    waits: list[int],
    codes: list[str],
) -> None:
    policy = RetryPolicy(schedules={"default": tuple(timedelta(days=days) for days in waits)})
    facts, tried_at = with_decline(FRESH, "insufficient_funds"), [NOW]
    while (step := next_step(policy, facts)).action is NextStep.Action.CHARGE:
        assert step.at is not None
        tried_at.append(step.at)
        decline = (codes[len(tried_at)], None)
        facts = facts_after_charge(
            facts,
            AttemptTrigger.SCHEDULED,
            ChargeResult.FAILED,
            decline,
            step.at,
        )
    gaps = [after - before for before, after in pairwise(tried_at)]
    assert gaps == [timedelta(days=days) for days in waits]


def test_a_customer_has_time_to_respond_whatever_the_grace() -> None:
    policy = RetryPolicy(grace=timedelta(), time_to_respond=2 * DAY)
    fresh = RetryFacts(waits_from=NOW, grace_ends_at=NOW)
    asked = facts_after_charge(
        fresh, AttemptTrigger.MANUAL, ChargeResult.FAILED, ("lost_card", None), NOW + DAY
    )
    assert asked.asked_at == NOW + DAY
    assert next_step(policy, asked).at == NOW + 3 * DAY
    again = facts_after_charge(
        asked, AttemptTrigger.NEW_CARD, ChargeResult.FAILED, ("stolen_card", None), NOW + 2 * DAY
    )
    assert again.asked_at == asked.asked_at  # still the same request
    soft = facts_after_charge(
        asked, AttemptTrigger.NEW_CARD, ChargeResult.FAILED, SOFT, NOW + 2 * DAY
    )
    assert soft.asked_at is None


@pytest.mark.parametrize("reason", sorted(NOT_CHARGED_CODES))
def test_what_was_not_charged_uses_up_no_try_and_asks_for_a_card(reason: str) -> None:
    after = facts_after_charge(
        FRESH, AttemptTrigger.SCHEDULED, ChargeResult.NOT_CHARGED, (reason, None), NOW + DAY
    )
    assert (after.attempt_count, after.waits_from) == (0, NOW)
    assert next_step(POLICY, after).retry_status is RetryStatus.WAITING_PAYMENT_METHOD


@pytest.mark.parametrize(
    ("result", "status"),
    [
        (ChargeResult.ALREADY_PAID, RetryStatus.RECOVERED),
        (ChargeResult.WRITTEN_OFF, RetryStatus.WRITTEN_OFF),
        (ChargeResult.GONE, RetryStatus.CANCELED),
    ],
)
def test_what_others_did_to_the_invoice_ends_it(result: ChargeResult, status: RetryStatus) -> None:
    after = facts_after_charge(FRESH, AttemptTrigger.SCHEDULED, result, (None, None), NOW)
    assert (after.retry_status, after.attempt_count) == (status, 0)


@pytest.mark.parametrize(
    ("code", "advice", "expected"),
    [
        ("lost_card", None, True),
        ("stolen_card", "do_not_try_again", True),
        ("generic_decline", "do_not_try_again", True),
        ("lost_card", "try_again_later", False),
        ("expired_card", "confirm_card_data", False),
        ("expired_card", None, False),
        ("incorrect_cvc", None, False),
        ("insufficient_funds", None, False),
        ("authentication_required", None, False),
        (None, None, False),
        *[(code, None, False) for code in sorted(NOT_CHARGED_CODES)],
    ],
)
def test_only_a_card_that_is_lost_stays_refused_when_it_is_added_again(
    code: str | None, advice: str | None, expected: bool
) -> None:
    assert is_card_refused_for_good(code, advice) is expected


def test_every_code_has_one_class() -> None:
    listed = [code for codes in declines._BY_CLASS.values() for code in codes]
    assert len(listed) == len(set(listed)) == len(CLASSES)
