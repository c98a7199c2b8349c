"""Payments, their retries, and what a customer may use."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import ConfigDict, Field

from api.schemas.common import Output
from database.models import PaymentAttempt, PaymentRetry
from domain.retries import AttemptTrigger, RetryStatus
from domain.subscriptions import Access


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


class PaymentRetryOut(Output):
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
        return cls(**facts, policy=policy, attempts=tried)


class PaymentOut(Output):
    """Money that moved, or was meant to."""

    payment_id: UUID
    user_id: UUID
    invoice_id: UUID | None
    amount_cents: int
    refunded_cents: int
    currency_code: str
    payment_status: str
    stripe_payment_intent_id: str
    next_action_url: str | None
    workflow_id: str | None
    created_at: datetime


class UsedOut(Output):
    """What was used in the running period."""

    agent_run_count: int = 0
    token_count: int = 0
    cost_cents: int = 0


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
