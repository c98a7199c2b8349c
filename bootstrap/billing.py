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
from activities.subscriptions.commands import SubscriptionCommandActivities
from activities.subscriptions.last_resort import LastResortActivities
from activities.subscriptions.subscriptions import SubscriptionActivities, SubscriptionRowActivities
from adapters.stripe.cards import StripeCards
from adapters.stripe.catalog import StripeCatalog
from adapters.stripe.customers import StripeCustomers
from adapters.stripe.found_subscriptions import StripeFoundSubscriptions
from adapters.stripe.import_pages import StripeImportPages
from adapters.stripe.invoices import StripeInvoices
from adapters.stripe.payments import StripePayments
from adapters.stripe.refunds import StripeRefunds
from adapters.stripe.setup_intents import StripeSetupIntents
from adapters.stripe.subscriptions import StripeSubscriptions
from bootstrap.resources import Activities, Resources
from domain.workflow_names import BILLING, STRIPE
from services.payment_retries.attempt_reservations import AttemptReservations
from services.payment_retries.card_offers import CardOffers
from services.payment_retries.charged_cards import ChargedCards
from services.payment_retries.charging import Charging
from services.payments.commands import PaymentCommands
from services.payments.refund_reservations import RefundReservations
from services.payments.stripe_sync import PaymentSync
from services.subscriptions.account_import import AccountImport
from services.subscriptions.adoption import SubscriptionAdoption
from services.subscriptions.mailboxes import Mailboxes
from services.subscriptions.stripe_sync import SubscriptionSync


def billing_activities(resources: Resources) -> Activities:
    """Build the activities of plans, payments, payment retries and subscriptions."""
    areas = (
        _plans_and_emails(resources),
        _payments(resources),
        _payment_methods(resources),
        _payment_retries(resources),
        _subscriptions(resources),
        _adoption(resources),
    )
    return {queue: [each for area in areas for each in area[queue]] for queue in (BILLING, STRIPE)}


def _plans_and_emails(resources: Resources) -> Activities:
    catalog = CatalogActivities(StripeCatalog(resources.stripe), resources.sessions)
    mail = MailActivities(resources.sessions)
    return {BILLING: [mail.send_mail], STRIPE: [catalog.create_plan, catalog.change_plan]}


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
    stripe, sessions = resources.stripe, resources.sessions
    invoices, customers = StripeInvoices(stripe), StripeCustomers(stripe)
    sync = SubscriptionSync(StripeSubscriptions(stripe), invoices, customers, sessions)
    subscription, rows = SubscriptionActivities(sync), SubscriptionRowActivities(sessions)
    commands = SubscriptionCommandActivities(sync)
    last_resort = LastResortActivities(sync, PaymentCommands(resources.temporal))
    return {
        BILLING: [rows.open_subscription, rows.park_subscription],
        STRIPE: [
            subscription.create_subscription,
            subscription.refresh_subscription,
            commands.cancel_subscription,
            commands.change_payment_method,
            last_resort.execute_last_resort,
            last_resort.void_invoices,
            last_resort.void_all_invoices,
            last_resort.refund_payments,
        ],
    }


def _adoption(resources: Resources) -> Activities:
    stripe = resources.stripe
    adoption = SubscriptionAdoption(
        StripeFoundSubscriptions(stripe),
        StripeCustomers(stripe),
        Mailboxes(resources.temporal),
        resources.sessions,
    )
    pages, sessions = StripeImportPages(stripe), resources.sessions
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
