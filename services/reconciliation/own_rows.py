"""Finds what needs attention in our own rows: stuck events, parked steps, expiring cards."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from database.reconciliation.findings import NeglectedRows, ParkedResource
from database.session import Sessions
from database.webhooks.models import WebhookEvent
from domain.reconciliation.messages import (
    Repair,
    RepairAction,
    RepairKind,
    StageInput,
    StageResult,
)
from domain.reconciliation.rules import REDELIVERED_WITHIN, STUCK_AFTER, expiring_months
from services.reconciliation.repairs import record_repairs

PAGE_SIZE = 500


@dataclass(frozen=True)
class OwnRows:
    """Looks at our own rows; nothing is asked at Stripe."""

    sessions: Sessions

    async def check_inbox(self, given: StageInput) -> StageResult:
        """Make events due again that are stuck, or failed in the last days."""
        async with self.sessions.begin() as session:
            rows = NeglectedRows(session)
            stuck = await rows.stuck_events(STUCK_AFTER, PAGE_SIZE)
            failed = await rows.failed_events(REDELIVERED_WITHIN, PAGE_SIZE)
            # Reason: an event that was never tried has a flaw, and can never be delivered.
            due = [*stuck, *(event for event in failed if event.attempt_count)]
            repairs = [
                *(_event_repair(RepairKind.EVENT_STUCK, event) for event in stuck),
                *(_event_repair(RepairKind.EVENT_FAILED, event) for event in failed),
            ]
            await rows.make_due([event.webhook_event_id for event in due])
            repair_count = await record_repairs(session, given.ids, repairs)
        return StageResult(repair_count=repair_count)

    async def report_parked(self, given: StageInput) -> StageResult:
        """Report all parked steps. They are not tried again, because that could charge."""
        async with self.sessions.begin() as session:
            parked = await NeglectedRows(session).parked()
            repairs = [_parked_repair(each) for each in parked]
            repair_count = await record_repairs(session, given.ids, repairs)
        return StageResult(repair_count=repair_count)

    async def report_cards(self, given: StageInput) -> StageResult:
        """Report the cards of subscribers that expire within 30 days."""
        months = expiring_months(datetime.now(UTC))
        after = UUID(given.page) if given.page else None
        async with self.sessions.begin() as session:
            cards = await NeglectedRows(session).cards_of_subscribers(months, after, PAGE_SIZE)
            repairs = [
                Repair(
                    kind=RepairKind.CARD_EXPIRING,
                    resource_id=str(card.payment_method_id),
                    before={
                        "user_id": str(card.user_id),
                        "exp_month": card.exp_month,
                        "exp_year": card.exp_year,
                        "is_default": card.is_default,
                    },
                )
                for card in cards
            ]
            repair_count = await record_repairs(session, given.ids, repairs)
        is_last = len(cards) < PAGE_SIZE
        next_page = None if is_last else str(cards[-1].payment_method_id)
        return StageResult(next_page=next_page, repair_count=repair_count)


def _event_repair(kind: RepairKind, event: WebhookEvent) -> Repair:
    is_due = kind is RepairKind.EVENT_STUCK or event.attempt_count > 0
    return Repair(
        kind=kind,
        resource_id=str(event.webhook_event_id),
        action=RepairAction.REDELIVERED if is_due else RepairAction.REPORTED,
        before={
            "stripe_event_id": event.stripe_event_id,
            "event_type": event.event_type,
            "attempt_count": event.attempt_count,
            "last_error": event.last_error,
        },
    )


def _parked_repair(parked: ParkedResource) -> Repair:
    steps = [
        {name: step.get(name) for name in ("step", "code", "message", "since")}
        for step in _steps(parked)
    ]
    return Repair(
        kind=RepairKind.STEP_PARKED,
        resource_id=str(parked.resource_id),
        before={"resource": parked.resource, "parked": steps},
    )


def _steps(parked: ParkedResource) -> Iterator[dict[str, object]]:
    """Yield the parked steps of a resource; a subscription stores them within its owed steps."""
    for entry in parked.parked_data:
        yield entry.get("parked") or entry
