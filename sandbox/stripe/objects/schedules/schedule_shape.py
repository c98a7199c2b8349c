"""What schedules and their phases look like."""

from typing import Any

from sandbox.stripe.objects.subscriptions import subscription_periods as periods
from sandbox.stripe.objects.subscriptions.subscription_shape import BILLING_MODE
from sandbox.stripe.session import Object, Session, merged, new_id

_ISSUER = {"type": "self"}
_INVOICES = {
    "account_tax_ids": None,
    "custom_fields": None,
    "days_until_due": None,
    "description": None,
    "footer": None,
    "issuer": _ISSUER,
}
_SETTINGS: Object = {
    "application_fee_percent": None,
    "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
    "billing_cycle_anchor": "automatic",
    "billing_thresholds": None,
    "collection_method": "charge_automatically",
    "default_payment_method": None,
    "description": None,
    "invoice_settings": _INVOICES,
    "on_behalf_of": None,
    "transfer_data": None,
}
_PHASE: Object = {
    "add_invoice_items": [],
    "application_fee_percent": None,
    "billing_cycle_anchor": None,
    "billing_thresholds": None,
    "collection_method": None,
    "default_payment_method": None,
    "default_tax_rates": [],
    "description": None,
    "discounts": [],
    "invoice_settings": None,
    "metadata": {},
    "on_behalf_of": None,
    "proration_behavior": "create_prorations",
    "transfer_data": None,
    "trial_end": None,
}
_PLAIN = (
    "billing_cycle_anchor", "collection_method", "default_payment_method", "description",
    "metadata", "proration_behavior",
)  # fmt: skip


def schedule(
    session: Session, customer_id: str, params: dict[str, Any], phases: list[Object]
) -> Object:
    """Return a new schedule that has not started."""
    return {
        "id": new_id("sub_sched"),
        "object": "subscription_schedule",
        "application": None,
        "billing_mode": BILLING_MODE,
        "canceled_at": None,
        "completed_at": None,
        "created": session.now,
        "current_phase": None,
        "customer": customer_id,
        "customer_account": None,
        "default_settings": settings(_SETTINGS, params.get("default_settings", {})),
        "end_behavior": params.get("end_behavior", "release"),
        "livemode": False,
        "metadata": merged({}, params.get("metadata")),
        "pause_schedules": [],
        "phases": phases,
        "released_at": None,
        "released_subscription": None,
        "status": "not_started",
        "subscription": None,
        "test_clock": None,
        "_is_announced": False,
    }


def settings(old: Object, wanted: dict[str, Any]) -> Object:
    """Return the default settings after a wish."""
    invoices = old["invoice_settings"] | wanted.get("invoice_settings", {})
    return {**old, **wanted, "invoice_settings": invoices}


def phase(entry: dict[str, Any], **fields: Any) -> Object:
    """Return the phase that an entry asks for, with its dates and items."""
    plain = {name: entry[name] for name in _PLAIN if name in entry}
    invoicing = entry.get("invoice_settings")
    if invoicing is not None:
        plain["invoice_settings"] = {**_INVOICES, "issuer": None, **invoicing}
    return {**_PHASE, **plain, **fields}


def item(price_id: str, entry: dict[str, Any]) -> Object:
    """Return an item of a phase."""
    quantity = {"quantity": entry["quantity"]} if "quantity" in entry else {}
    return {
        "billing_thresholds": None,
        "discounts": [discount(**wish) for wish in entry.get("discounts") or []],
        "metadata": entry.get("metadata") or {},
        "plan": price_id,
        "price": price_id,
        **quantity,
        "tax_rates": [],
    }


def charge(price_id: str, entry: dict[str, Any]) -> Object:
    """Return a charge that a phase begins with."""
    return {
        "discountable": entry.get("discountable", True),
        "discounts": [],
        "metadata": entry.get("metadata") or {},
        "period": {
            "end": {"type": "min_item_period_end"},
            "start": {"type": "max_item_period_start"},
        },
        "price": price_id,
        "quantity": entry.get("quantity", 1),
        "tax_rates": [],
    }


def discount(
    coupon: str | None = None, discount: str | None = None, promotion_code: str | None = None
) -> Object:
    """Return a discount of a phase or an item: one of the three."""
    return {"coupon": coupon, "discount": discount, "promotion_code": promotion_code}


def span(phase: Object) -> Object:
    """Return the dates of a phase, as `current_phase` has them."""
    return {"end_date": phase["end_date"], "start_date": phase["start_date"]}


def settings_of(subscription: Object) -> Object:
    """Return the default settings that a running subscription stands for."""
    wanted = {
        "collection_method": subscription["collection_method"],
        "default_payment_method": subscription["default_payment_method"],
        "description": subscription["description"],
        "invoice_settings": {"days_until_due": subscription["days_until_due"]},
    }
    return settings(_SETTINGS, wanted)


def phase_of(subscription: Object) -> Object:
    """Return the phase that a running subscription is in: its period, or up to its end."""
    start, end = periods.period_of(subscription)
    return phase(
        {},
        currency=subscription["currency"],
        discounts=[discount(discount=each) for each in subscription["discounts"]],
        end_date=subscription["cancel_at"] or end,
        items=[_item_of(each) for each in subscription["items"]["data"]],
        metadata=subscription["metadata"],
        start_date=start,
        trial_end=subscription["trial_end"] if subscription["status"] == "trialing" else None,
    )


def _item_of(running: Object) -> Object:
    quantity = {"quantity": running["quantity"]} if "quantity" in running else {}
    wishes = [{"discount": each} for each in running["discounts"]]
    entry = {**quantity, "discounts": wishes, "metadata": running["metadata"]}
    return item(running["price"]["id"], entry)
