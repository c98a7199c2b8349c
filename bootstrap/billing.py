"""Wires the activities of billing, by task queue."""

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
from activities.subscriptions.commands import SubscriptionCommandActivities
from activities.subscriptions.last_resort import LastResortActivities
from activities.subscriptions.subscriptions import SubscriptionActivities, SubscriptionRowActivities
from adapters.stripe.cards import StripeCards
from adapters.stripe.catalog import StripeCatalog
from adapters.stripe.customers import StripeCustomers
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
from services.subscriptions.stripe_sync import SubscriptionSync


def billing_activities(resources: Resources) -> Activities:
    """Wire the activities of plans, payments, payment retries and subscriptions."""
    stripe, sessions = resources.stripe, resources.sessions
    subscriptions, invoices = StripeSubscriptions(stripe), StripeInvoices(stripe)
    customers = StripeCustomers(stripe)
    desk = SubscriptionSync(subscriptions, invoices, customers, sessions)
    subscription = SubscriptionActivities(desk)
    rows = SubscriptionRowActivities(sessions)
    commands = SubscriptionCommandActivities(desk)
    last_resorts = LastResortActivities(desk, PaymentCommands(resources.temporal))
    stripe_cards, offers = StripeCards(stripe), CardOffers(invoices, sessions)
    retry = RetryActivities(invoices, stripe_cards, sessions)
    charged = ChargedCards(stripe_cards, subscriptions)
    charges = ChargeActivities(Charging(invoices, charged, AttemptReservations(sessions)), invoices)
    cards = CardActivities(stripe_cards, customers, offers, sessions)
    customer = CustomerSyncActivities(customers, offers, sessions)
    setups = SetupIntentActivities(StripeSetupIntents(stripe), customers, sessions)
    catalog = CatalogActivities(StripeCatalog(stripe), sessions)
    mail = MailActivities(resources.mailer, sessions)
    payments = _build_payments(resources)
    return {
        BILLING: [
            rows.open_subscription,
            rows.park_subscription,
            retry.save_retry,
            mail.send_mail,
            *payments[BILLING],
        ],
        STRIPE: [
            subscription.create_subscription,
            subscription.refresh_subscription,
            commands.cancel_subscription,
            commands.change_payment_method,
            last_resorts.execute_last_resort,
            last_resorts.void_invoices,
            last_resorts.void_all_invoices,
            last_resorts.refund_payments,
            retry.open_retry,
            charges.charge_invoice,
            charges.refresh_invoice,
            cards.attach_payment_method,
            cards.set_default_payment_method,
            cards.detach_payment_method,
            customer.sync_customer,
            setups.create_setup_intent,
            catalog.create_plan,
            catalog.change_plan,
            *payments[STRIPE],
        ],
    }


def _build_payments(resources: Resources) -> Activities:
    customers, sessions = StripeCustomers(resources.stripe), resources.sessions
    payments, refunds = StripePayments(resources.stripe), StripeRefunds(resources.stripe)
    view = PaymentSync(payments, refunds, customers, StripeCards(resources.stripe), sessions)
    payment, rows = PaymentActivities(view), PaymentRowActivities(sessions, view)
    return {
        BILLING: [rows.open_payment, rows.park_payment],
        STRIPE: [
            payment.pay,
            payment.refresh_payment,
            PaymentCancelActivities(view).cancel_payment,
            RefundActivities(view, RefundReservations(sessions)).refund_payment,
        ],
    }
