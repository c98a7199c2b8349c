"""What each trigger of Stripe's CLI must leave behind: the events, and what their objects say."""

from dataclasses import dataclass, field
from typing import Any

Fields = dict[str, Any]


@dataclass(frozen=True)
class Trigger:
    """The outcome of one trigger.

    Attributes:
        events: Every event type that it causes, once for each event, in whatever order.
        shows: Decisive fields, by dotted path, of the object in the last event of a type.
        arguments: What the command line needs beside the trigger's name.
    """

    events: tuple[str, ...]
    shows: dict[str, Fields]
    arguments: tuple[str, ...] = field(default=())


BY_CLI = "(created by Stripe CLI)"
CUSTOMER = "customer.created"
PRICE = ("product.created", "price.created")
CHARGED = ("payment_intent.created", "charge.succeeded", "payment_intent.succeeded")
DECLINED = ("payment_intent.created", "charge.failed", "payment_intent.payment_failed")
MARKED: Fields = {"metadata": {"foo": "bar"}}

PEOPLE = {
    "customer.created": Trigger((CUSTOMER,), {CUSTOMER: {"description": BY_CLI, "balance": 0}}),
    "customer.updated": Trigger((CUSTOMER, "customer.updated"), {"customer.updated": MARKED}),
    "customer.deleted": Trigger(
        (CUSTOMER, "customer.deleted"), {"customer.deleted": {"description": BY_CLI}}
    ),
    "payment_method.attached": Trigger(
        (CUSTOMER, "payment_method.attached"),
        {"payment_method.attached": {"card.brand": "visa", "card.last4": "4242"}},
    ),
    "payment_method.detached": Trigger(
        (CUSTOMER, "payment_method.attached", "payment_method.detached"),
        {"payment_method.detached": {"customer": None}},
    ),
    "payment_method.updated": Trigger(
        (
            CUSTOMER,
            "setup_intent.created",
            "payment_method.attached",
            "setup_intent.succeeded",
            "payment_method.updated",
        ),
        {"payment_method.updated": MARKED},
    ),
}
SETUPS = {
    "setup_intent.created": Trigger(
        ("setup_intent.created",),
        {"setup_intent.created": {"status": "requires_payment_method", "usage": "off_session"}},
    ),
    "setup_intent.succeeded": Trigger(
        ("setup_intent.created", "setup_intent.succeeded"),
        {"setup_intent.succeeded": {"status": "succeeded", "last_setup_error": None}},
    ),
    "setup_intent.canceled": Trigger(
        ("setup_intent.created", "setup_intent.canceled"),
        {
            "setup_intent.canceled": {
                "status": "canceled",
                "cancellation_reason": "requested_by_customer",
            }
        },
    ),
    "setup_intent.requires_action": Trigger(
        ("setup_intent.created", "setup_intent.requires_action"),
        {"setup_intent.requires_action": {"status": "requires_action"}},
    ),
    "setup_intent.setup_failed": Trigger(
        ("setup_intent.created", "setup_intent.setup_failed"),
        {
            "setup_intent.setup_failed": {
                "status": "requires_payment_method",
                "last_setup_error.type": "card_error",
                "last_setup_error.code": "card_declined",
                "last_setup_error.decline_code": "generic_decline",
            }
        },
    ),
}
INTENTS = {
    "payment_intent.created": Trigger(
        ("payment_intent.created",),
        {"payment_intent.created": {"status": "requires_payment_method", "amount": 2000}},
    ),
    "payment_intent.succeeded": Trigger(
        CHARGED,
        {
            "payment_intent.succeeded": {
                "status": "succeeded",
                "amount_received": 2000,
                "shipping.name": "Jenny Rosen",
                "shipping.address.city": "San Francisco",
            },
            "charge.succeeded": {"amount_captured": 2000, "paid": True, "captured": True},
        },
    ),
    "payment_intent.canceled": Trigger(
        ("payment_intent.created", "payment_intent.canceled"),
        {
            "payment_intent.canceled": {
                "status": "canceled",
                "cancellation_reason": "requested_by_customer",
            }
        },
    ),
    "payment_intent.payment_failed": Trigger(
        DECLINED,
        {
            "payment_intent.payment_failed": {
                "status": "requires_payment_method",
                "last_payment_error.code": "card_declined",
                "last_payment_error.decline_code": "generic_decline",
            },
        },
    ),
    "payment_intent.requires_action": Trigger(
        ("payment_intent.created", "payment_intent.requires_action"),
        {"payment_intent.requires_action": {"status": "requires_action", "latest_charge": None}},
    ),
    "payment_intent.amount_capturable_updated": Trigger(
        ("payment_intent.created", "charge.succeeded", "payment_intent.amount_capturable_updated"),
        {
            "payment_intent.amount_capturable_updated": {
                "status": "requires_capture",
                "amount_capturable": 2000,
                "amount_received": 0,
                "confirmation_method": "manual",
            },
            "charge.succeeded": {"captured": False, "amount_captured": 0},
        },
    ),
}
CHARGES = {
    "charge.succeeded": Trigger(CHARGED, {"charge.succeeded": {"amount": 100, "paid": True}}),
    "charge.failed": Trigger(
        DECLINED,
        {
            "charge.failed": {
                "amount": 100,
                "paid": False,
                "failure_code": "card_declined",
                "outcome.type": "issuer_declined",
                "outcome.network_status": "declined_by_network",
            }
        },
    ),
    "charge.captured": Trigger(
        (
            "payment_intent.created",
            "charge.succeeded",
            "payment_intent.amount_capturable_updated",
            "charge.captured",
            "payment_intent.succeeded",
        ),
        {
            "charge.captured": {"captured": True, "amount_captured": 2000},
            "payment_intent.succeeded": {"amount_received": 2000, "amount_capturable": 0},
        },
    ),
    "charge.refunded": Trigger(
        (*CHARGED, "refund.created", "charge.refunded"),
        {
            "charge.refunded": {"amount_refunded": 100, "refunded": True},
            "refund.created": {"amount": 100, "status": "succeeded"},
        },
    ),
    "charge.refund.updated": Trigger(
        (
            *(*CHARGED, "refund.created", "charge.refunded"),
            *("charge.refund.updated", "refund.updated"),
        ),
        {"charge.refund.updated": {"metadata": {"order_id": "6735"}}},
    ),
    "charge.dispute.created": Trigger(
        (*CHARGED, "charge.dispute.created"),
        {"charge.dispute.created": {"amount": 100, "status": "warning_needs_response"}},
    ),
    "charge.dispute.updated": Trigger(
        (*CHARGED, "charge.dispute.created", "charge.dispute.updated"),
        {"charge.dispute.updated": {**MARKED, "status": "warning_needs_response"}},
    ),
    "charge.dispute.closed": Trigger(
        (*CHARGED, "charge.dispute.created", "charge.dispute.closed"),
        {"charge.dispute.closed": {"status": "warning_closed"}},
    ),
}
CATALOGUE = {
    "product.created": Trigger(
        ("product.created",), {"product.created": {"name": "myproduct", "active": True}}
    ),
    "product.updated": Trigger(("product.created", "product.updated"), {"product.updated": MARKED}),
    "product.deleted": Trigger(
        ("product.created", "product.deleted"), {"product.deleted": {"name": "myproduct"}}
    ),
    "price.created": Trigger(
        PRICE, {"price.created": {"unit_amount": 1500, "recurring.interval": "month"}}
    ),
    "price.updated": Trigger((*PRICE, "price.updated"), {"price.updated": MARKED}),
    "coupon.created": Trigger(
        ("coupon.created",),
        {"coupon.created": {"percent_off": 20, "duration": "once", "valid": True}},
    ),
    "coupon.updated": Trigger(("coupon.created", "coupon.updated"), {"coupon.updated": MARKED}),
    "coupon.deleted": Trigger(
        ("coupon.created", "coupon.deleted"), {"coupon.deleted": {"percent_off": 20}}
    ),
}

