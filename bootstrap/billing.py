"""Builds the activities of billing, by task queue."""

from activities.notifications import MailActivities
from activities.payment_retries.charges import ChargeActivities
from activities.payment_retries.payment_retries import RetryActivities
from activities.payments.customer_sync import CustomerSyncActivities
from activities.payments.payment_methods import CardActivities, SetupIntentActivities
from activities.payments.payments import (
    PaymentActivities,
    PaymentCancelActivities,
    PaymentRowActivities,
)
from activities.payments.refunds import RefundActivities
from activities.plans import CatalogActivities
from activities.subscriptions.account_import import AccountImportActivities
from activities.subscriptions.adoption import AdoptionActivities
from activities.subscriptions.changes import SubscriptionChangeActivities
from activities.subscriptions.commands import SubscriptionCommandActivities
from activities.subscriptions.ends import SubscriptionEndActivities
from activities.subscriptions.hosted_pages import CheckoutActivities, PortalActivities
from activities.subscriptions.last_resort import LastResortActivities
from activities.subscriptions.pauses import PauseActivities
from activities.subscriptions.previews import PreviewActivities
from activities.subscriptions.subscriptions import SubscriptionActivities, SubscriptionRowActivities
from activities.subscriptions.trials import TrialActivities
from activities.subscriptions.unused_time import UnusedTimeActivities
from activities.usage import MeterErrorActivities
from adapters.stripe.cards import StripeCards
from adapters.stripe.catalog import StripeCatalog
from adapters.stripe.changes import StripeChanges
from adapters.stripe.checkout_sessions import StripeCheckoutSessions
from adapters.stripe.coupons import StripeCoupons
from adapters.stripe.customer_balance import StripeCustomerBalance
from adapters.stripe.customers import StripeCustomers
from adapters.stripe.found_subscriptions import StripeFoundSubscriptions
from adapters.stripe.import_pages import StripeImportPages
from adapters.stripe.invoice_items import StripeInvoiceItems
from adapters.stripe.invoices import StripeInvoices
from adapters.stripe.meters import StripeMeters
from adapters.stripe.payments import StripePayments
from adapters.stripe.portal_sessions import StripePortalSessions
from adapters.stripe.previews import StripePreviews
from adapters.stripe.refunds import StripeRefunds
from adapters.stripe.schedules import StripeSchedules
from adapters.stripe.setup_intents import StripeSetupIntents
from adapters.stripe.subscription_commands import StripeSubscriptionCommands
from adapters.stripe.subscriptions import StripeSubscriptions
from adapters.stripe.unused_time import StripeUnusedTime
from bootstrap.reconciliation import reconciliation_activities
from bootstrap.resources import Activities, Resources
from domain.workflow_names import BILLING, STRIPE
from services.payment_retries.attempt_reservations import AttemptReservations
from services.payment_retries.card_offers import CardOffers
from services.payment_retries.charged_cards import ChargedCards
from services.payment_retries.charging import Charging
from services.payments.commands import PaymentCommands
from services.payments.refund_reservations import RefundReservations
from services.payments.stripe_sync import PaymentSync
from services.plans import OveragePrices
from services.subscriptions.account_import import AccountImport
from services.subscriptions.adoption import SubscriptionAdoption
from services.subscriptions.changes.at_once import SubscriptionChanges
from services.subscriptions.changes.pause_credits import PauseCredits
from services.subscriptions.changes.period_moves import PeriodMoves
from services.subscriptions.changes.planned_ends import PlannedEnds
from services.subscriptions.changes.previews import ChangePreviews
from services.subscriptions.changes.scheduled import ScheduledChanges
from services.subscriptions.changes.unpaid_credits import UnpaidCredits
from services.subscriptions.checkouts import Checkouts
from services.subscriptions.mailboxes import Mailboxes
from services.subscriptions.stripe_sync import SubscriptionSync
from services.usage.export import StripeUsageExporter, UsageExport
from services.usage.metering import UsageMetering
from services.usage.reviews import UsageReviews


