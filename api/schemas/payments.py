"""Payments, their retries, and what a customer may use."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import ConfigDict, Field, StringConstraints

from api.schemas.common import MASKED, Amount, Input, Output, WebAddress
from api.schemas.parked import Parkable, parked_facts
from database.payment_retries.models import PaymentAttempt, PaymentRetry
from database.payments.models import Payment, Refund
from domain.payment_retries.lifecycle import AttemptTrigger, RetryStatus
from domain.payments.money import CurrencyCode
from domain.payments.rules import PaymentStatus, RefundStatus
from domain.subscriptions.lifecycle import Access

PaymentText = Annotated[str, StringConstraints(min_length=1, max_length=500), MASKED]

EXAMPLE_ID = "5b1e8e0c-2f5c-4a53-8f0a-3d1f0c1f7a55"


class PolicyRef(Output):
    """The version of a retry policy that a recovery keeps."""

    name: str
    version: int


class AttemptOut(Output):
    """One charge."""

    attempt: int
    trigger: AttemptTrigger
    attempted_at: datetime
    outcome: str
    decline_code: str | None
    advice_code: str | None
    stripe_payment_intent_id: str | None


class PaymentRetryOut(Parkable):
    """The recovery of one unpaid invoice."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "payment_retry_id": "9d40…",
                    "subscription_id": "5b1e…",
                    "stripe_invoice_id": "in_1Q…",
                    "retry_status": "waiting",
                    "attempt_count": 1,
                    "next_attempt_at": "2026-11-04T09:00:00Z",
                    "policy": {"name": "default", "version": 1},
                    "attempts": [
                        {
                            "attempt": 1,
                            "trigger": "scheduled",
                            "attempted_at": "2026-11-02T09:00:00Z",
                            "outcome": "failed",
                            "decline_code": "insufficient_funds",
                            "advice_code": "try_again_later",
                            "stripe_payment_intent_id": "pi_3Q…",
                        },
                    ],
                    "workflow_id": "payment-retry-in_1Q…",
                },
            ],
        },
    )

    payment_retry_id: UUID
    subscription_id: UUID
    user_id: UUID
    stripe_invoice_id: str
    retry_status: RetryStatus
    attempt_count: int = Field(description="Scheduled tries so far.")
    next_attempt_at: datetime | None
    decline_code: str | None = Field(description="Why the last charge failed, or was not made.")
    policy: PolicyRef
    attempts: list[AttemptOut]
    workflow_id: str
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, row: PaymentRetry, attempts: Sequence[PaymentAttempt]) -> "PaymentRetryOut":
        """Render a recovery's row and its charges."""
        facts = {name: getattr(row, name) for name in cls.model_fields if hasattr(row, name)}
        policy = PolicyRef(name=row.policy_name, version=row.policy_version)
        tried = [AttemptOut.model_validate(attempt) for attempt in attempts]
        return cls(**facts, policy=policy, attempts=tried, **parked_facts(row.parked_data))


class NewPayment(Input):
    """A payment to be made now, with a card that is attached already."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"amount_cents": 2500, "currency_code": "usd", "payment_method_id": EXAMPLE_ID},
            ],
        },
    )

    amount_cents: Amount = Field(description="In minor units.")
    currency_code: CurrencyCode
    payment_method_id: UUID
    description: Annotated[str, StringConstraints(min_length=1, max_length=500), MASKED] | None = (
        None
    )
    return_url: WebAddress | None = Field(
        default=None,
        description="Where the customer comes back to from 3-D Secure.",
    )
    user_id: UUID | None = Field(default=None, description="For whom; administrators only.")


class CancelPaymentRequest(Input):
    """When to cancel a payment."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"mode": "now"}]})

    mode: Literal["now"] = Field(default="now", description="As for a subscription.")


class NewRefund(Input):
    """What to pay back."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"amount_cents": 500, "reason": "requested_by_customer"}],
        },
    )

    amount_cents: Amount | None = Field(
        default=None,
        description="In minor units; all that is left if it is missing.",
    )
    reason: PaymentText = Field(
        description="For the record. `duplicate`, `fraudulent` and `requested_by_customer` are "
        "told to Stripe too.",
    )


class RefundOut(Output):
    """Money that was paid back, or is on its way."""

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
    """Money that moved, or was meant to."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "payment_id": EXAMPLE_ID,
                    "user_id": "9d40…",
                    "invoice_id": None,
                    "amount_cents": 2500,
                    "refunded_cents": 500,
                    "currency_code": "usd",
                    "payment_status": "partially_refunded",
                    "stripe_payment_intent_id": "pi_3Q…",
                    "decline_code": None,
                    "next_action_url": None,
                    "workflow_id": f"payment-{EXAMPLE_ID}",
                    "created_at": "2026-11-24T09:00:00Z",
                },
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
    decline_code: str | None = Field(description="Why it failed.")
    next_action_url: str | None
    workflow_id: str | None
    created_at: datetime

    @classmethod
    def of(cls, row: Payment) -> "PaymentOut":
        """Render a payment's row."""
        names = PaymentOut.model_fields
        facts = {name: getattr(row, name) for name in names if hasattr(row, name)}
        return PaymentOut(**facts, **parked_facts(row.parked_data))


class PaymentDetailOut(PaymentOut):
    """A payment with its refunds, oldest first."""

    refunds: list[RefundOut]

    @classmethod
    def with_refunds(cls, row: Payment, refunds: Sequence[Refund]) -> "PaymentDetailOut":
        """Render a payment's row and its refunds."""
        facts = PaymentOut.of(row).model_dump()
        return cls(**facts, refunds=[RefundOut.model_validate(refund) for refund in refunds])


class UsedOut(Output):
    """What was used in the running period."""

    agent_run_count: int = 0
    token_count: int = 0
    cost_cents: float = 0


class EntitlementsOut(Output):
    """What a customer may use, over all their subscriptions."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "access": "full",
                    "features": {"priority_support": True},
                    "limits": {"agent_run_count": 500},
                    "used": {"agent_run_count": 0, "token_count": 0, "cost_cents": 0},
                    "resets_at": "2026-12-01T09:00:00Z",
                },
            ],
        },
    )

    access: Access
    features: dict[str, Any]
    limits: dict[str, int] = Field(description="A limit that is missing means none.")
    used: UsedOut
    resets_at: datetime | None