ITEM = (CUSTOMER, "invoiceitem.created")
DRAFT = (*ITEM, "invoice.created")
OPEN = (*DRAFT, "invoice.finalized", "payment_intent.created")
NOTE = (*OPEN, "credit_note.created")
CARD = "payment_method.attached"
INVOICES = {
    "invoiceitem.created": Trigger(
        ITEM, {"invoiceitem.created": {"amount": 2000, "invoice": None, "proration": False}}
    ),
    "invoiceitem.deleted": Trigger(
        (*ITEM, "invoiceitem.deleted"), {"invoiceitem.deleted": {"amount": 2000}}
    ),
    "invoice.created": Trigger(
        DRAFT,
        {
            "invoice.created": {
                "status": "draft",
                "total": 2000,
                "billing_reason": "manual",
                "auto_advance": False,
            }
        },
    ),
    "invoice.updated": Trigger((*DRAFT, "invoice.updated"), {"invoice.updated": MARKED}),
    "invoice.deleted": Trigger(
        (*DRAFT, "invoice.deleted"), {"invoice.deleted": {"status": "draft"}}
    ),
    "invoice.finalized": Trigger(
        OPEN,
        {"invoice.finalized": {"status": "open", "amount_due": 2000, "attempted": False}},
    ),
    "invoice.sent": Trigger(
        (*DRAFT, "invoice.finalized", "payment_intent.created", "invoice.sent"),
        {"invoice.sent": {"status": "open", "collection_method": "send_invoice"}},
    ),
    "invoice.voided": Trigger(
        (*OPEN, "payment_intent.canceled", "invoice.voided"),
        {"invoice.voided": {"status": "void", "amount_remaining": 2000}},
    ),
    "invoice.marked_uncollectible": Trigger(
        (*OPEN, "invoice.marked_uncollectible"),
        {"invoice.marked_uncollectible": {"status": "uncollectible", "amount_due": 2000}},
    ),
    "invoice.paid": Trigger(
        (
            *(CARD, *OPEN, "charge.succeeded", "payment_intent.succeeded"),
            *("invoice.paid", "invoice.payment_succeeded", "invoice_payment.paid"),
        ),
        {
            "invoice.paid": {"status": "paid", "amount_paid": 2000, "attempt_count": 1},
            "charge.succeeded": {"amount": 2000},
        },
    ),
    "invoice.payment_failed": Trigger(
        (CARD, *OPEN, "charge.failed", "payment_intent.payment_failed", "invoice.payment_failed"),
        {"invoice.payment_failed": {"status": "open", "attempted": True, "attempt_count": 1}},
    ),
    "invoice.payment_action_required": Trigger(
        (
            *(CARD, *OPEN, "charge.failed", "payment_intent.payment_failed"),
            *("invoice.payment_action_required", "invoice.payment_failed"),
        ),
        {"invoice.payment_action_required": {"status": "open", "attempted": True}},
    ),
    "credit_note.created": Trigger(
        NOTE, {"credit_note.created": {"amount": 1000, "status": "issued", "type": "pre_payment"}}
    ),
    "credit_note.updated": Trigger((*NOTE, "credit_note.updated"), {"credit_note.updated": MARKED}),
    "credit_note.voided": Trigger(
        (*NOTE, "credit_note.voided"), {"credit_note.voided": {"status": "void"}}
    ),
}
INVOICES["invoice.payment_succeeded"] = INVOICES["invoice.paid"]

