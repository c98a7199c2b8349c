"""The table of payments, in full, and the names that others call the workflow by."""

from datetime import UTC, datetime
from itertools import product
from uuid import uuid4

import pytest
from temporalio import workflow

from domain.payments.messages import CancelPaymentInput
from domain.payments.rules import (
    OPEN,
    PaymentCommandKind,
    PaymentStatus,
    follow,
    refundable_cents,
    refusal,
    spread,
    status_of_intent,
)
from domain.payments.snapshots import IntentSnapshot
from domain.workflow_names import (
    CANCEL_UPDATE,
    PAYMENT_HINT,
    PAYMENT_WORKFLOW,
    REFUND_UPDATE,
    RETRY_PARKED_UPDATE,
)
from workflows.payments.payment import PaymentWorkflow

NOW = datetime(2026, 11, 29, tzinfo=UTC)
S = PaymentStatus
REFUNDABLE = {S.SUCCEEDED, S.PARTIALLY_REFUNDED}
PAID = [S.SUCCEEDED, S.PARTIALLY_REFUNDED, S.REFUNDED, S.DISPUTED]


def seen(intent_status: str, decline_code: str | None = None) -> IntentSnapshot:
    return IntentSnapshot(
        stripe_payment_intent_id="pi_1",
        intent_status=intent_status,
        amount_cents=1_000,
        decline_code=decline_code,
    )


@pytest.mark.parametrize(("status", "command"), list(product(S, PaymentCommandKind)))
def test_every_command_is_allowed_or_refused_with_the_status(
    status: S,
    command: PaymentCommandKind,
) -> None:
    allowed = {
        PaymentCommandKind.CANCEL: OPEN,
        PaymentCommandKind.REFUND: REFUNDABLE,
        PaymentCommandKind.RETRY_PARKED: set(S),
    }[command]
    said = refusal(status, command)
    assert (said is None) == (status in allowed)
    assert said is None or str(status) in said


@pytest.mark.parametrize(
    ("amount", "refunded", "pending", "left"),
    [
        (1_000, 0, 0, 1_000),
        (1_000, 400, 0, 600),
        (1_000, 400, 600, 0),
        (1_000, 900, 200, 0),
    ],
)
def test_what_is_left_counts_what_is_on_its_way(
    amount: int,
    refunded: int,
    pending: int,
    left: int,
) -> None:
    assert refundable_cents(amount, refunded, pending) == left


@pytest.mark.parametrize(
    ("amount_cents", "left", "parts"),
    [
        (500, (700, 300), (500, None)),
        (900, (700, 300), (700, 200)),
        (900, (0, 300), (None, 300)),
        (0, (700, 300), (None, None)),
        (5_000, (), ()),
    ],
)
def test_an_amount_is_spread_over_what_is_left(
    amount_cents: int, left: tuple[int, ...], parts: tuple[int | None, ...]
) -> None:
    ids = [uuid4() for _ in left]
    spread_out = spread(amount_cents, dict(zip(ids, left, strict=True)))
    assert tuple(spread_out.get(each) for each in ids) == parts


@pytest.mark.parametrize(
    ("intent", "status"),
    [
        (seen("succeeded"), S.SUCCEEDED),
        (seen("succeeded", "insufficient_funds"), S.SUCCEEDED),
        (seen("canceled"), S.CANCELED),
        (seen("requires_action"), S.REQUIRES_ACTION),
        (seen("requires_payment_method", "insufficient_funds"), S.FAILED),
        (seen("requires_payment_method"), S.PENDING),
        (seen("requires_confirmation"), S.PENDING),
        (seen("processing"), S.PENDING),
        (seen("a status of tomorrow"), S.PENDING),
    ],
)
def test_an_intent_is_followed(intent: IntentSnapshot, status: S) -> None:
    assert status_of_intent(intent) is status
    assert follow(S.PENDING, intent, 0) is status


def test_refunds_show_in_the_status() -> None:
    for before in (S.PENDING, S.SUCCEEDED, S.PARTIALLY_REFUNDED, S.REFUNDED):
        assert follow(before, seen("succeeded"), 0) is S.SUCCEEDED
        assert follow(before, seen("succeeded"), 1) is S.PARTIALLY_REFUNDED
        assert follow(before, seen("succeeded"), 1_000) is S.REFUNDED


@pytest.mark.parametrize("before", S)
def test_what_the_bank_took_back_is_disputed_until_it_is_given_back(before: S) -> None:
    taken = seen("succeeded").model_copy(update={"is_disputed": True})
    assert {follow(before, taken, refunded) for refunded in (0, 1, 1_000)} == {S.DISPUTED}
    assert follow(S.DISPUTED, seen("succeeded"), 0) is S.SUCCEEDED
    assert follow(S.DISPUTED, seen("succeeded"), 1) is S.PARTIALLY_REFUNDED


@pytest.mark.parametrize("before", PAID)
def test_a_stale_read_takes_no_success_back(before: S) -> None:
    assert follow(before, seen("requires_action"), 0) is before


def test_nobody_asked_means_expired() -> None:
    assert CancelPaymentInput(payment_id=uuid4(), at=NOW).is_expired
    assert not CancelPaymentInput(payment_id=uuid4(), at=NOW, cause=str(uuid4())).is_expired


def test_the_names_by_which_others_call_it_are_its_own() -> None:
    definition = workflow._Definition.must_from_class(PaymentWorkflow)
    assert definition.name == PAYMENT_WORKFLOW
    assert {REFUND_UPDATE, CANCEL_UPDATE, RETRY_PARKED_UPDATE} == set(definition.updates)
    assert set(definition.signals) == {PAYMENT_HINT}
