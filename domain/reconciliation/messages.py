"""Messages of `ReconciliationWorkflow`: its stages, what it found and what it did."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from pydantic import Field

from domain.base import Frozen
from domain.workflow_names import CONTINUE_AS_NEW_AFTER


class ReconciliationScope(StrEnum):
    """What a reconciliation compares: Stripe's events only, or everything."""

    EVENTS = "events"
    FULL = "full"


class ReconciliationStatus(StrEnum):
    """The status of a reconciliation."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"


class ReconciliationStage(StrEnum):
    """A stage of a reconciliation, in pages."""

    EVENTS = "events"
    LISTED_SUBSCRIPTIONS = "listed_subscriptions"
    UNLISTED_SUBSCRIPTIONS = "unlisted_subscriptions"
    INBOX = "inbox"
    PARKED_STEPS = "parked_steps"
    CARDS = "cards"


STAGES: Mapping[ReconciliationScope, tuple[ReconciliationStage, ...]] = {
    ReconciliationScope.EVENTS: (ReconciliationStage.EVENTS,),
    ReconciliationScope.FULL: tuple(ReconciliationStage),
}


class RepairKind(StrEnum):
    """What a reconciliation found.

    EVENT_MISSED: An event that no webhook delivered; it is stored in the inbox.
    EVENT_STUCK: An event in the inbox that is not delivered for long; it is made due.
    EVENT_FAILED: An event in the inbox whose delivery failed; a recent one is made due.
    SUBSCRIPTION_BEHIND: A view that differs from Stripe; its mailbox gets a hint.
    SUBSCRIPTION_MISSING: A live subscription of ours that Stripe does not know.
    SUBSCRIPTION_UNKNOWN: A subscription at Stripe that is none of ours; adopted, if its customer
        is one of our users.
    SUBSCRIPTION_UNREADABLE: A subscription at Stripe that this release cannot read.
    WORKFLOW_STOPPED: A live subscription whose workflow does not run; a hint starts it.
    STEP_PARKED: A step that is parked.
    CARD_EXPIRING: A card of a subscriber that expires within 30 days.
    """

    EVENT_MISSED = "event_missed"
    EVENT_STUCK = "event_stuck"
    EVENT_FAILED = "event_failed"
    SUBSCRIPTION_BEHIND = "subscription_behind"
    SUBSCRIPTION_MISSING = "subscription_missing"
    SUBSCRIPTION_UNKNOWN = "subscription_unknown"
    SUBSCRIPTION_UNREADABLE = "subscription_unreadable"
    WORKFLOW_STOPPED = "workflow_stopped"
    STEP_PARKED = "step_parked"
    CARD_EXPIRING = "card_expiring"


class RepairAction(StrEnum):
    """What a reconciliation did about a finding; nothing is charged or changed at Stripe."""

    STORED = "stored"
    HINTED = "hinted"
    ADOPTED = "adopted"
    REDELIVERED = "redelivered"
    REPORTED = "reported"


class Repair(Frozen):
    """A finding, and what was done about it.

    Args:
        kind: What was found.
        resource_id: Our id of the resource; Stripe's id if we have none.
        action: What was done.
        before: What we had, as far as it differs.
        after: What Stripe has, as far as it differs.
    """

    kind: RepairKind
    resource_id: str
    action: RepairAction = RepairAction.REPORTED
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None


class ReconciliationProgress(Frozen):
    """What a reconciliation has done; carried over by continue-as-new.

    Args:
        reconciliation_id: Our id of the reconciliation.
        stages: Stages to do, the current one first.
        page: Where the next page of the current stage begins; None for its first page.
        newest_event_at: When Stripe made the newest event of the first page.
        counts: What was read, by name.
        repair_count: Number of findings.
    """

    reconciliation_id: UUID
    stages: tuple[ReconciliationStage, ...]
    page: str | None = None
    newest_event_at: datetime | None = None
    counts: dict[str, int] = Field(default_factory=dict)
    repair_count: int = 0


class ReconciliationStart(Frozen):
    """Input of `ReconciliationWorkflow.run`.

    Args:
        scope: What is compared.
        reconciliation_id: Our id of the reconciliation; made from the workflow's id if it is None.
        progress: What the previous run has done; None at the beginning.
        continue_as_new_after: History events after which the workflow continues as new.
    """

    scope: ReconciliationScope
    reconciliation_id: UUID | None = None
    progress: ReconciliationProgress | None = None
    continue_as_new_after: int = CONTINUE_AS_NEW_AFTER


class ReconciliationIds(Frozen):
    """The ids of a reconciliation, with which its row can be written by any of its activities."""

    reconciliation_id: UUID
    scope: ReconciliationScope
    workflow_id: str


class StageInput(Frozen):
    """Input of the activities that do one page of a stage."""

    ids: ReconciliationIds
    stage: ReconciliationStage
    page: str | None = None
    newest_event_at: datetime | None = None


class StageResult(Frozen):
    """Result of one page of a stage.

    Args:
        next_page: Where the next page begins; None if the stage is done.
        newest_event_at: When Stripe made the newest event, if the page is the first one of events.
        counts: What was read, by name.
        repair_count: Number of findings of this page.
    """

    next_page: str | None = None
    newest_event_at: datetime | None = None
    counts: dict[str, int] = Field(default_factory=dict)
    repair_count: int = 0


class CloseInput(Frozen):
    """Input of `close_reconciliation`."""

    ids: ReconciliationIds
    status: ReconciliationStatus
    counts: dict[str, int] = Field(default_factory=dict)
    error_message: str | None = None


class ReconciliationResult(Frozen):
    """Result of `ReconciliationWorkflow.run`."""

    reconciliation_id: UUID
    status: ReconciliationStatus
    counts: dict[str, int]
    repair_count: int
