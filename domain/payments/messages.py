"""Inputs and results of `PaymentWorkflow` and its activities."""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from pydantic import Field

from domain.base import Frozen
from domain.parked_steps import ParkedStep
from domain.payments.rules import PaymentCommandKind, PaymentStatus, RefundStatus
from domain.workflow_names import CONTINUE_AS_NEW_AFTER

# Cause of a cancel that was not requested: the customer's time to authenticate is up.
EXPIRED = "expired"


class PaymentRequest(Frozen):
    """Request for a payment; all its values are final, and none is looked up later.

    Args:
        user_id: User who pays.
        amount_cents: Amount, in minor units.
        currency_code: ISO 4217, lower case.
        stripe_payment_method_id: Card to charge.
        return_url: Page to which 3-D Secure sends the customer back.
        description: Text for the customer's receipt.
    """

    user_id: UUID
    amount_cents: int = Field(gt=0)
    currency_code: str
    stripe_payment_method_id: str
    return_url: str
    description: str | None = None


class PaymentState(Frozen):
    """State of a payment, as stored in its row."""

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
        """Whether the payment was charged although its cancel had been answered."""
        return self.is_canceled and self.payment_status is PaymentStatus.SUCCEEDED


class PaymentStart(Frozen):
    """Input of `PaymentWorkflow.run`.

    Args:
        payment_id: Our id of the payment.
        request: Request for the payment; None when a command or a hint starts the workflow.
        expires_at: When the customer's time is up; carried over by continue-as-new.
        continue_as_new_after: History events after which the workflow continues as new.
    """

    payment_id: UUID
    request: PaymentRequest | None = None
    expires_at: datetime | None = None
    continue_as_new_after: int = CONTINUE_AS_NEW_AFTER


class OpenPaymentInput(Frozen):
    """Input of `open_payment`; without a request the row is only read."""

    payment_id: UUID
    request: PaymentRequest | None = None


class PayInput(Frozen):
    """Input of `pay`.

    Args:
        payment_id: Our id of the payment.
        request: Request for the payment.
        is_repeated: Whether an earlier activity tried this and may have done it.
    """

    payment_id: UUID
    request: PaymentRequest
    is_repeated: bool = False


class RefreshPaymentInput(Frozen):
    """Input of `refresh_payment`."""

    payment_id: UUID


class CancelPaymentInput(Frozen):
    """Input of `cancel_payment`.

    Args:
        payment_id: Our id of the payment.
        at: Workflow time.
        cause: Part of Stripe's idempotency key: the command's id, or `expired` when the
            customer's time is up.
    """

    payment_id: UUID
    at: datetime
    cause: str = EXPIRED

    @property
    def is_expired(self) -> bool:
        """Whether the customer's time is up, and no command asked for the cancel."""
        return self.cause == EXPIRED


class ParkPaymentInput(Frozen):
    """Input of `park_payment`: the parked steps; empty to clear them."""

    payment_id: UUID
    parked: tuple[ParkedStep, ...] = ()


class CancelPayment(Frozen):
    """Input of the `cancel` and `retry_parked` updates; `command_id` is the update's id."""

    command_id: UUID


class RefundInput(Frozen):
    """Input of the `refund` update; `refund_id` is also the id of the update.

    Args:
        payment_id: Payment to refund.
        refund_id: Given by the caller; repeated requests with the same id make one refund.
        amount_cents: Amount, in minor units; None for all that is left.
        reason: Reason, for the record.
        requested_by: User who asked for the refund.
    """

    payment_id: UUID
    refund_id: UUID
    amount_cents: int | None = Field(default=None, gt=0)
    reason: str
    requested_by: UUID | None = None


class RefundResult(Frozen):
    """A refund that Stripe has accepted."""

    refund_id: UUID
    payment_id: UUID
    amount_cents: int
    currency_code: str
    refund_status: RefundStatus
    stripe_refund_id: str


class RefundOutcome(Frozen):
    """A refund, and the state of its payment after it."""

    refund: RefundResult
    state: PaymentState


class PaymentCommand(NamedTuple):
    """A command to a payment.

    Args:
        command_id: Id of the command and of the update.
        kind: Kind of the command.
        refund: Refund to make, if this is a refund.
    """

    command_id: UUID
    kind: PaymentCommandKind
    refund: RefundInput | None = None

    @property
    def is_cancel(self) -> bool:
        """Whether the command cancels the payment."""
        return self.kind is PaymentCommandKind.CANCEL


class PaymentAnswer(Frozen):
    """Answer to a command: a state or a refund, or an error."""

    state: PaymentState | None = None
    refund: RefundResult | None = None
    error_code: str | None = None
    message: str | None = None
    details: dict[str, Any] = {}