def build_metering(resources: Resources) -> UsageMetering:
    """Build the review of usage, and its export to Stripe's meters."""
    exporter = StripeUsageExporter(StripeMeters(resources.stripe))
    sessions = resources.sessions
    return UsageMetering(UsageReviews(sessions), UsageExport(sessions, exporter))


def billing_activities(resources: Resources) -> Activities:
    """Build the activities of plans, payments, payment retries, subscriptions, reconciliation."""
    areas = (
        _plans_and_emails(resources),
        _payments(resources),
        _payment_methods(resources),
        _payment_retries(resources),
        _subscriptions(resources),
        _adoption(resources),
        _changes(resources),
        _previews(resources),
        _hosted_pages(resources),
        reconciliation_activities(resources, _subscription_adoption(resources)),
    )
    return {queue: [each for area in areas for each in area[queue]] for queue in (BILLING, STRIPE)}


def _plans_and_emails(resources: Resources) -> Activities:
    stripe_catalog = StripeCatalog(resources.stripe)
    overage = OveragePrices(stripe_catalog, StripeMeters(resources.stripe))
    catalog = CatalogActivities(stripe_catalog, overage, resources.sessions)
    mail = MailActivities(resources.sessions)
    meter_errors = MeterErrorActivities(StripeMeters(resources.stripe), resources.sessions)
    return {
        BILLING: [mail.send_mail],
        STRIPE: [catalog.create_plan, catalog.change_plan, meter_errors.read_meter_errors],
    }


def _payments(resources: Resources) -> Activities:
    customers, sessions = StripeCustomers(resources.stripe), resources.sessions
    payments, refunds = StripePayments(resources.stripe), StripeRefunds(resources.stripe)
    sync = PaymentSync(payments, refunds, customers, StripeCards(resources.stripe), sessions)
    payment, rows = PaymentActivities(sync), PaymentRowActivities(sessions, sync)
    return {
        BILLING: [rows.open_payment, rows.park_payment],
        STRIPE: [
            payment.pay,
            payment.refresh_payment,
            PaymentCancelActivities(sync).cancel_payment,
            RefundActivities(sync, RefundReservations(sessions)).refund_payment,
        ],
    }


def _payment_methods(resources: Resources) -> Activities:
    stripe, sessions = resources.stripe, resources.sessions
    customers, offers = StripeCustomers(stripe), CardOffers(StripeInvoices(stripe), sessions)
    cards = CardActivities(StripeCards(stripe), customers, offers, sessions)
    customer = CustomerSyncActivities(customers, offers, sessions)
    setups = SetupIntentActivities(StripeSetupIntents(stripe), customers, sessions)
    return {
        BILLING: [],
        STRIPE: [
            cards.attach_payment_method,
            cards.set_default_payment_method,
            cards.detach_payment_method,
            customer.sync_customer,
            setups.create_setup_intent,
        ],
    }


def _payment_retries(resources: Resources) -> Activities:
    stripe, sessions = resources.stripe, resources.sessions
    invoices, cards = StripeInvoices(stripe), StripeCards(stripe)
    charged_cards = ChargedCards(cards, StripeSubscriptions(stripe))
    charging = Charging(invoices, charged_cards, AttemptReservations(sessions))
    retry, charges = (
        RetryActivities(invoices, cards, sessions),
        ChargeActivities(charging, invoices),
    )
    return {
        BILLING: [retry.save_retry],
        STRIPE: [retry.open_retry, charges.charge_invoice, charges.refresh_invoice],
    }


