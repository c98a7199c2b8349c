"""What subscriptions and their items look like."""

from typing import Any

from sandbox.stripe.objects.catalog.prices import is_metered, plan_of
from sandbox.stripe.session import Object, Session, listing, merged, new_id, shown

BILLING_MODE: Object = {
    "flexible": {"proration_discounts": "included"},
    "type": "flexible",
}
_BLANK: Object = {
    "application": None,
    "application_fee_percent": None,
    "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
    "billing_cycle_anchor_config": None,
    "billing_mode": BILLING_MODE,
    "billing_schedules": [],
    "billing_thresholds": None,
    "cancel_at": None,
    "cancel_at_period_end": False,
    "canceled_at": None,
    "cancellation_details": {
        "comment": None,
        "feedback": None,
        "feedback_option": None,
        "reason": None,
    },
    "collection_method": "charge_automatically",
    "customer_account": None,
    "days_until_due": None,
    "default_source": None,
    "default_tax_rates": [],
    "discounts": [],
    "ended_at": None,
    "invoice_settings": {
        "account_tax_ids": None,
        "custom_fields": None,
        "description": None,
        "footer": None,
        "issuer": {"type": "self"},
    },
    "latest_invoice": None,
    "livemode": False,
    "managed_payments": None,
    "next_pending_invoice_item_invoice": None,
    "on_behalf_of": None,
    "pause_collection": None,
    "pending_invoice_item_interval": None,
    "pending_setup_intent": None,
    "pending_update": None,
    "status_details": None,
    "test_clock": None,
    "transfer_data": None,
}


def subscription(session: Session, params: dict[str, Any], **fields: Any) -> Object:
    """Return a new subscription without items or period, not announced yet."""
    subscription_id = new_id("sub")
    settings = params.get("payment_settings", {})
    ending = params.get("trial_settings", {}).get("end_behavior", {})
    return {
        **_BLANK,
        "id": subscription_id,
        "object": "subscription",
        "created": session.now,
        "customer": params["customer"],
        "collection_method": params.get("collection_method", "charge_automatically"),
        "days_until_due": params.get("days_until_due"),
        "default_payment_method": params.get("default_payment_method"),
        "description": params.get("description"),
        "items": listing(f"/v1/subscription_items?subscription={subscription_id}", []),
        "metadata": merged({}, params.get("metadata")),
        "schedule": params.get("schedule"),
        "payment_settings": {
            "payment_method_options": None,
            "payment_method_types": None,
            "save_default_payment_method": settings.get("save_default_payment_method", "off"),
        },
        "start_date": session.now,
        "trial_settings": {
            "end_behavior": {
                "billing_cycle_anchor": None,
                "missing_payment_method": ending.get("missing_payment_method", "create_invoice"),
            }
        },
        "_debits": {},
        "_is_announced": False,
        **fields,
    }


def item(
    session: Session, subscription_id: str, price: Object, quantity: int, **fields: Any
) -> Object:
    """Return a new item; where it is kept is noted, so that it can be found by its id."""
    item_id = new_id("si")
    place = {"id": item_id, "object": "subscription_item", "created": session.now}
    session.create({**place, "subscription": subscription_id})
    return {
        **place,
        "billing_thresholds": None,
        "current_period_end": session.now,
        "current_period_start": session.now,
        "current_trial": None,
        "discounts": [],
        "metadata": {},
        "plan": plan_of(price),
        "price": shown(price),
        **({} if is_metered(price) else {"quantity": quantity}),
        "subscription": subscription_id,
        "tax_rates": [],
        **fields,
    }
