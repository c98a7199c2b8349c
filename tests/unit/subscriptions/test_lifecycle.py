"""The table of the lifecycle, in full: eight statuses, every command, every observation."""

from datetime import UTC, datetime, timedelta
from itertools import product
from uuid import UUID

import pytest
from pydantic import ValidationError

from domain.subscriptions.lifecycle import (
    COMMANDS,
    FINAL,
    Access,
    CommandKind,
    Effect,
    RefusalCode,
    SubscriptionStatus,
    access,
    decide,
    follow,
)
from domain.subscriptions.messages import SubscriptionCommand

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
S = SubscriptionStatus
OWING = {S.PAST_DUE, S.UNPAID}


# One column for each status; a dot keeps the status, `no` and `due` refuse.
TABLE = """
                         incomplete expired trialing active past_due unpaid paused canceled
cancel_now               canceled   no      canceled canceled canceled canceled canceled no
cancel_at_period_end     no         no      .        .      .        .      no     no
uncancel                 no         no      .        .      .        .      no     no
pause                    no         no      no       paused due      due    no     no
resume                   no         no      no       no     no       no     active no
change_plan              no         no      .        .      due      due    no     no
schedule_change          no         no      .        .      due      due    no     no
cancel_scheduled_change  no         no      .        .      .        .      no     no
apply_discount           no         no      .        .      .        .      no     no
remove_discount          no         no      .        .      .        .      no     no
change_payment_method    .          no      .        .      .        .      .      no
confirm                  active     no      no       no     no       no     no     no
extend_trial             no         no      .        no     no       no     no     no
end_trial                no         no      active   no     no       no     no     no
reactivate               no         .       no       no     no       no     no     .
retry_parked             .          .       .        .      .        .      .      .
"""
ROWS = [line.split() for line in TABLE.strip().splitlines()]
CELLS = [
    (status, CommandKind(name), cell)
    for name, *cells in ROWS[1:]
    for status, cell in zip(S, cells, strict=True)
]
STOPS, RELEASES = Effect.STOP_PAYMENT_RETRIES, Effect.RELEASE_SCHEDULE
EFFECTS = {
    CommandKind.CANCEL_NOW: (STOPS, RELEASES),
    CommandKind.CANCEL_AT_PERIOD_END: (RELEASES,),
    CommandKind.PAUSE: (RELEASES,),
    CommandKind.CHANGE_PLAN: (RELEASES,),
    CommandKind.CANCEL_SCHEDULED_CHANGE: (RELEASES,),
    CommandKind.CHANGE_PAYMENT_METHOD: (Effect.TRY_CARD,),
    CommandKind.REACTIVATE: (Effect.START_REPLACEMENT,),
}
REFUSED = {"no": RefusalCode.ILLEGAL_COMMAND, "due": RefusalCode.PAYMENT_DUE}


def test_the_table_here_has_every_status_and_every_command() -> None:
    assert [name.replace("expired", "incomplete_expired") for name in ROWS[0]] == list(S)
    assert [name for name, *_ in ROWS[1:]] == list(CommandKind) == list(COMMANDS)


@pytest.mark.parametrize(("status", "command", "cell"), CELLS)
def test_each_cell_of_the_table(status: S, command: CommandKind, cell: str) -> None:
    decision = decide(status, command)
    if cell in REFUSED:
        assert decision.refusal_code is REFUSED[cell]
        assert status in (decision.refusal or "")
        assert (decision.next_status, decision.effects) == (status, ())
        return
    assert (decision.refusal, decision.refusal_code) == (None, None)
    assert decision.next_status == (status if cell == "." else S(cell))
    assert decision.effects == EFFECTS.get(command, ())


@pytest.mark.parametrize(("status", "command"), [cell[:2] for cell in CELLS])
def test_a_schedule_of_others_leaves_only_what_ends_or_reads(
    status: S, command: CommandKind
) -> None:
    usual, managed = decide(status, command), decide(status, command, is_managed_at_stripe=True)
    allowed = {"cancel_now", "confirm", "reactivate", "retry_parked"}
    if usual.refusal_code is not None or command in allowed:
        assert managed == usual
    else:
        assert managed.refusal_code is RefusalCode.MANAGED_AT_STRIPE
        assert (managed.next_status, managed.effects) == (status, ())


@pytest.mark.parametrize("command", CommandKind)
def test_a_command_without_what_it_needs_is_refused(command: CommandKind) -> None:
    if COMMANDS[command].needs is None:
        SubscriptionCommand(command_id=UUID(int=1), kind=command)
        return
    with pytest.raises(ValidationError, match=f"needs {COMMANDS[command].needs}"):
        SubscriptionCommand(command_id=UUID(int=1), kind=command)


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
