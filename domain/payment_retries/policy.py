"""Retry policies: when an unpaid invoice is charged again, and what the last resort is."""

from datetime import timedelta
from enum import StrEnum

from pydantic import Field, field_validator

from domain.base import Duration, Frozen
from domain.payment_retries.declines import classify

# Reason: card networks allow about this many retries of a card in 30 days (Visa: 15 to 20).
CARD_ATTEMPT_LIMIT = 15
CARD_ATTEMPT_WINDOW = timedelta(days=30)
DEFAULT_POLICY_NAME = "default"


class LastResort(StrEnum):
    """What is done with the subscription when all retries have failed."""

    CANCEL = "cancel"
    PAUSE = "pause"
    MARK_UNCOLLECTIBLE = "mark_uncollectible"


class OlderInvoices(StrEnum):
    """What happens to older unpaid invoices once a newer one is closed in any way."""

    COLLECT = "collect"
    VOID = "void"


class RetryPolicy(Frozen):
    """The rules by which a payment retry charges again and ends.

    Args:
        schedules: Waits between scheduled charges, by decline code, decline class or `default`.
        grace: How long access lasts after the first failure.
        time_to_respond: Least time that a customer who was asked for a card or to authenticate
            has to respond, even if grace ends earlier.
        last_resort: What is done with the subscription when all retries have failed.
        after_uncollectible: What follows `mark_uncollectible`, after which Stripe alone would
            report the subscription as active.
        older_invoices: What happens to older unpaid invoices once a newer one is closed.
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
            raise ValueError("schedules must have a `default`")
        for waits in schedules.values():
            if len(waits) > CARD_ATTEMPT_LIMIT:
                raise ValueError(f"the card networks allow at most {CARD_ATTEMPT_LIMIT} retries")
            if any(wait <= timedelta() for wait in waits):
                raise ValueError("a wait must be longer than zero")
        return schedules

    @field_validator("after_uncollectible")
    @classmethod
    def _check_after(cls, after: LastResort) -> LastResort:
        if after is LastResort.MARK_UNCOLLECTIBLE:
            raise ValueError("after_uncollectible must be `cancel` or `pause`")
        return after

    @field_validator("grace", "time_to_respond")
    @classmethod
    def _check_length(cls, length: timedelta) -> timedelta:
        if length < timedelta():
            raise ValueError("the duration cannot be negative")
        return length

    def schedule_for(
        self, decline_code: str | None, advice_code: str | None
    ) -> tuple[
        timedelta,
        ...,
    ]:
        """Return the waits after a decline: by code, else by class, else `default`."""
        for name in (decline_code, classify(decline_code, advice_code).value):
            if name is not None and name in self.schedules:
                return self.schedules[name]
        return self.schedules["default"]


class VersionedPolicy(Frozen):
    """One version of a policy; a payment retry keeps the version it began with."""

    name: str = DEFAULT_POLICY_NAME
    version: int = 1
    policy: RetryPolicy = RetryPolicy()
