"""Every state can be told to a person: why, and what comes next; and only what the rows show."""

from datetime import UTC, datetime, timedelta
from itertools import product
from uuid import UUID, uuid4

import pytest

from domain.parked_steps import ParkedStep
from domain.payment_retries.lifecycle import CLOSED, RetryStatus
from domain.subscriptions.explanations.explain import Explanation, explain
from domain.subscriptions.explanations.facts import (
    OpenInvoice,
    OpenRetry,
    SubscriptionFacts,
    WaitingChange,
)
from domain.subscriptions.lifecycle import FINAL, Access, SubscriptionStatus

NOW = datetime(2026, 11, 23, tzinfo=UTC)
SOON = NOW + timedelta(days=3)
LATER = NOW + timedelta(days=14)
PARKED = ParkedStep(step="sync", code="provider_rejected", message="no such price.", since=NOW)
PAGE = "https://pay.example/1"
OPEN = OpenInvoice(stripe_invoice_id="in_1", hosted_invoice_url=PAGE)
OWING: dict[str, object] = {"open_invoices": (OPEN,), "newest_invoice_status": "open"}

NOT_PAID = "An invoice is not paid."
PAY = (f"The open invoice can be paid at {PAGE}.", None)
RENEWS = ("The subscription renews.", SOON)
ENDS = "The subscription ends, as requested."
STAYS = ("The subscription stays paused until it is resumed or canceled.", None)
OVER = (
    "The subscription does not renew any more; to come back, start a new subscription.",
    None,
)
FOLLOWED = ("The next change at Stripe will be shown here.", None)
AGAIN = (
    "The failed step is tried again automatically; an administrator can retry it at once.",
    None,
)
COULD_NOT = "A step failed and will be tried again later (sync): no such price."

ACTIVE = (SubscriptionStatus.ACTIVE, Access.FULL)
TRIALING = (SubscriptionStatus.TRIALING, Access.FULL)
IN_GRACE = (SubscriptionStatus.PAST_DUE, Access.GRACE)
AFTER_GRACE = (SubscriptionStatus.PAST_DUE, Access.NONE)
UNPAID = (SubscriptionStatus.UNPAID, Access.NONE)
PAUSED = (SubscriptionStatus.PAUSED, Access.NONE)
CANCELED = (SubscriptionStatus.CANCELED, Access.NONE)
INCOMPLETE = (SubscriptionStatus.INCOMPLETE, Access.NONE)
EXPIRED = (SubscriptionStatus.INCOMPLETE_EXPIRED, Access.NONE)

PAST_DUE = "Stripe calls the subscription past due."
NONE_OPEN = "There is no open invoice."
WRITTEN_OFF = "The unpaid amount was written off, so there is no access."
PAUSE = "The subscription is paused: it makes no new invoices meanwhile."
CANCEL = "The subscription was canceled."
GRACE_OVER = "The grace period has ended, and access with it."
IF_OPEN = "If an invoice is still open then, access ends."
TRIAL = "The trial is running."
EXPIRES = "the subscription expires if it is unpaid after 23 hours"

Told = tuple[tuple[SubscriptionStatus, Access], dict[str, object], list[str], list[object]]


def explained(
    status: SubscriptionStatus,
    access: Access = Access.NONE,
    **facts: object,
) -> Explanation:
    known = {"stripe_subscription_id": "sub_1"} | facts
    return explain(
        SubscriptionFacts.model_validate({"subscription_status": status, "access": access} | known),
    )


def open_retry(status: RetryStatus, **facts: object) -> OpenRetry:
    known = {"stripe_invoice_id": "in_1", "retry_status": status} | facts
    return OpenRetry.model_validate(known)


def all_words(told: Explanation) -> str:
    return " ".join([*told.because, *[coming.what for coming in told.next]])


def newest(status: str | None, **facts: object) -> dict[str, object]:
    return {"newest_invoice_status": status, "current_period_end": SOON} | facts


