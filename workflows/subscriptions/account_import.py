"""The workflow that imports a whole Stripe account, page by page."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.subscriptions.account_import import AccountImportActivities
    from domain.subscriptions.adoption.imports import (
        AdoptPageInput,
        ImportCounts,
        ImportPageInput,
        ImportPageResult,
        ImportPhase,
        ImportProgress,
        StripeImportStart,
    )
    from domain.workflow_names import STRIPE_IMPORT_WORKFLOW
    from workflows.activity_options import RECORD, STRIPE_PAGE


@workflow.defn(name=STRIPE_IMPORT_WORKFLOW)
class StripeImportWorkflow:
    """The workflow of an import; its id is `stripe-import`, so that there is one at a time."""

    @workflow.init
    def __init__(self, start: StripeImportStart) -> None:
        self._start = start
        self._phase, self._after, self._counts = start.phase, start.after, start.counts

    @workflow.run
    async def run(self, start: StripeImportStart) -> ImportCounts:
        """Import all customers, then all subscriptions; nothing is changed at Stripe.

        Args:
            start: Where to begin.

        Returns:
            Counts of the whole import.
        """
        if self._phase is ImportPhase.CUSTOMERS:
            await self._import_customers()
            self._phase = ImportPhase.SUBSCRIPTIONS
        await self._import_subscriptions()
        await workflow.execute_activity_method(
            AccountImportActivities.finish_import, **RECORD, summary="finish"
        )
        self._phase = ImportPhase.DONE
        return self._counts

    async def _import_customers(self) -> None:
        while True:
            result = await workflow.execute_activity_method(
                AccountImportActivities.import_customers,
                ImportPageInput(after=self._after),
                **STRIPE_PAGE,
                summary=f"customers after {self._after or 'the beginning'}",
            )
            if not self._take(result):
                return

    async def _import_subscriptions(self) -> None:
        while True:
            result = await workflow.execute_activity_method(
                AccountImportActivities.find_subscriptions,
                ImportPageInput(after=self._after),
                **STRIPE_PAGE,
                summary=f"subscriptions after {self._after or 'the beginning'}",
            )
            if result.new:
                await workflow.execute_activity_method(
                    AccountImportActivities.adopt_page,
                    AdoptPageInput(found=result.new),
                    **STRIPE_PAGE,
                    summary=f"adopt {len(result.new)}",
                )
            if not self._take(result):
                return

    def _take(self, result: ImportPageResult) -> bool:
        """Count a page; return whether another one follows."""
        self._counts, self._after = self._counts.plus(result.counts), result.after
        workflow.set_current_details(_render(self._phase, self._counts))
        if self._after is None:
            return False
        if workflow.info().get_current_history_length() >= self._start.continue_as_new_after:
            changes = {"phase": self._phase, "after": self._after, "counts": self._counts}
            workflow.continue_as_new(self._start.model_copy(update=changes))
        return True

    @workflow.query
    def progress(self) -> ImportProgress:
        """Return how far the import is."""
        return ImportProgress(phase=self._phase, counts=self._counts)


def _render(phase: ImportPhase, counts: ImportCounts) -> str:
    return (
        f"**{phase}**: {counts.linked_count} of {counts.customer_count} customers linked, "
        f"{counts.adopted_count} of {counts.subscription_count} subscriptions adopted."
    )
