"""Schemas of payment retries."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from pydantic import ConfigDict, Field

from api.schemas.common import Output
from api.schemas.parked import Parkable, parked_facts
from database.payment_retries.models import PaymentAttempt, PaymentRetry
from domain.payment_retries.lifecycle import AttemptTrigger, PausedReason, RetryStatus


class PolicyRefOut(Output):
    """The version of the retry policy that a payment retry follows."""

    name: str
    version: int


class AttemptOut(Output):
    """One attempt to charge the invoice."""

    attempt: int
    trigger: AttemptTrigger
    attempted_at: datetime
    outcome: str
    decline_code: str | None
    advice_code: str | None
    stripe_payment_intent_id: str | None


class PaymentRetryOut(Parkable):
    """The payment retry of one unpaid invoice."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "payment_retry_id": "9d40b7a1-6c1e-4f0d-8b53-2e7a90c4d6f8",
                    "subscription_id": "5b1e8e0c-2f5c-4a53-8f0a-3d1f0c1f7a55",
                    "user_id": "e3a1c5d7-9b2f-4c6e-8d0a-1f3b5c7d9e2a",
                    "stripe_invoice_id": "in_1Q…",
                    "retry_status": "waiting",
                    "attempt_count": 1,
                    "next_attempt_at": "2026-11-04T09:00:00Z",
                    "paused_reason": None,
                    "decline_code": "insufficient_funds",
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
                    "created_at": "2026-11-01T09:00:00Z",
                    "updated_at": "2026-11-02T09:00:03Z",
                    "is_parked": False,
                    "parked": [],
                },
            ],
        },
    )

    payment_retry_id: UUID
    subscription_id: UUID
    user_id: UUID
    stripe_invoice_id: str
    retry_status: RetryStatus
    attempt_count: int = Field(description="Scheduled attempts so far.")
    next_attempt_at: datetime | None
    paused_reason: PausedReason | None = Field(
        description="Why it is paused: `imported` until the command `stripe import "
        "--start-retries`, `newer_invoice` until the newer invoice is closed.",
    )
    decline_code: str | None = Field(description="Why the last charge failed, or was not made.")
    policy: PolicyRefOut
    attempts: list[AttemptOut]
    workflow_id: str
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, row: PaymentRetry, attempts: Sequence[PaymentAttempt]) -> "PaymentRetryOut":
        """Render the row of a payment retry and its attempts."""
        facts = {name: getattr(row, name) for name in cls.model_fields if hasattr(row, name)}
        policy = PolicyRefOut(name=row.policy_name, version=row.policy_version)
        rendered = [AttemptOut.model_validate(attempt) for attempt in attempts]
        return cls(**facts, policy=policy, attempts=rendered, **parked_facts(row.parked_data))
