"""The workflow that compares our rows with Stripe, and repairs what webhooks have missed."""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.reconciliation import ReconciliationActivities, ReconciliationRowActivities
    from domain.ids import reconciliation_id
    from domain.reconciliation.messages import (
        STAGES,
        CloseInput,
        ReconciliationIds,
        ReconciliationProgress,
        ReconciliationResult,
        ReconciliationScope,
        ReconciliationStage,
        ReconciliationStart,
        ReconciliationStatus,
        StageInput,
        StageResult,
    )
    from workflows.activity_options import RECORD, STRIPE_CALL, ActivityOptions
    from workflows.failures import failure_of

Activity = Callable[[Any, StageInput], Awaitable[StageResult]]

_CALLS: Mapping[ReconciliationStage, tuple[Activity, ActivityOptions]] = {
    ReconciliationStage.EVENTS: (ReconciliationActivities.reconcile_events, STRIPE_CALL),
    ReconciliationStage.LISTED_SUBSCRIPTIONS: (
        ReconciliationActivities.reconcile_listed_subscriptions,
        STRIPE_CALL,
    ),
    ReconciliationStage.UNLISTED_SUBSCRIPTIONS: (
        ReconciliationActivities.reconcile_unlisted_subscriptions,
        STRIPE_CALL,
    ),
    ReconciliationStage.INBOX: (ReconciliationRowActivities.check_inbox, RECORD),
    ReconciliationStage.PARKED_STEPS: (ReconciliationRowActivities.report_parked_steps, RECORD),
    ReconciliationStage.CARDS: (ReconciliationRowActivities.report_expiring_cards, RECORD),
}


@workflow.defn(name="ReconciliationWorkflow")
class ReconciliationWorkflow:
    """The workflow of one reconciliation; it never charges, and changes nothing at Stripe.

    Schedules start it, and administrators as `reconciliation-{reconciliation_id}`. A run that only
    compares events has a row in our database if it found anything; a full one always has.
    """

    @workflow.init
    def __init__(self, start: ReconciliationStart) -> None:
        workflow_id = workflow.info().workflow_id
        self._start = start
        self._progress = start.progress or ReconciliationProgress(
            reconciliation_id=start.reconciliation_id or reconciliation_id(workflow_id),
            stages=STAGES[start.scope],
        )
        self._ids = ReconciliationIds(
            reconciliation_id=self._progress.reconciliation_id,
            scope=start.scope,
            workflow_id=workflow_id,
        )

    @workflow.run
    async def run(self, start: ReconciliationStart) -> ReconciliationResult:
        """Do all stages, page by page.

        Args:
            start: What to compare, or the progress of the previous run.

        Returns:
            What was read and found.
        """
        is_full = start.scope is ReconciliationScope.FULL
        if is_full and start.progress is None:
            await workflow.execute_activity_method(
                ReconciliationRowActivities.open_reconciliation,
                self._ids,
                **RECORD,
                summary="write the row",
            )
        try:
            while self._progress.stages:
                await self._do_page(self._progress.stages[0])
                self._continue_as_new_if_long()
        except ActivityError as error:
            return await self._close(ReconciliationStatus.FAILED, failure_of(error).message)
        if is_full or self._progress.repair_count:
            return await self._close(ReconciliationStatus.COMPLETED)
        return self._result(ReconciliationStatus.COMPLETED)

    async def _do_page(self, stage: ReconciliationStage) -> None:
        progress = self._progress
        activity, options = _CALLS[stage]
        given = StageInput(
            ids=self._ids,
            stage=stage,
            page=progress.page,
            newest_event_at=progress.newest_event_at,
        )
        summary = stage if progress.page is None else f"{stage} after {progress.page}"
        result = await workflow.execute_activity_method(activity, given, **options, summary=summary)
        is_done = result.next_page is None
        self._progress = ReconciliationProgress(
            reconciliation_id=progress.reconciliation_id,
            stages=progress.stages[1:] if is_done else progress.stages,
            page=result.next_page,
            newest_event_at=None if is_done else result.newest_event_at,
            counts=dict(Counter(progress.counts) + Counter(result.counts)),
            repair_count=progress.repair_count + result.repair_count,
        )
        self._show(stage)

    def _continue_as_new_if_long(self) -> None:
        is_long = workflow.info().get_current_history_length() >= self._start.continue_as_new_after
        if is_long and self._progress.stages:
            workflow.continue_as_new(self._start.model_copy(update={"progress": self._progress}))

    async def _close(
        self, status: ReconciliationStatus, error_message: str | None = None
    ) -> ReconciliationResult:
        await workflow.execute_activity_method(
            ReconciliationRowActivities.close_reconciliation,
            CloseInput(
                ids=self._ids,
                status=status,
                counts=self._progress.counts,
                error_message=error_message,
            ),
            **RECORD,
            summary=f"{status}, {self._progress.repair_count} findings",
        )
        return self._result(status)

    def _result(self, status: ReconciliationStatus) -> ReconciliationResult:
        return ReconciliationResult(
            reconciliation_id=self._ids.reconciliation_id,
            status=status,
            counts=self._progress.counts,
            repair_count=self._progress.repair_count,
        )

    def _show(self, stage: ReconciliationStage) -> None:
        read = ", ".join(f"{count} {name}" for name, count in self._progress.counts.items())
        workflow.set_current_details(
            f"**{stage}**: {read or 'nothing read'}; {self._progress.repair_count} findings"
        )

    def log_fields(self) -> dict[str, Any]:
        """Return fields for the log lines of the reconciliation's start and end."""
        return {
            "reconciliation_id": str(self._ids.reconciliation_id),
            "scope": self._start.scope,
            "repair_count": self._progress.repair_count,
            **self._progress.counts,
        }
