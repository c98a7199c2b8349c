"""Retry policies: how often and when an unpaid invoice is charged again, and what comes last."""

from datetime import timedelta
from enum import StrEnum

from pydantic import Field, field_validator

from domain.base import Duration, Frozen
from domain.payment_retries.declines import classify

# Reason: the card networks allow about this many retries of one card in 30 days (Visa: 15 to 20).
CARD_ATTEMPT_LIMIT = 15
CARD_ATTEMPT_WINDOW = timedelta(days=30)
DEFAULT_POLICY_NAME = "default"


class LastResort(StrEnum):
    """What is asked of the subscription when all tries have failed."""

    CANCEL = "cancel"
    PAUSE = "pause"
    MARK_UNCOLLECTIBLE = "mark_uncollectible"


class OlderInvoices(StrEnum):
    """What becomes of an older unpaid invoice once the newer one is closed in any way."""

    COLLECT = "collect"
    VOID = "void"


class RetryPolicy(Frozen):
    """When to try again, and what to do when that does not help.

    Args:
        schedules: Waits between scheduled tries, by decline code, decline class or `default`.
        grace: How long access lasts after the first failure.
        time_to_respond: How long a customer who was asked for a card, or to authenticate, has at
            least, also when grace is over before that.
        last_resort: What is asked of the subscription at the end.
        after_uncollectible: What follows `mark_uncollectible`, which alone would make Stripe
            report the subscription as active.
        older_invoices: What becomes of older unpaid invoices once a newer one is closed.
    """

    schedules: dict[str, tuple[Duration, ...]] = Field(
        default={"default": tuple(timedelta(days=days) for days in (1, 3, 5, 7))},
    )
    grace: Duration = timedelta(days=14)
    time_to_respond: Duration = timedelta(days=3)
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

    @field_validator("grace", "time_to_respond")
    @classmethod
    def _check_length(cls, length: timedelta) -> timedelta:
        if length < timedelta():
            raise ValueError("it cannot be negative")
        return length

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
    """A policy as one payment retry keeps it, whatever is PUT later."""

    name: str = DEFAULT_POLICY_NAME
    version: int = 1
    policy: RetryPolicy = RetryPolicy()
