"""Builds the activities of reconciliation, by task queue."""

from activities.reconciliation import ReconciliationActivities, ReconciliationRowActivities
from adapters.stripe.listings import StripeListings
from adapters.stripe.subscriptions import StripeSubscriptions
from bootstrap.resources import Activities, Resources
from domain.workflow_names import BILLING, STRIPE
from services.reconciliation.comparison import SubscriptionComparison
from services.reconciliation.missed_events import MissedEvents
from services.reconciliation.pace import CallPace
from services.subscriptions.adoption import SubscriptionAdoption

# How long a webhook or a hint that may be on its way is waited for.
SETTLE_SECONDS = 3.0


def reconciliation_activities(resources: Resources, adoption: SubscriptionAdoption) -> Activities:
    """Build the activities of reconciliation, which adopts what no event announced."""
    sessions, listings = resources.sessions, StripeListings(resources.stripe)
    pace = CallPace(sessions, resources.reconciliation_calls_per_second)
    comparison = SubscriptionComparison(
        listings,
        StripeSubscriptions(resources.stripe),
        pace,
        sessions,
        adoption,
        SETTLE_SECONDS,
    )
    events = MissedEvents(listings, pace, sessions, SETTLE_SECONDS)
    stripe, rows = (
        ReconciliationActivities(events, comparison),
        ReconciliationRowActivities(sessions),
    )
    return {
        BILLING: [
            rows.open_reconciliation,
            rows.check_inbox,
            rows.report_parked_steps,
            rows.report_expiring_cards,
            rows.close_reconciliation,
        ],
        STRIPE: [
            stripe.reconcile_events,
            stripe.reconcile_listed_subscriptions,
            stripe.reconcile_unlisted_subscriptions,
        ],
    }
