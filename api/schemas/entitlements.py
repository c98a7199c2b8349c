"""Schemas of entitlements."""

from datetime import datetime
from typing import Any

from pydantic import ConfigDict, Field

from api.schemas.common import Output
from domain.subscriptions.lifecycle import Access


class UsedOut(Output):
    """Usage in the current period."""

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
    limits: dict[str, int] = Field(description="A kind of usage that is missing here is unlimited.")
    used: UsedOut
    resets_at: datetime | None
