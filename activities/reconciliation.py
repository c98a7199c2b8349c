"""The activities of `ReconciliationWorkflow`."""

from temporalio import activity

from database.reconciliation.reconciliations import ReconciliationRepository
from database.session import Sessions
from domain.reconciliation.messages import (
    CloseInput,
    ReconciliationIds,
    StageInput,
    StageResult,
)
from services.reconciliation.comparison import SubscriptionComparison
from services.reconciliation.missed_events import MissedEvents
from services.reconciliation.own_rows import OwnRows


class ReconciliationActivities:
    """The activities that compare with Stripe, one page each.

    They store missed events, send hints and record findings; they send no POST to Stripe.
    """

    def __init__(self, events: MissedEvents, comparison: SubscriptionComparison) -> None:
        self._events = events
        self._comparison = comparison

    @activity.defn
    async def reconcile_events(self, given: StageInput) -> StageResult:
        """Store the missed events of one page of Stripe's events.

        Args:
            given: The reconciliation and the page.

        Returns:
            Where the next page begins, and what was read and found.

        Raises:
            ApplicationError: Stripe is down, or refuses.
        """
        return await self._events.compare_page(given)

    @activity.defn
    async def reconcile_listed_subscriptions(self, given: StageInput) -> StageResult:
        """Compare one page of Stripe's live subscriptions with our views.

        Args:
            given: The reconciliation and the page.

        Returns:
            Where the next page begins, and what was read and found.

        Raises:
            ApplicationError: Stripe is down, or refuses.
        """
        return await self._comparison.compare_listed(given)

    @activity.defn
    async def reconcile_unlisted_subscriptions(self, given: StageInput) -> StageResult:
        """Read live subscriptions of ours that Stripe did not list.

        Args:
            given: The reconciliation and the page.

        Returns:
            Where the next page begins, and what was read and found.

        Raises:
            ApplicationError: Stripe is down, or refuses.
        """
        return await self._comparison.compare_unlisted(given)


class ReconciliationRowActivities:
    """The activities of reconciliation that only use our own database."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._rows = OwnRows(sessions)

    @activity.defn
    async def open_reconciliation(self, ids: ReconciliationIds) -> None:
        """Store a reconciliation as running."""
        async with self._sessions.begin() as session:
            await ReconciliationRepository(session).open(ids)

    @activity.defn
    async def check_inbox(self, given: StageInput) -> StageResult:
        """Make events due again that are stuck in the inbox, or failed in the last days."""
        return await self._rows.check_inbox(given)

    @activity.defn
    async def report_parked_steps(self, given: StageInput) -> StageResult:
        """Report all parked steps."""
        return await self._rows.report_parked(given)

    @activity.defn
    async def report_expiring_cards(self, given: StageInput) -> StageResult:
        """Report the cards of subscribers that expire within 30 days."""
        return await self._rows.report_cards(given)

    @activity.defn
    async def close_reconciliation(self, given: CloseInput) -> None:
        """Store the end of a reconciliation, with what it read and found."""
        async with self._sessions.begin() as session:
            await ReconciliationRepository(session).close(
                given.ids, given.status, given.counts, given.error_message
            )
