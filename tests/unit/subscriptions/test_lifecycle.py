"""The table of the lifecycle, in full: eight statuses, every command, every observation."""

from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from domain.subscriptions.lifecycle import (
    FINAL,
    Access,
    CommandKind,
    Effect,
    SubscriptionStatus,
    access,
    decide,
    follow,
)

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
S = SubscriptionStatus
LIVE = [status for status in S if status not in FINAL]
OWING = {S.PAST_DUE, S.UNPAID}


@pytest.mark.parametrize("status", LIVE)
def test_a_live_subscription_can_be_canceled(status: S) -> None:
    decision = decide(status, CommandKind.CANCEL_NOW)
    assert (decision.next_status, decision.refusal) == (S.CANCELED, None)


@pytest.mark.parametrize("status", LIVE)
def test_a_live_subscription_keeps_its_status_with_another_card(status: S) -> None:
    decision = decide(status, CommandKind.CHANGE_PAYMENT_METHOD)
    assert (decision.next_status, decision.effects, decision.refusal) == (status, (), None)


@pytest.mark.parametrize("status", S)
def test_parked_steps_can_be_tried_again_in_every_status(status: S) -> None:
    decision = decide(status, CommandKind.RETRY_PARKED)
    assert (decision.next_status, decision.refusal) == (status, None)


@pytest.mark.parametrize(
    ("status", "command"),
    list(product(sorted(FINAL), sorted(set(CommandKind) - {CommandKind.RETRY_PARKED}))),
)
def test_an_ended_subscription_refuses_everything_else(status: S, command: CommandKind) -> None:
    decision = decide(status, command)
    assert decision.refusal is not None
    assert status in decision.refusal
    assert (decision.next_status, decision.effects) == (status, ())


@pytest.mark.parametrize(("status", "seen"), list(product(S, S)))
def test_what_stripe_says_is_followed(status: S, seen: S) -> None:
    decision = follow(status, seen)
    if status in FINAL and seen not in FINAL:
        assert decision.next_status is status  # a stale read revives nobody
        assert decision.effects == ()
        ours = follow(status, seen, is_ended_by_us=True)
        assert (ours.next_status, ours.effects) == (status, (Effect.CANCEL_AT_STRIPE,))
        return
    assert decision.next_status is seen
    assert (Effect.START_GRACE in decision.effects) == (seen in OWING and status not in OWING)
    leaves_debt = status in OWING and seen not in OWING
    assert (Effect.CLEAR_GRACE in decision.effects) == (leaves_debt or seen in FINAL)


@pytest.mark.parametrize(
    ("status", "grace_ends_at", "expected"),
    [
        (S.ACTIVE, None, Access.FULL),
        (S.TRIALING, None, Access.FULL),
        (S.PAST_DUE, None, Access.GRACE),
        (S.PAST_DUE, NOW + timedelta(seconds=1), Access.GRACE),
        (S.PAST_DUE, NOW, Access.NONE),
        (S.UNPAID, NOW + timedelta(days=1), Access.NONE),
        (S.PAUSED, None, Access.NONE),
        (S.INCOMPLETE, None, Access.NONE),
        (S.INCOMPLETE_EXPIRED, None, Access.NONE),
        (S.CANCELED, None, Access.NONE),
    ],
)
def test_access(status: S, grace_ends_at: datetime | None, expected: Access) -> None:
    assert access(status, grace_ends_at, False, True, NOW) is expected
    assert access(status, grace_ends_at, True, True, NOW) is Access.NONE


def test_past_due_without_an_open_invoice_has_at_least_grace() -> None:
    assert access(S.PAST_DUE, NOW, False, False, NOW) is Access.GRACE
    assert access(S.PAST_DUE, NOW, True, False, NOW) is Access.NONE