FIRST = (*PRICE, "invoice.created", "invoice.finalized", "payment_intent.created")
STARTED = (
    *(CUSTOMER, CARD, *FIRST, "charge.succeeded", "payment_intent.succeeded"),
    *("invoice.paid", "invoice.payment_succeeded", "invoice_payment.paid"),
    "customer.subscription.created",
)
TRIAL = (
    *(
        CUSTOMER,
        *PRICE,
        "setup_intent.created",
        "invoice.created",
        "invoice.finalized",
        "invoice.paid",
    ),
    *("invoice.payment_succeeded", "customer.subscription.created"),
)
SUBSCRIPTIONS = {
    "customer.subscription.created": Trigger(
        STARTED,
        {
            "customer.subscription.created": {
                "status": "active",
                "items.data.0.price.unit_amount": 1500,
                "billing_mode.type": "flexible",
            },
            "invoice.paid": {"billing_reason": "subscription_create", "amount_paid": 1500},
        },
    ),
    "customer.subscription.updated": Trigger(
        (*STARTED, "customer.subscription.updated"), {"customer.subscription.updated": MARKED}
    ),
    "customer.subscription.deleted": Trigger(
        (*STARTED, "customer.subscription.deleted"),
        {
            "customer.subscription.deleted": {
                "status": "canceled",
                "cancellation_details.reason": "cancellation_requested",
            }
        },
    ),
    "customer.subscription.trial_will_end": Trigger(
        (*TRIAL, "customer.subscription.trial_will_end"),
        {"customer.subscription.trial_will_end": {"status": "trialing"}},
    ),
    "customer.subscription.paused": Trigger(
        (*TRIAL, "customer.subscription.updated", "customer.subscription.paused"),
        {
            "customer.subscription.paused": {
                "status": "paused",
                "trial_settings.end_behavior.missing_payment_method": "pause",
            }
        },
    ),
    "subscription.payment_succeeded": Trigger(
        STARTED, {"invoice.payment_succeeded": {"status": "paid", "amount_paid": 2000}}
    ),
    "subscription.payment_failed": Trigger(
        (
            *(CUSTOMER, CARD, *FIRST, "charge.failed", "payment_intent.payment_failed"),
            *("invoice.payment_failed", "customer.subscription.created"),
        ),
        {
            "invoice.payment_failed": {"status": "open", "billing_reason": "subscription_create"},
            "customer.subscription.created": {"status": "incomplete"},
        },
    ),
}
PAGE = ("product.created", "price.created")
CHECKOUT = {
    "checkout.session.completed": Trigger(
        (*PAGE, *CHARGED, "checkout.session.completed"),
        {
            "checkout.session.completed": {
                "status": "complete",
                "payment_status": "paid",
                "amount_total": 3000,
                "mode": "payment",
            }
        },
    ),
    "checkout.session.expired": Trigger(
        (*PAGE, "checkout.session.expired"),
        {"checkout.session.expired": {"status": "expired", "payment_status": "unpaid"}},
    ),
}
PORTAL = {
    "billing_portal.configuration.created": Trigger(
        ("billing_portal.configuration.created",),
        {
            "billing_portal.configuration.created": {
                "active": True,
                "features.subscription_cancel.enabled": True,
            }
        },
    ),
    "billing_portal.configuration.updated": Trigger(
        ("billing_portal.configuration.created", "billing_portal.configuration.updated"),
        {"billing_portal.configuration.updated": MARKED},
    ),
    "billing_portal.session.created": Trigger(
        (CUSTOMER, "billing_portal.session.created"),
        {"billing_portal.session.created": {"object": "billing_portal.session"}},
    ),
}
CLOCK = "test_helpers.test_clock"
CLOCKS = {
    f"{CLOCK}.created": Trigger(
        (f"{CLOCK}.created",), {f"{CLOCK}.created": {"status": "ready", "frozen_time": 1577836800}}
    ),
    f"{CLOCK}.deleted": Trigger(
        (f"{CLOCK}.created", f"{CLOCK}.deleted"), {f"{CLOCK}.deleted": {"frozen_time": 1577836800}}
    ),
    f"{CLOCK}.ready": Trigger(
        (f"{CLOCK}.created", f"{CLOCK}.advancing", f"{CLOCK}.ready"),
        {f"{CLOCK}.ready": {"status": "ready", "frozen_time": 1580515200}},
    ),
}
CLOCKS[f"{CLOCK}.advancing"] = CLOCKS[f"{CLOCK}.ready"]
PROMOTION = "promotion_code"
PROMOTIONS = {
    f"{PROMOTION}.{what}": Trigger(
        ("coupon.created", *(f"{PROMOTION}.{one}" for one in events)),
        {f"{PROMOTION}.{what}": {"active": True, "promotion.type": "coupon"}},
        # Reason: the trigger's own parameter, `coupon`, is `promotion` since 2025-09-30.clover.
        (
            *("--remove", f"{PROMOTION}:coupon", "--add", f"{PROMOTION}:promotion[type]=coupon"),
            *("--add", f"{PROMOTION}:promotion[coupon]=${{coupon:id}}"),
        ),
    )
    for what, events in {"created": ("created",), "updated": ("created", "updated")}.items()
}
SCHEDULE = "subscription_schedule"
# Reason: sources are gone from the pinned version; a schedule needs no card to begin.
NO_SOURCE = ("--remove", "customer:source")


