"""Schemas of payments and refunds."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import ConfigDict, Field, StringConstraints

from api.schemas.common import MASKED, NOT_BLANK, Amount, Input, Output, WebAddress
from api.schemas.parked import Parkable, parked_facts
from database.payments.models import Payment, Refund
from domain.payments.money import STEPS, CurrencyCode
from domain.payments.rules import PaymentStatus, RefundStatus

PaymentText = Annotated[
    str, StringConstraints(min_length=1, max_length=500, pattern=NOT_BLANK), MASKED
]

EXAMPLE_ID = "5b1e8e0c-2f5c-4a53-8f0a-3d1f0c1f7a55"


_EXAMPLE: dict[str, Any] = {
    "payment_id": EXAMPLE_ID,
    "user_id": "e3a1c5d7-9b2f-4c6e-8d0a-1f3b5c7d9e2a",
    "invoice_id": None,
    "amount_cents": 2500,
    "refunded_cents": 500,
    "currency_code": "usd",
    "payment_status": "partially_refunded",
    "stripe_payment_intent_id": "pi_3QxB2eZvKYlo2C",
    "decline_code": None,
    "next_action_url": None,
    "workflow_id": f"payment-{EXAMPLE_ID}",
    "created_at": "2026-11-24T09:00:00Z",
    "is_parked": False,
    "parked": [],
}

# As most payments are answered at first: the outcome comes within a second.
NEW_PAYMENT_EXAMPLE = {**_EXAMPLE, "refunded_cents": 0, "payment_status": "succeeded"}
_REFUND: dict[str, Any] = {
    "refund_id": "4f7a9c1e-3b5d-4e6f-8a0b-2c4d6e8f0a1b",
    "amount_cents": 500,
    "currency_code": "usd",
    "reason": "requested_by_customer",
    "refund_status": "succeeded",
    "stripe_refund_id": "re_3QxB2eZvKYlo2C",
    "failure_code": None,
    "created_at": "2026-11-24T10:00:00Z",
    "completed_at": "2026-11-24T10:00:01Z",
}


class NewPayment(Input):
    """A new payment, made now with a card that is attached already."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"amount_cents": 2500, "currency_code": "usd", "payment_method_id": EXAMPLE_ID},
            ],
        },
    )

    amount_cents: Amount = Field(description=STEPS)
    currency_code: CurrencyCode
    payment_method_id: UUID
    description: (
        Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=NOT_BLANK), MASKED]
        | None
    ) = None
    return_url: WebAddress | None = Field(
        default=None,
        description="Address to which the customer returns after 3-D Secure.",
    )
    user_id: UUID | None = Field(
        default=None,
        description="User on whose behalf an administrator acts; by default the caller.",
    )


class CancelPaymentIn(Input):
    """How to cancel a payment."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"mode": "now"}]})

    mode: Literal["now"] = Field(default="now", description="`now` is the only mode.")


class NewRefund(Input):
    """A new refund of a payment."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"amount_cents": 500, "reason": "requested_by_customer"}],
        },
    )

    amount_cents: Amount | None = Field(
        default=None,
        description=f"{STEPS} By default all that is not refunded yet.",
    )
    reason: PaymentText = Field(
        description="For your records. `duplicate`, `fraudulent` and `requested_by_customer` are "
        "sent to Stripe too.",
    )


class RefundOut(Output):
    """A refund, completed or in progress."""

    refund_id: UUID
    amount_cents: int
    currency_code: str
    reason: str
    refund_status: RefundStatus
    stripe_refund_id: str | None
    failure_code: str | None
    created_at: datetime
    completed_at: datetime | None


class PaymentOut(Parkable):
    """A payment, completed or attempted."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                _EXAMPLE,
            ],
        },
    )

    payment_id: UUID
    user_id: UUID
    invoice_id: UUID | None
    amount_cents: int
    refunded_cents: int
    currency_code: str
    payment_status: PaymentStatus
    stripe_payment_intent_id: str | None
    decline_code: str | None = Field(description="Why the payment failed.")
    next_action_url: str | None
    workflow_id: str | None
    created_at: datetime

    @classmethod
    def of(cls, row: Payment) -> "PaymentOut":
        """Render the row of a payment."""
        names = PaymentOut.model_fields
        facts = {name: getattr(row, name) for name in names if hasattr(row, name)}
        return PaymentOut(**facts, **parked_facts(row.parked_data))


class PaymentDetailOut(PaymentOut):
    """A payment with its refunds, oldest first."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{**_EXAMPLE, "refunds": [_REFUND]}]},
    )

    refunds: list[RefundOut]

    @classmethod
    def with_refunds(cls, row: Payment, refunds: Sequence[Refund]) -> "PaymentDetailOut":
        """Render the row of a payment and its refunds."""
        facts = PaymentOut.of(row).model_dump()
        return cls(**facts, refunds=[RefundOut.model_validate(refund) for refund in refunds])
