"""Recovering an unpaid invoice: the policy, and the one function that decides what comes next."""

from datetime import datetime, timedelta
from enum import StrEnum

from pydantic import Field, field_validator

from domain.declines import DeclineClass, classify
from domain.messages import Duration, Frozen

# Reason: the card networks allow about this many retries of one card in 30 days (Visa: 15 to 20).
CARD_ATTEMPT_LIMIT = 15
CARD_ATTEMPT_WINDOW = timedelta(days=30)
# What a recovery records when the card's limit is used up; a hard class of its own.
LIMIT_REACHED = "card_attempt_limit_reached"

DEFAULT_POLICY_NAME = "default"


class LastResort(StrEnum):
    """What is asked of the subscription when all tries have failed."""

    CANCEL = "cancel"
    PAUSE = "pause"
    MARK_UNCOLLECTIBLE = "mark_uncollectible"


class OlderInvoices(StrEnum):
    """What becomes of an older unpaid invoice once a newer one is paid."""

    COLLECT = "collect"
    VOID = "void"


class RetryStatus(StrEnum):
    """Where one invoice's recovery stands."""

    WAITING = "waiting"
    CHARGING = "charging"
    WAITING_PAYMENT_METHOD = "waiting_payment_method"
    WAITING_AUTHENTICATION = "waiting_authentication"
    PAUSED = "paused"
    RECOVERED = "recovered"
    EXHAUSTED = "exhausted"
    CANCELED = "canceled"
    WRITTEN_OFF = "written_off"


CLOSED = frozenset(
    {
        RetryStatus.RECOVERED,
        RetryStatus.EXHAUSTED,
        RetryStatus.CANCELED,
        RetryStatus.WRITTEN_OFF,
    },
)


class AttemptTrigger(StrEnum):
    """Who asked for a charge. Only scheduled tries use up the schedule."""

    INITIAL = "initial"
    SCHEDULED = "scheduled"
    MANUAL = "manual"
    NEW_CARD = "new_card"


