"""Schemas of the events of a subscription, as its WebSocket sends them."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from api.schemas.common import Output
from domain.payment_retries.lifecycle import RetryStatus
from domain.subscriptions.lifecycle import CommandKind, SubscriptionStatus


class SummaryDataOut(Output):
    """A sentence for the customer."""

    summary: str


class _SubscriptionEvent(Output):
    """One event of a subscription; numbers have no gaps."""

    seq: int = Field(ge=1, description="Number of the event; send the last one as `after`.")
    created_at: datetime


class StatusChangeDataOut(SummaryDataOut):
    """The change of a status."""

    model_config = ConfigDict(serialize_by_alias=True)

    before: SubscriptionStatus = Field(alias="from")
    after: SubscriptionStatus = Field(alias="to")
    reason: str


class StatusChangeEventOut(_SubscriptionEvent):
    """The status changed; a final status is followed by the end of the stream."""

    kind: Literal["status_changed"]
    data: StatusChangeDataOut


class CommandEventOut(_SubscriptionEvent):
    """A command was carried out."""

    kind: CommandKind
    data: SummaryDataOut


class ParkedDataOut(SummaryDataOut):
    """The step that failed, and why."""

    step: str
    code: str
    message: str


class ParkedEventOut(_SubscriptionEvent):
    """A step failed; it stays owed, and is tried again."""

    kind: Literal["parked"]
    data: ParkedDataOut


class GraceEndDataOut(SummaryDataOut):
    """When grace ended."""

    ended_at: datetime


class GraceEndEventOut(_SubscriptionEvent):
    """Grace has ended, and access with it."""

    kind: Literal["grace_ended"]
    data: GraceEndDataOut


class AdoptionDataOut(SummaryDataOut):
    """The subscription at Stripe."""

    stripe_subscription_id: str


class AdoptionEventOut(_SubscriptionEvent):
    """A subscription that was made at Stripe is followed from now on."""

    kind: Literal["adopted"]
    data: AdoptionDataOut


class RetryDataOut(SummaryDataOut):
    """A charge of a payment retry."""

    stripe_invoice_id: str
    retry_status: RetryStatus
    attempt: str
    decline_code: str | None = Field(default=None, description="Why a failed charge failed.")


class RetryEventOut(_SubscriptionEvent):
    """A payment retry charged the invoice, with or without success."""

    kind: Literal["retry_paid", "retry_failed"]
    data: RetryDataOut


class LastResortDataOut(SummaryDataOut):
    """The invoice that was not paid."""

    stripe_invoice_id: str


class LastResortEventOut(_SubscriptionEvent):
    """All payment retries have failed, and the policy's last resort was taken."""

    kind: Literal["last_resort"]
    data: LastResortDataOut


class ResumeFailureDataOut(SummaryDataOut):
    """Why the charge of a pause that was to end by itself failed."""

    decline_code: str


class ResumeFailureEventOut(_SubscriptionEvent):
    """A pause was to end by itself, but the charge failed; the subscription stays paused."""

    kind: Literal["resume_failed"]
    data: ResumeFailureDataOut


class TrialEndDataOut(SummaryDataOut):
    """When the trial ends."""

    trial_end: datetime


class TrialEndEventOut(_SubscriptionEvent):
    """The trial ends in three days, or sooner if it is shorter."""

    kind: Literal["trial_will_end"]
    data: TrialEndDataOut


class UnusedTimeDataOut(SummaryDataOut):
    """What was refunded, in minor units."""

    amount_cents: int
    currency_code: str


class UnusedTimeEventOut(_SubscriptionEvent):
    """The unused time of a subscription that was canceled at once was refunded."""

    kind: Literal["unused_time_refunded"]
    data: UnusedTimeDataOut


class StripeReportDataOut(SummaryDataOut):
    """The event of Stripe."""

    stripe_event_id: str


class StripeReportEventOut(_SubscriptionEvent):
    """Stripe reported a change; `kind` is the type of Stripe's event, such as `invoice.paid`."""

    kind: Annotated[str, Field(pattern=r"\.")]
    data: StripeReportDataOut


SubscriptionStreamEventOut = (
    StatusChangeEventOut
    | CommandEventOut
    | ParkedEventOut
    | AdoptionEventOut
    | GraceEndEventOut
    | RetryEventOut
    | LastResortEventOut
    | ResumeFailureEventOut
    | TrialEndEventOut
    | UnusedTimeEventOut
    | StripeReportEventOut
)
