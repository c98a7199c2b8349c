"""What subscriptions and their items look like."""

from typing import Any

from sandbox.stripe.objects.products_prices import plan_of
from sandbox.stripe.session import Object, Session, listing, merged, new_id, shown

_BLANK: Object = {
    "application": None,
    "application_fee_percent": None,
    "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
    "billing_cycle_anchor_config": None,
    "billing_mode": {
        "flexible": {"proration_discounts": "included"},
        "type": "flexible",
    },
    "billing_schedules": [],
    "billing_thresholds": None,
    "cancel_at": None,
    "cancel_at_period_end": False,
    "canceled_at": None,
    "cancellation_details": {"comment": None, "feedback": None, "reason": None},
    "collection_method": "charge_automatically",
    "customer_account": None,
    "days_until_due": None,
    "default_source": None,
    "default_tax_rates": [],
    "discounts": [],
    "ended_at": None,
    "invoice_settings": {"account_tax_ids": None, "issuer": {"type": "self"}},
    "latest_invoice": None,
    "livemode": False,
    "next_pending_invoice_item_invoice": None,
    "on_behalf_of": None,
    "pause_collection": None,
    "pending_invoice_item_interval": None,
    "pending_setup_intent": None,
    "pending_update": None,
    "schedule": None,
    "status_details": None,
    "test_clock": None,
    "transfer_data": None,
}


def subscription(
    session: Session,
    params: dict[str, Any],
    prices: list[tuple[Object, int]],
    *,
    anchor: int,
    period_end: int,
    trial_end: int | None,
) -> Object:
    """Return a new subscription, not announced yet, in its first period."""
    subscription_id = new_id("sub")
    items = [
        _item(session, subscription_id, price, quantity, period_end) for price, quantity in prices
    ]
    settings = params.get("payment_settings", {})
    ending = params.get("trial_settings", {}).get("end_behavior", {})
    return {
        **_BLANK,
        "id": subscription_id,
        "object": "subscription",
        "billing_cycle_anchor": anchor,
        "created": session.now,
        "currency": prices[0][0]["currency"],
        "customer": params["customer"],
        "default_payment_method": params.get("default_payment_method"),
        "description": params.get("description"),
        "items": listing(f"/v1/subscription_items?subscription={subscription_id}", items),
        "metadata": merged({}, params.get("metadata")),
        "payment_settings": {
            "payment_method_options": None,
            "payment_method_types": None,
            "save_default_payment_method": settings.get("save_default_payment_method", "off"),
        },
        "start_date": session.now,
        "status": "trialing" if trial_end else "incomplete",
        "trial_end": trial_end,
        "trial_settings": {
            "end_behavior": {
                "missing_payment_method": ending.get("missing_payment_method", "create_invoice")
            }
        },
        "trial_start": session.now if trial_end else None,
        "_cycle": 0 if trial_end else 1,
        "_is_announced": False,
    }


def _item(
    session: Session, subscription_id: str, price: Object, quantity: int, period_end: int
) -> Object:
    return {
        "id": new_id("si"),
        "object": "subscription_item",
        "billing_thresholds": None,
        "created": session.now,
        "current_period_end": period_end,
        "current_period_start": session.now,
        "discounts": [],
        "metadata": {},
        "plan": plan_of(price),
        "price": shown(price),
        "quantity": quantity,
        "subscription": subscription_id,
        "tax_rates": [],
    }