def _subscriptions(resources: Resources) -> Activities:
    stripe, sync = resources.stripe, _sync_of(resources)
    subscription, rows = SubscriptionActivities(sync), SubscriptionRowActivities(resources.sessions)
    scheduled = ScheduledChanges(sync.subscriptions, StripeSchedules(stripe))
    pause_credits = PauseCredits(
        sync, StripeInvoiceItems(stripe), StripeCustomerBalance(stripe), StripeUnusedTime(stripe)
    )
    commands = SubscriptionCommandActivities(sync, scheduled, pause_credits)
    calls, payments = StripeSubscriptionCommands(stripe), PaymentCommands(resources.temporal)
    planned_ends = PlannedEnds(sync.subscriptions, calls)
    ends = SubscriptionEndActivities(sync, calls, scheduled, planned_ends)
    pauses = PauseActivities(sync, calls, scheduled, planned_ends, pause_credits)
    trials = TrialActivities(sync, calls, PeriodMoves(sync, scheduled))
    last_resort = LastResortActivities(sync, payments, scheduled)
    unused_time = UnusedTimeActivities(sync, pause_credits, payments)
    return {
        BILLING: [rows.open_subscription, rows.park_subscription],
        STRIPE: [
            subscription.create_subscription,
            subscription.refresh_subscription,
            commands.cancel_subscription,
            commands.change_payment_method,
            ends.cancel_at_period_end,
            ends.uncancel_subscription,
            pauses.pause_subscription,
            pauses.resume_subscription,
            trials.confirm_subscription,
            trials.extend_trial,
            trials.end_trial,
            unused_time.price_unused_time,
            unused_time.refund_unused_time,
            last_resort.execute_last_resort,
            last_resort.void_invoices,
            last_resort.void_all_invoices,
            last_resort.refund_payments,
        ],
    }


def _adoption(resources: Resources) -> Activities:
    adoption, sessions = _subscription_adoption(resources), resources.sessions
    pages = StripeImportPages(resources.stripe)
    account = AccountImport(pages, adoption, sessions, resources.stripe_calls_per_second)
    imports = AccountImportActivities(account)
    return {
        BILLING: [imports.finish_import],
        STRIPE: [
            AdoptionActivities(adoption).adopt_subscription,
            imports.import_customers,
            imports.find_subscriptions,
            imports.adopt_page,
        ],
    }


def _subscription_adoption(resources: Resources) -> SubscriptionAdoption:
    stripe = resources.stripe
    return SubscriptionAdoption(
        StripeFoundSubscriptions(stripe),
        StripeCustomers(stripe),
        Mailboxes(resources.temporal),
        resources.sessions,
    )


def _changes(resources: Resources) -> Activities:
    stripe, sync = resources.stripe, _sync_of(resources)
    activities = SubscriptionChangeActivities(
        sync,
        SubscriptionChanges(sync, StripeChanges(stripe), StripeInvoiceItems(stripe)),
        ScheduledChanges(sync.subscriptions, StripeSchedules(stripe)),
        _previews_of(resources),
        _unpaid_credits(resources),
    )
    return {
        BILLING: [],
        STRIPE: [
            activities.change_subscription_plan,
            activities.schedule_change,
            activities.cancel_scheduled_change,
            activities.change_discount,
        ],
    }


def _previews(resources: Resources) -> Activities:
    customers = StripeCustomers(resources.stripe)
    activities = PreviewActivities(
        _previews_of(resources), _unpaid_credits(resources), customers, resources.sessions
    )
    return {BILLING: [], STRIPE: [activities.preview_change, activities.preview_start]}


def _sync_of(resources: Resources) -> SubscriptionSync:
    stripe = resources.stripe
    return SubscriptionSync(
        StripeSubscriptions(stripe),
        StripeInvoices(stripe),
        StripeCustomers(stripe),
        resources.sessions,
    )


def _previews_of(resources: Resources) -> ChangePreviews:
    stripe = resources.stripe
    return ChangePreviews(
        StripeSubscriptions(stripe), StripePreviews(stripe), StripeCoupons(stripe)
    )


def _unpaid_credits(resources: Resources) -> UnpaidCredits:
    stripe = resources.stripe
    return UnpaidCredits(StripeSubscriptions(stripe), StripePreviews(stripe), resources.sessions)


def _hosted_pages(resources: Resources) -> Activities:
    stripe, sessions = resources.stripe, resources.sessions
    customers = StripeCustomers(stripe)
    checkout = CheckoutActivities(Checkouts(StripeCheckoutSessions(stripe), customers, sessions))
    portal = PortalActivities(StripePortalSessions(stripe), customers, sessions)
    return {
        BILLING: [],
        STRIPE: [
            checkout.create_checkout_session,
            checkout.close_checkout_sessions,
            portal.create_portal_session,
        ],
    }