class ChargeResult(StrEnum):
    """How a charge ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    GONE = "gone"  # the invoice is void or uncollectible: there is nothing to charge


class RetryPolicy(Frozen):
    """When to try again, and what to do when that does not help.

    Args:
        schedules: Waits between scheduled tries, by decline code, decline class or `default`.
        grace: How long access lasts after the first failure.
        last_resort: What is asked of the subscription at the end.
        after_uncollectible: What follows `mark_uncollectible`, which alone would make Stripe
            report the subscription as active.
        older_invoices: What becomes of older unpaid invoices once a newer one is paid.
    """

    schedules: dict[str, tuple[Duration, ...]] = Field(
        default={"default": tuple(timedelta(days=days) for days in (1, 3, 5, 7))},
    )
    grace: Duration = timedelta(days=14)
    last_resort: LastResort = LastResort.CANCEL
    after_uncollectible: LastResort = LastResort.CANCEL
    older_invoices: OlderInvoices = OlderInvoices.COLLECT

    @field_validator("schedules")
    @classmethod
    def _check_schedules(
        cls,
        schedules: dict[str, tuple[timedelta, ...]],
    ) -> dict[str, tuple[timedelta, ...]]:
        if "default" not in schedules:
            raise ValueError("schedules need a `default`")
        for waits in schedules.values():
            if len(waits) > CARD_ATTEMPT_LIMIT:
                raise ValueError(f"the networks allow {CARD_ATTEMPT_LIMIT} retries at most")
            if any(wait <= timedelta() for wait in waits):
                raise ValueError("a wait must be longer than nothing")
        return schedules

    @field_validator("after_uncollectible")
    @classmethod
    def _check_after(cls, after: LastResort) -> LastResort:
        if after is LastResort.MARK_UNCOLLECTIBLE:
            raise ValueError("after_uncollectible is `cancel` or `pause`")
        return after

    @field_validator("grace")
    @classmethod
    def _check_grace(cls, grace: timedelta) -> timedelta:
        if grace < timedelta():
            raise ValueError("grace cannot be negative")
        return grace

    def schedule_for(
        self, decline_code: str | None, advice_code: str | None
    ) -> tuple[
        timedelta,
        ...,
    ]:
        """Return the waits that apply after a decline: by code, else by class, else `default`."""
        for name in (decline_code, classify(decline_code, advice_code).value):
            if name is not None and name in self.schedules:
                return self.schedules[name]
        return self.schedules["default"]


class VersionedPolicy(Frozen):
    """A policy as one recovery keeps it, whatever is PUT later."""

    name: str = DEFAULT_POLICY_NAME
    version: int = 1
    policy: RetryPolicy = RetryPolicy()


class Recovery(Frozen):
    """What is known of one invoice's recovery; times are Temporal's.

    Args:
        retry_status: Where it stands.
        attempt_count: Scheduled tries done so far.
        waits_from: From when the present wait runs: the last scheduled try, or the first failure.
        grace_ends_at: When access ends, and with it the waiting for a card.
        decline_code: Why the last charge failed.
        advice_code: Stripe's advice about it.
    """

    retry_status: RetryStatus = RetryStatus.WAITING
    attempt_count: int = 0
    waits_from: datetime
    grace_ends_at: datetime
    decline_code: str | None = None
    advice_code: str | None = None


class NextStep(Frozen):
    """What a recovery does next.

    Args:
        retry_status: The status to show until then.
        at: When to act; None to wait for somebody.
        action: What to do at that time.
    """

    class Action(StrEnum):
        """What a recovery can do by itself."""

        CHARGE = "charge"
        LAST_RESORT = "last_resort"
        NOTHING = "nothing"

    retry_status: RetryStatus
    at: datetime | None = None
    action: Action = Action.NOTHING


def status_of_invoice(invoice_status: str) -> RetryStatus:
    """Tell what an invoice's status at Stripe means for its recovery.

    Args:
        invoice_status: Stripe's word.

    Returns:
        `recovered` if it was paid, `canceled` if there is nothing to pay, else `waiting`.
    """
    if invoice_status == "paid":
        return RetryStatus.RECOVERED
    if invoice_status in {"void", "uncollectible"}:
        return RetryStatus.CANCELED
    return RetryStatus.WAITING


def next_step(policy: RetryPolicy, recovery: Recovery) -> NextStep:
    """Decide what a recovery does next.

    Args:
        policy: The version that this recovery keeps.
        recovery: What is known.

    Returns:
        The status to show, and what to do when.
    """
    if recovery.retry_status in CLOSED or recovery.retry_status is RetryStatus.PAUSED:
        return NextStep(retry_status=recovery.retry_status)
    decline = classify(recovery.decline_code, recovery.advice_code)
    if recovery.decline_code == LIMIT_REACHED:
        decline = DeclineClass.HARD
    if decline is not DeclineClass.SOFT:
        waiting = (
            RetryStatus.WAITING_AUTHENTICATION
            if decline is DeclineClass.AUTHENTICATION
            else RetryStatus.WAITING_PAYMENT_METHOD
        )
        at, action = recovery.grace_ends_at, NextStep.Action.LAST_RESORT
        return NextStep(retry_status=waiting, at=at, action=action)
    waits = policy.schedule_for(recovery.decline_code, recovery.advice_code)
    if recovery.attempt_count >= len(waits):
        # Reason: after the last failure there is nothing to wait for.
        at, action = recovery.waits_from, NextStep.Action.LAST_RESORT
        return NextStep(retry_status=RetryStatus.WAITING, at=at, action=action)
    due_at = recovery.waits_from + waits[recovery.attempt_count]
    return NextStep(retry_status=RetryStatus.WAITING, at=due_at, action=NextStep.Action.CHARGE)


def after_charge(
    recovery: Recovery,
    trigger: AttemptTrigger,
    result: ChargeResult,
    decline: tuple[str | None, str | None],
    now: datetime,
) -> Recovery:
    """Work a charge's outcome into what is known.

    Args:
        recovery: What was known before.
        trigger: Who asked for the charge.
        result: How it ended.
        decline: Decline code and advice code, if it failed.
        now: When it ended, on Temporal's clock.

    Returns:
        What is known now.
    """
    is_scheduled = trigger is AttemptTrigger.SCHEDULED
    changes: dict[str, object] = {"attempt_count": recovery.attempt_count + is_scheduled}
    if result is ChargeResult.SUCCEEDED:
        changes["retry_status"] = RetryStatus.RECOVERED
    elif result is ChargeResult.GONE:
        changes = {"retry_status": RetryStatus.CANCELED}
    else:
        changes |= {"decline_code": decline[0], "advice_code": decline[1]}
        # Reason: while it waited for the customer the schedule slept; it resumes from here.
        if is_scheduled or recovery.retry_status is not RetryStatus.WAITING:
            changes["waits_from"] = now
    return recovery.model_copy(update=changes)
