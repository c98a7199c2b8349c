"""What crosses the border of `PaymentWorkflow` and its activities."""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from pydantic import Field

from domain.base import Frozen
from domain.parked_steps import ParkedStep
from domain.payments.rules import PaymentCommandKind, PaymentStatus, RefundStatus
from domain.workflow_names import CONTINUE_AS_NEW_AFTER

# Why a payment is canceled that nobody has canceled.
EXPIRED = "expired"


class PaymentRequest(Frozen):
    """What is to be paid, with which card; nothing is looked up later.

    Args:
        user_id: Who pays.
        amount_cents: How much, in minor units.
        currency_code: ISO 4217, lower case.
        stripe_payment_method_id: With which card.
        return_url: Where the customer comes back to from 3-D Secure.
        description: For the customer's receipt.
    """

    user_id: UUID
    amount_cents: int = Field(gt=0)
    currency_code: str
    stripe_payment_method_id: str
    return_url: str
    description: str | None = None


class PaymentState(Frozen):
    """What the workflow knows of its payment, as its row has it."""

    payment_id: UUID
    user_id: UUID
    payment_status: PaymentStatus
    amount_cents: int
    refunded_cents: int
    currency_code: str
    stripe_payment_intent_id: str | None = None
    decline_code: str | None = None
    is_canceled: bool = False

    @property
    def is_paid_in_spite_of_cancel(self) -> bool:
        """Whether it was charged although its cancel had been answered."""
        return self.is_canceled and self.payment_status is PaymentStatus.SUCCEEDED


class PaymentStart(Frozen):
    """Argument of `PaymentWorkflow.run`.

    Args:
        payment_id: Ours.
        request: What to pay; None when a command or a hint starts the workflow.
        expires_at: Carried over by continue-as-new: when the customer's time is up.
        continue_as_new_after: Events of history after which the run continues as new.
    """

    payment_id: UUID
    request: PaymentRequest | None = None
    expires_at: datetime | None = None
    continue_as_new_after: int = CONTINUE_AS_NEW_AFTER


class OpenPaymentInput(Frozen):
    """Argument of `open_payment`; without a request the row is only looked for."""

    payment_id: UUID
    request: PaymentRequest | None = None


class PayInput(Frozen):
    """Argument of `pay`.

    Args:
        payment_id: Ours.
        request: What to pay.
        is_repeated: An earlier activity has tried this and may have done it.
    """

    payment_id: UUID
    request: PaymentRequest
    is_repeated: bool = False


class RefreshPaymentInput(Frozen):
    """Argument of `refresh_payment`."""

    payment_id: UUID


class CancelPaymentInput(Frozen):
    """Argument of `cancel_payment`.

    Args:
        payment_id: Ours.
        at: The workflow's time.
        cause: Makes Stripe's idempotency key: the command's id, or `expired` when the customer's
            time is up.
    """

    payment_id: UUID
    at: datetime
    cause: str = EXPIRED

    @property
    def is_expired(self) -> bool:
        """Whether the customer's time is up, rather than somebody asking."""
        return self.cause == EXPIRED


class ParkPaymentInput(Frozen):
    """Argument of `park_payment`: the parked step; none if all is well again."""

    payment_id: UUID
    parked: tuple[ParkedStep, ...] = ()


class CancelPayment(Frozen):
    """Argument of the `cancel` and `retry_parked` updates; `command_id` is also the update's id."""

    command_id: UUID


class RefundInput(Frozen):
    """Argument of the `refund` update; `refund_id` is also the update's id.

    Args:
        payment_id: Which payment.
        refund_id: Given by the caller: the same id is the same refund, however often it is asked.
        amount_cents: How much; None is all that is left.
        reason: Why, for the record.
        requested_by: Who asked for it.
    """

    payment_id: UUID
    refund_id: UUID
    amount_cents: int | None = Field(default=None, gt=0)
    reason: str
    requested_by: UUID | None = None


class RefundResult(Frozen):
    """A refund that Stripe has taken on."""

    refund_id: UUID
    payment_id: UUID
    amount_cents: int
    currency_code: str
    refund_status: RefundStatus
    stripe_refund_id: str


class RefundOutcome(Frozen):
    """A refund, and the payment as it is after it."""

    refund: RefundResult
    state: PaymentState


class PaymentCommand(NamedTuple):
    """Something that is asked of a payment.

    Args:
        command_id: Also the update's id.
        kind: What is asked.
        refund: What to pay back, for a refund.
    """

    command_id: UUID
    kind: PaymentCommandKind
    refund: RefundInput | None = None

    @property
    def is_cancel(self) -> bool:
        """Whether it cancels the payment."""
        return self.kind is PaymentCommandKind.CANCEL


class PaymentAnswer(Frozen):
    """The outcome of a command: a state or a refund, or why not."""

    state: PaymentState | None = None
    refund: RefundResult | None = None
    error_code: str | None = None
    message: str | None = None
    details: dict[str, Any] = {}
