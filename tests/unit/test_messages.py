"""Durations, ids, notes and mails: small, pure, and relied on everywhere."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from domain import ids
from domain.accounts.credentials import digest, make_api_key, shown_prefix
from domain.base import Duration, format_duration
from domain.errors import ApplicationError, CardDeclinedError, ConflictError
from domain.payment_retries.lifecycle import ChargeResult, RetryStatus
from domain.payment_retries.messages import ChargeOutcome, LastResortRequest, RetryReport
from domain.payment_retries.policy import LastResort
from domain.payment_retries.snapshots import UnpaidInvoice
from domain.subscriptions.events import (
    command_event,
    grace_end_event,
    hint_event,
    last_resort_event,
    report_events,
    status_event,
)
from domain.subscriptions.lifecycle import CommandKind, SubscriptionStatus
from domain.subscriptions.messages import (
    NewSubscriptionEvent,
    SubscriptionCommand,
    SubscriptionRequest,
)
from domain.subscriptions.steps import (
    CancelInput,
    ChangeCardInput,
    CreateInput,
    LastResortInput,
    OwedStep,
    RefundPaymentsInput,
    SyncInput,
    VoidInput,
)

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DURATION = TypeAdapter(Duration)
S = SubscriptionStatus
CHARGED = frozenset({ChargeResult.SUCCEEDED, ChargeResult.FAILED})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("2h", timedelta(hours=2)),
        ("3d", timedelta(days=3)),
        (" 3d ", timedelta(days=3)),
        ("P1DT12H", timedelta(hours=36)),
        (timedelta(days=1), timedelta(days=1)),
    ],
)
def test_durations_are_read(text: object, expected: timedelta) -> None:
    assert DURATION.validate_python(text) == expected


@pytest.mark.parametrize("text", [3, 1.5, "3", "3w", "d3", ""])
def test_a_duration_without_a_known_unit_is_refused(text: object) -> None:
    with pytest.raises(ValidationError):
        DURATION.validate_python(text)


@given(st.integers(0, 366 * 86_400))
def test_durations_survive_writing_and_reading(seconds: int) -> None:
    written = format_duration(timedelta(seconds=seconds))
    assert DURATION.validate_python(written) == timedelta(seconds=seconds)


def test_durations_are_written_in_the_largest_unit_that_fits() -> None:
    seconds = {0: "0s", 90: "90s", 900: "15m", 7_200: "2h", 129_600: "36h", 259_200: "3d"}
    assert {at: format_duration(timedelta(seconds=at)) for at in seconds} == seconds


def test_api_keys_are_random_and_only_their_digest_is_kept() -> None:
    first, second = make_api_key(), make_api_key()
    assert first != second
    assert digest(first) == digest(first) != digest(second)
    assert first.startswith(shown_prefix(first))
    assert len(shown_prefix(first)) < len(first) / 3


def test_ids_come_out_the_same_twice_and_apart_for_others() -> None:
    caller = uuid4()
    assert ids.resource_id(caller, "/a", "k") == ids.resource_id(caller, "/a", "k")
    different = {
        ids.resource_id(caller, "/a", "k"),
        ids.command_id(caller, "/a", "k"),
        ids.resource_id(caller, "/ak", ""),
        ids.resource_id(uuid4(), "/a", "k"),
        ids.payment_retry_id("in_1"),
        ids.invoice_id("in_1"),
        ids.payment_id("in_1"),
    }
    assert len(different) == 7


def test_keys_name_workflow_purpose_and_command() -> None:
    subscription_id, command_id = UUID(int=1), UUID(int=2)
    workflow_id = ids.subscription_workflow_id(subscription_id)
    assert ids.command_key(workflow_id, "cancel", command_id) == (
        f"subscription-{subscription_id}:cancel:{command_id}"
    )
    assert ids.charge_key("in_1", 3) == "payment-retry-in_1:charge:3"
    assert ids.stripe_operation_workflow_id(command_id) == f"stripe-operation-{command_id}"


def test_errors_carry_code_status_and_details() -> None:
    assert (CardDeclinedError.code, CardDeclinedError.http_status) == ("card_declined", 402)
    error = ConflictError("taken", "plan_code_taken", {"code": "pro"})
    assert isinstance(error, ApplicationError)
    assert (error.error_code, error.details) == ("plan_code_taken", {"code": "pro"})
    assert ConflictError("taken").error_code == "conflict"


@pytest.mark.parametrize("kind", list(CommandKind))
def test_every_command_has_a_sentence(kind: CommandKind) -> None:
    note = command_event(
        SubscriptionCommand(
            command_id=UUID(int=1), kind=kind, stripe_payment_method_id="pm_1", trial_end=NOW
        )
    )
    assert (note.kind, note.source_key) == (kind, f"command:{UUID(int=1)}")
    assert note.summary.endswith(".")


def test_notes_of_status_grace_and_hints() -> None:
    note = status_event(S.ACTIVE, S.PAST_DUE, 4, "invoice.payment_failed")
    assert note.data == {"from": "active", "to": "past_due", "reason": "invoice.payment_failed"}
    assert note.source_key == "status:4:past_due"
    assert grace_end_event(NOW).kind == "grace_ended"
    assert hint_event("evt_1", "invoice.paid").source_key == "evt_1"


def report(**what: object) -> RetryReport:
    return RetryReport.model_validate(
        {"stripe_invoice_id": "in_1", "retry_status": RetryStatus.WAITING, **what},
    )


def test_a_report_without_news_is_no_note() -> None:
    assert report_events(report()) == ()


@pytest.mark.parametrize(
    ("result", "code", "kind"),
    [
        (ChargeResult.SUCCEEDED, None, "retry_paid"),
        (ChargeResult.FAILED, "lost_card", "retry_failed"),
        (ChargeResult.FAILED, None, "retry_failed"),
    ],
)
def test_a_charge_is_a_note(result: ChargeResult, code: str | None, kind: str) -> None:
    outcome = ChargeOutcome(result=result, decline_code=code)
    (note,) = report_events(report(attempt=2, outcome=outcome))
    assert (note.kind, note.source_key) == (kind, "retry:in_1:2")
    assert (code or ".") in note.summary


@pytest.mark.parametrize("result", sorted(set(ChargeResult) - CHARGED))
def test_what_was_not_charged_is_no_charge(result: ChargeResult) -> None:
    assert report_events(report(attempt=2, outcome=ChargeOutcome(result=result))) == ()


def test_a_last_resort_is_a_note_of_what_was_done() -> None:
    order = LastResortRequest(stripe_invoice_id="in_1", last_resort=LastResort.CANCEL)
    outcome = ChargeOutcome(result=ChargeResult.FAILED, decline_code="do_not_honor")
    notes = report_events(report(last_resort=order, attempt=3, outcome=outcome))
    assert [note.kind for note in notes] == ["retry_failed"]  # not done yet
    done = last_resort_event(order, is_invoice_only=False)
    assert (done.kind, "cancel" in done.summary) == ("last_resort", True)
    assert "cancel" not in last_resort_event(order, is_invoice_only=True).summary


def test_an_input_tells_the_web_ui_what_it_is_about() -> None:
    facts = {"subscription_id": UUID(int=1), "at": NOW}
    request = SubscriptionRequest(
        user_id=UUID(int=2),
        plan_id=UUID(int=3),
        stripe_price_id="price_1",
    )
    resort = LastResortRequest(stripe_invoice_id="in_1", last_resort=LastResort.PAUSE)
    event = NewSubscriptionEvent(source_key="k", kind="retry_paid", summary="Paid.")
    said = [
        each.summary
        for each in (
            SyncInput(**facts),
            CreateInput(**facts, request=request),
            CancelInput(**facts),
            ChangeCardInput(**facts, command_id=UUID(int=4), stripe_payment_method_id="pm_1"),
            LastResortInput(**facts, request=resort),
            SyncInput(**facts, hint_ids=("evt_1",), events=(event,)),
        )
    ]
    assert said == [
        "read at Stripe: again",
        "create at Stripe",
        "cancel_now",
        "change_payment_method",
        "last resort: pause",
        "read at Stripe: evt_1, retry_paid",
    ]


def test_an_owed_step_is_read_back_as_it_was_written() -> None:
    facts = {"subscription_id": UUID(int=1), "at": NOW}
    steps = [
        OwedStep(input=SyncInput(**facts, hint_ids=("evt_1",))),
        OwedStep(input=VoidInput(**facts, stripe_invoice_ids=("in_1",)), try_count=2),
        OwedStep(input=RefundPaymentsInput(**facts, payment_ids=(UUID(int=5),))),
    ]
    assert [OwedStep.model_validate(step.model_dump(mode="json")) for step in steps] == steps


def test_the_subscriptions_card_goes_before_the_customers() -> None:
    invoice = UnpaidInvoice(
        stripe_invoice_id="in_1",
        invoice_status="open",
        amount_cents=2_900,
        amount_paid_cents=0,
        currency_code="usd",
        customer_card_id="pm_customer",
    )
    assert invoice.card_id == "pm_customer"
    assert invoice.model_copy(update={"subscription_card_id": "pm_own"}).card_id == "pm_own"