CASES: dict[str, Told] = {
    "paid up": (
        ACTIVE, newest("paid"), ["The latest finalized invoice is paid."], [RENEWS],
    ),
    "void": (
        ACTIVE, newest("void"), ["The latest finalized invoice is void."], [RENEWS],
    ),
    "marked uncollectible by support": (
        ACTIVE,
        newest("uncollectible"),
        ["The latest finalized invoice is marked uncollectible."],
        [RENEWS],
    ),
    "on invoice terms": (
        ACTIVE,
        newest("open", open_invoices=(OPEN,)),
        ["Stripe calls the subscription active.", NOT_PAID],
        [PAY, RENEWS],
    ),
    "an open invoice without a page": (
        ACTIVE,
        newest("open", open_invoices=(OpenInvoice(stripe_invoice_id="in_1"),)),
        ["Stripe calls the subscription active.", NOT_PAID],
        [("The open invoice waits for its payment.", None), RENEWS],
    ),
    "only an older one is open": (
        ACTIVE,
        newest("paid", open_invoices=(OPEN,)),
        ["The latest finalized invoice is paid.", NOT_PAID],
        [PAY, RENEWS],
    ),
    "without a finalized invoice": (
        ACTIVE, newest(None), ["Stripe calls the subscription active."], [RENEWS],
    ),
    "ends with the period": (
        ACTIVE,
        newest("paid", cancel_at=SOON),
        ["The latest finalized invoice is paid."],
        [(ENDS, SOON)],
    ),
    "ends in a later period": (
        ACTIVE,
        newest("paid", cancel_at=LATER),
        ["The latest finalized invoice is paid."],
        [RENEWS, (ENDS, LATER)],
    ),
    "active only because it was given up": (
        (SubscriptionStatus.ACTIVE, Access.NONE),
        newest("uncollectible", is_written_off=True),
        ["The latest finalized invoice is marked uncollectible.", WRITTEN_OFF],
        [FOLLOWED],
    ),
    "trial": (
        TRIALING,
        {"trial_end": SOON},
        [TRIAL, NONE_OPEN],
        [("The trial ends.", SOON)],
    ),
    "trial with something to pay": (
        TRIALING,
        OWING | {"trial_end": SOON},
        [TRIAL, NOT_PAID],
        [PAY, ("The trial ends.", SOON)],
    ),
    "trial that is the end": (
        TRIALING,
        {"trial_end": SOON, "cancel_at": SOON},
        [TRIAL, NONE_OPEN],
        [(ENDS, SOON)],
    ),
    "past due on invoice terms, in grace": (
        IN_GRACE,
        OWING | {"grace_ends_at": LATER},
        [PAST_DUE, NOT_PAID, "Access continues for a grace period while an invoice is not paid."],
        [PAY, (IF_OPEN, LATER)],
    ),
    "past due on invoice terms, after grace": (
        AFTER_GRACE, OWING | {"grace_ends_at": NOW}, [PAST_DUE, NOT_PAID, GRACE_OVER], [PAY],
    ),
    "past due with nothing open": (
        IN_GRACE,
        {"newest_invoice_status": "void", "grace_ends_at": NOW},
        [PAST_DUE, NONE_OPEN, "Access continues in the meantime."],
        [FOLLOWED],
    ),
    "past due, and its end is planned": (
        IN_GRACE,
        OWING
        | {
            "grace_ends_at": LATER,
            "cancel_at": SOON,
            "payment_retries": (open_retry(RetryStatus.WAITING, next_attempt_at=LATER),),
        },
        [PAST_DUE, NOT_PAID, "Access continues for a grace period while an invoice is not paid."],
        [(ENDS, SOON)],
    ),
    "past due and given up": (
        AFTER_GRACE,
        {"newest_invoice_status": "uncollectible", "is_written_off": True},
        [PAST_DUE, NONE_OPEN, WRITTEN_OFF],
        [FOLLOWED],
    ),
    "unpaid": (
        UNPAID, OWING, ["Stripe calls the subscription unpaid.", NOT_PAID], [PAY],
    ),
    "unpaid with nothing open": (
        UNPAID, {}, ["Stripe calls the subscription unpaid.", NONE_OPEN], [FOLLOWED],
    ),
    "paused": (PAUSED, {}, [PAUSE], [STAYS]),
    "paused and owing": (PAUSED, OWING, [PAUSE, NOT_PAID], [PAY, STAYS]),
    "paused until a date": (
        PAUSED, {"resume_at": LATER}, [PAUSE],
        [("The subscription is resumed, if it can be paid.", LATER)],
    ),
    "paused until its end": (PAUSED, {"cancel_at": SOON}, [PAUSE], [(ENDS, SOON)]),
    "paused until a date, and its end is planned": (
        PAUSED, {"cancel_at": LATER, "resume_at": SOON}, [PAUSE], [(ENDS, LATER)],
    ),
    "paused and given up": (
        PAUSED, {"is_written_off": True}, [PAUSE, WRITTEN_OFF], [STAYS],
    ),
    "canceled": (CANCELED, {"cancel_at": NOW}, [CANCEL], [OVER]),
    "canceled with an open invoice": (CANCELED, OWING, [CANCEL, NOT_PAID], [OVER]),
    "canceled with a step to take": (
        CANCELED, {"cancel_at": NOW, "parked": (PARKED,)}, [CANCEL, COULD_NOT], [AGAIN, OVER],
    ),
    "canceled and given up": (CANCELED, {"is_written_off": True}, [CANCEL, WRITTEN_OFF], [OVER]),
    "not paid at first": (EXPIRED, {}, ["The first payment was not made."], [OVER]),
    "being made": (
        INCOMPLETE,
        {"stripe_subscription_id": None},
        ["The subscription is being created at Stripe."],
        [("The status changes once Stripe has created the subscription.", None)],
    ),
    "could not be made": (
        INCOMPLETE,
        {"stripe_subscription_id": None, "parked": (PARKED,)},
        ["The subscription is being created at Stripe.", COULD_NOT],
        [AGAIN, ("The status changes once Stripe has created the subscription.", None)],
    ),
    "incomplete": (
        INCOMPLETE,
        OWING | {"next_action_url": PAGE},
        ["The first payment has not come through yet."],
        [(f"Pay the first invoice at {PAGE}; {EXPIRES}.", None)],
    ),
    "incomplete, and its end is planned": (
        INCOMPLETE,
        {"cancel_at": LATER},
        ["The first payment has not come through yet."],
        [(f"Pay the first invoice; {EXPIRES}.", None), (ENDS, LATER)],
    ),
    "a step could not be taken": (
        ACTIVE,
        newest("paid", parked=(PARKED,)),
        ["The latest finalized invoice is paid.", COULD_NOT],
        [AGAIN, RENEWS],
    ),
    "a step of its payment retry could not be taken": (
        AFTER_GRACE,
        OWING
        | {
            "payment_retries": (
                open_retry(RetryStatus.WAITING, next_attempt_at=NOW, parked=(PARKED,)),
            ),
        },
        [PAST_DUE, NOT_PAID, COULD_NOT, GRACE_OVER],
        [AGAIN],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_is_told_is_what_the_rows_show(name: str) -> None:
    (status, access), facts, because, coming = CASES[name]
    told = explained(status, access, **facts)
    assert list(told.because) == because
    assert [(each.what, each.at) for each in told.next] == coming


STATES = list(product(SubscriptionStatus, Access, [(), (PARKED,)], [(), (OPEN,)]))


@pytest.mark.parametrize(("status", "access", "parked", "unpaid"), STATES)
@pytest.mark.parametrize("newest_status", [None, "open", "paid", "void", "uncollectible"])
def test_there_is_always_a_reason_and_something_next(
    status: SubscriptionStatus,
    access: Access,
    parked: tuple[ParkedStep, ...],
    unpaid: tuple[OpenInvoice, ...],
    newest_status: str | None,
) -> None:
    facts = {"parked": parked, "open_invoices": unpaid, "newest_invoice_status": newest_status}
    told = explained(status, access, **facts)
    assert (told.subscription_status, told.access) == (status, access)
    assert told.because
    assert told.next
    said = [*told.because, *[coming.what for coming in told.next]]
    assert all(what[0].isupper() and what.endswith(".") for what in said)
    is_said_paid = "The latest finalized invoice is paid." in told.because
    assert is_said_paid is (status is SubscriptionStatus.ACTIVE and newest_status == "paid")
    assert "charged" not in all_words(told), "without a payment retry nobody knows that"


@pytest.mark.parametrize("status", sorted(set(SubscriptionStatus) - FINAL))
def test_nothing_is_promised_for_after_the_end(status: SubscriptionStatus) -> None:
    times = {"current_period_end": LATER, "trial_end": LATER, "grace_ends_at": LATER}
    waiting = open_retry(RetryStatus.WAITING, next_attempt_at=LATER)
    facts = OWING | times | {"payment_retries": (waiting,), "cancel_at": SOON}
    told = explained(status, Access.GRACE, **facts)
    assert {coming.at for coming in told.next} <= {None, SOON}
    assert ENDS in [coming.what for coming in told.next]


def test_a_waiting_retry_in_grace() -> None:
    waiting = open_retry(
        RetryStatus.WAITING,
        attempt_count=2,
        next_attempt_at=SOON,
        decline_code="insufficient_funds",
    )
    facts = OWING | {"grace_ends_at": LATER, "payment_retries": (waiting,)}
    told = explained(SubscriptionStatus.PAST_DUE, Access.GRACE, **facts)
    assert [coming.at for coming in told.next] == [SOON, LATER]
    assert "insufficient funds" in all_words(told)
    assert "so far: 2" in all_words(told)
    assert "grace period while" in all_words(told)
    assert PAGE not in all_words(told), "its payment retry has the word"


def test_grace_that_was_not_computed_yet() -> None:
    told = explained(SubscriptionStatus.PAST_DUE, Access.GRACE, **OWING)
    assert "access ends" not in all_words(told)
    assert told.next[0].what == PAY[0]


@pytest.mark.parametrize(
    ("status", "at", "words"),
    [
        (RetryStatus.WAITING_PAYMENT_METHOD, None, "waits for another card"),
        (RetryStatus.WAITING_AUTHENTICATION, None, "confirm the payment"),
        (RetryStatus.PAUSED, None, "older invoice waits"),
        (RetryStatus.CHARGING, None, "A charge is being tried right now."),
        (RetryStatus.WAITING, SOON, "The payment is tried again."),
        (RetryStatus.WAITING, None, "The open invoice is being checked."),
    ],
)
def test_each_open_recovery_says_what_it_waits_for(
    status: RetryStatus,
    at: datetime | None,
    words: str,
) -> None:
    known = open_retry(status, next_attempt_at=at)
    told = explained(SubscriptionStatus.PAST_DUE, payment_retries=(known,))
    assert words in told.next[0].what
    assert told.next[0].at == at


@pytest.mark.parametrize(
    ("decline_code", "words"),
    [
        ("lost_card", "The last charge did not go through: lost card."),
        ("authentication_required", "did not go through: authentication required."),
        ("no_payment_method", "There was no card that could be charged."),
        ("card_attempt_limit_reached", "tried as often as the card networks allow"),
        ("card_refused_before", "The card was refused before, so it was not charged again."),
    ],
)
def test_what_was_not_charged_was_not_declined(decline_code: str, words: str) -> None:
    waiting = open_retry(RetryStatus.WAITING_PAYMENT_METHOD, decline_code=decline_code)
    told = explained(SubscriptionStatus.PAST_DUE, Access.NONE, payment_retries=(waiting,), **OWING)
    assert words in " ".join(told.because)


@pytest.mark.parametrize("status", sorted(CLOSED))
def test_closed_recoveries_are_history(status: RetryStatus) -> None:
    closed = open_retry(status, decline_code="lost_card", attempt_count=4, parked=(PARKED,))
    told = explained(SubscriptionStatus.ACTIVE, Access.FULL, payment_retries=(closed,))
    assert len(told.next) == 1
    assert "lost card" not in all_words(told)
    assert "no such price" not in all_words(told)


@pytest.mark.parametrize("status", sorted(FINAL))
def test_an_ended_one_is_not_collected(status: SubscriptionStatus) -> None:
    waiting = open_retry(RetryStatus.WAITING, next_attempt_at=SOON)
    told = explained(status, Access.NONE, payment_retries=(waiting,), **OWING)
    assert [coming.at for coming in told.next] == [None]


PLAN, OTHER = uuid4(), uuid4()
TERMS: dict[str, object] = {"plan_id": PLAN, "stripe_price_id": "price_1", "quantity": 2}


def waiting(
    quantity: int, price: str = "price_1", plan: UUID | None = PLAN, name: str | None = "Pro"
) -> WaitingChange:
    return WaitingChange(
        plan_id=plan, plan_name=name, stripe_price_id=price, quantity=quantity, at=SOON
    )


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (waiting(1), "The quantity changes to 1."),
        (waiting(2, "price_2", OTHER, "Team"), "The plan changes to Team."),
        (waiting(3, "price_2", OTHER, "Team"), "The plan changes to Team, and the quantity to 3."),
        (waiting(2, "price_2"), "The price changes to price_2."),
        (waiting(3, "price_9", None, None), "The price changes to price_9, and the quantity to 3."),
        (waiting(2), "A change that was planned at Stripe is made."),
    ],
)
@pytest.mark.parametrize(
    ("status", "usual"),
    [(SubscriptionStatus.ACTIVE, RENEWS), (SubscriptionStatus.TRIALING, ("The trial ends.", SOON))],
)
def test_the_change_that_waits_is_told(
    status: SubscriptionStatus, usual: tuple[str, datetime], change: WaitingChange, what: str
) -> None:
    times = {"current_period_end": SOON, "trial_end": SOON}
    told = explained(status, Access.FULL, scheduled_change=change, **TERMS, **times)
    assert [(each.what, each.at) for each in told.next] == [usual, (what, SOON)]


def test_a_change_that_waits_beyond_the_end_is_not_told() -> None:
    times = {"current_period_end": SOON, "cancel_at": SOON}
    facts = TERMS | times | {"scheduled_change": waiting(1)}
    told = explained(SubscriptionStatus.ACTIVE, Access.FULL, **facts)
    assert [each.what for each in told.next] == [ENDS]


@pytest.mark.parametrize("status", sorted(FINAL))
def test_nothing_changes_after_the_end(status: SubscriptionStatus) -> None:
    told = explained(status, Access.NONE, scheduled_change=waiting(1), **TERMS)
    assert [(each.what, each.at) for each in told.next] == [OVER]