def _phased(*phases: str) -> tuple[str, ...]:
    """Return the trigger's own phases in the present version's words, each one month long."""
    # Reason: `iterations`, which they have, is `duration` in the pinned version.
    found = [*NO_SOURCE, "--remove", f"{SCHEDULE}:phases"]
    for number, quantity in enumerate(phases):
        phase = f"{SCHEDULE}:phases[{number}]"
        found += ["--add", f"{phase}[items][0][price]=${{price:id}}"]
        found += ["--add", f"{phase}[items][0][quantity]={quantity}"]
        found += ["--add", f"{phase}[duration][interval]=month"]
    return tuple(found)


PHASED = (*PRICE, CUSTOMER, "invoice.created", "customer.subscription.created")
SCHEDULED = (*PHASED, f"{SCHEDULE}.created")
ON_CLOCK = (  # without a card: the first invoice is not paid
    *(*SCHEDULED, f"{CLOCK}.created", f"{CLOCK}.advancing", f"{CLOCK}.ready"),
    *("invoice.finalized", "payment_intent.created", "invoice.payment_failed"),
    *("customer.subscription.updated", f"{SCHEDULE}.expiring"),
)
SCHEDULES = {
    # Reason: the trigger cancels a schedule; Stripe documents `aborted` for debts only.
    f"{SCHEDULE}.aborted": Trigger(
        (
            *(*PRICE, CUSTOMER, f"{SCHEDULE}.created"),
            *(f"{SCHEDULE}.updated", f"{SCHEDULE}.canceled"),
        ),
        {f"{SCHEDULE}.canceled": {"status": "canceled", "subscription": None}},
        NO_SOURCE,
    ),
    f"{SCHEDULE}.canceled": Trigger(
        (
            *(*SCHEDULED, f"{SCHEDULE}.updated", f"{SCHEDULE}.canceled"),
            *("customer.subscription.deleted", "customer.subscription.updated"),
            *("invoiceitem.created", "invoice.created", "invoice.finalized", "invoice.paid"),
            "invoice.payment_succeeded",
        ),
        {
            f"{SCHEDULE}.canceled": {"status": "canceled", "current_phase": None},
            # Reason: unless it is told otherwise, the call credits the unused time and bills it.
            "invoice.paid": {"total": -1500, "billing_reason": "subscription_update"},
            "customer.subscription.deleted": {"status": "canceled"},
        },
        _phased("1", "2"),
    ),
    f"{SCHEDULE}.created": Trigger(
        SCHEDULED,
        {
            f"{SCHEDULE}.created": {"status": "active", "phases.1.items.0.quantity": 2},
            "customer.subscription.created": {"status": "active", "items.data.0.quantity": 1},
            "invoice.created": {"status": "draft", "amount_due": 1500},
        },
        _phased("1", "2"),
    ),
    f"{SCHEDULE}.released": Trigger(
        (
            *(*SCHEDULED, f"{SCHEDULE}.updated", f"{SCHEDULE}.released"),
            "customer.subscription.updated",
        ),
        {
            f"{SCHEDULE}.released": {"status": "released", "subscription": None},
            "customer.subscription.updated": {"schedule": None, "status": "active"},
        },
        _phased("1", "2"),
    ),
    f"{SCHEDULE}.updated": Trigger(
        (*SCHEDULED, f"{SCHEDULE}.updated"), {f"{SCHEDULE}.updated": MARKED}, _phased("1", "2")
    ),
    f"{SCHEDULE}.completed": Trigger(
        (
            *(*ON_CLOCK, f"{SCHEDULE}.updated", f"{SCHEDULE}.completed", "invoice.upcoming"),
            *("customer.subscription.updated", "customer.subscription.updated", "invoice.created"),
        ),
        {f"{SCHEDULE}.completed": {"status": "completed", "completed_at": 1580515200}},
        _phased("1"),
    ),
    f"{SCHEDULE}.expiring": Trigger(
        ON_CLOCK,
        {f"{SCHEDULE}.expiring": {"status": "active", "phases.0.end_date": 1580256000}},
        # Reason: the trigger goes to nine days before the end; the notice comes seven days ahead.
        ("--override", "advance_test_clock:frozen_time=1579737600"),
    ),
}
TRIGGERS = {
    **PEOPLE,
    **SETUPS,
    **INTENTS,
    **CHARGES,
    **CATALOGUE,
    **INVOICES,
    **SUBSCRIPTIONS,
    **CHECKOUT,
    **PORTAL,
    **CLOCKS,
    **PROMOTIONS,
    **SCHEDULES,
}
# Why the others are not run, by the beginning of their names.
LEFT_OUT = {
    "account.": "connected accounts",
    "balance.": "a platform's balance",
    "cash_balance.": "bank transfers: the sandbox has cards only",
    "checkout.session.async_payment": "SEPA debits: the sandbox has cards only",
    "customer.discount.": "gives a customer a `coupon`, which the pinned version no longer knows",
    "customer.source.": "sources, which payment methods have replaced",
    "customer_cash_balance_transaction.": "bank transfers: the sandbox has cards only",
    "identity.": "not billing",
    "issuing_": "not billing",
    "payment_intent.partially_funded": "bank transfers: the sandbox has cards only",
    "payment_intent.processing": "SEPA debits: the sandbox has cards only",
    "payment_link.": "payment links are not done",
    "payout.": "payouts are not done",
    "plan.": "plans, which prices have replaced",
    "quote.": "quotes are not done",
    "reporting.": "not billing",
    "tax_rate.": "tax is not done",
    "topup.": "connected accounts",
    "transfer.": "connected accounts",
    "v1.billing.meter.": "sends to meter-events.stripe.com, which no option changes",
}
