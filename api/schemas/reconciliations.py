"""Answers of the routes of reconciliations."""

from datetime import datetime
from typing import Any, Self
from uuid import UUID

from pydantic import ConfigDict, Field
from pydantic.config import JsonDict

from api.schemas.common import Output
from database.reconciliation.models import Reconciliation, ReconciliationRepair
from domain.reconciliation.messages import (
    ReconciliationScope,
    ReconciliationStatus,
    RepairAction,
    RepairKind,
)

SHOWN_REPAIR_COUNT = 1_000

_EXAMPLE: JsonDict = {
    "reconciliation_id": "1a7b3a86-5a1e-4a35-93a4-3c6f6b8e9c11",
    "reconciliation_scope": "full",
    "reconciliation_status": "completed",
    "counts": {
        "events_read": 212,
        "subscriptions_read": 96,
        "stripe_calls": 4,
        "subscription_behind": 1,
    },
    "error_message": None,
    "workflow_id": "reconciliation-1a7b3a86-5a1e-4a35-93a4-3c6f6b8e9c11",
    "created_at": "2026-11-29T03:17:00Z",
    "completed_at": "2026-11-29T03:17:09Z",
}
_REPAIR_EXAMPLE: JsonDict = {
    "kind": "subscription_behind",
    "resource_id": "6a0ee0c4-6a43-4b7b-9c6d-1f0a3c1b7a55",
    "action": "hinted",
    "before": {"subscription_status": "active"},
    "after": {"subscription_status": "past_due"},
    "created_at": "2026-11-29T03:17:05Z",
}


class RepairOut(Output):
    """A finding of a reconciliation, and what was done about it."""

    model_config = ConfigDict(json_schema_extra={"examples": [_REPAIR_EXAMPLE]})

    kind: RepairKind
    resource_id: str = Field(description="Our id of the resource; Stripe's id if we have none.")
    action: RepairAction
    before: dict[str, Any] | None = Field(description="What we had, as far as it differed.")
    after: dict[str, Any] | None = Field(description="What Stripe had, as far as it differed.")
    created_at: datetime

    @classmethod
    def of(cls, row: ReconciliationRepair) -> Self:
        """Render a finding."""
        return cls(
            kind=RepairKind(row.kind),
            resource_id=row.resource_id,
            action=RepairAction(row.action),
            before=row.before_data,
            after=row.after_data,
            created_at=row.created_at,
        )


class ReconciliationOut(Output):
    """A comparison with Stripe. One of events only is stored if it found anything."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    reconciliation_id: UUID
    reconciliation_scope: ReconciliationScope
    reconciliation_status: ReconciliationStatus
    counts: dict[str, int] = Field(
        description="What was read (`events_read`, `subscriptions_read`, `stripe_calls`), and the "
        "number of findings of each kind."
    )
    error_message: str | None
    workflow_id: str
    created_at: datetime
    completed_at: datetime | None

    @classmethod
    def of(cls, row: Reconciliation) -> Self:
        """Render a row."""
        return cls(**_fields(row))


class ReconciliationDetailOut(ReconciliationOut):
    """A comparison with Stripe, with its findings."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{**_EXAMPLE, "repairs": [_REPAIR_EXAMPLE]}]},
    )

    repairs: list[RepairOut] = Field(
        description=f"By kind and resource; at most {SHOWN_REPAIR_COUNT}, `counts` has them all."
    )

    @classmethod
    def of_repairs(cls, row: Reconciliation, repairs: list[ReconciliationRepair]) -> Self:
        """Render a row with its findings."""
        return cls(**_fields(row), repairs=[RepairOut.of(repair) for repair in repairs])


def _fields(row: Reconciliation) -> dict[str, Any]:
    return {
        "reconciliation_id": row.reconciliation_id,
        "reconciliation_scope": row.reconciliation_scope,
        "reconciliation_status": row.reconciliation_status,
        "counts": row.counts_data,
        "error_message": row.error_message,
        "workflow_id": row.workflow_id,
        "created_at": row.created_at,
        "completed_at": row.completed_at,
    }
