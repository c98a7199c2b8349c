"""What Checkout sessions and their line items look like."""

from typing import Any

from sandbox.stripe import discounts
from sandbox.stripe.currencies import rounded
from sandbox.stripe.objects.catalog.prices import cost, is_metered
from sandbox.stripe.objects.hosted import checkout_looks
from sandbox.stripe.session import Object, Session, merged, new_id, shown

_BLANK: Object = {
    "adaptive_pricing": {"enabled": False},
    "after_expiration": None,
    "allowed_payment_method_types": None,
    "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
    "billing_address_collection": None,
    "client_secret": None,
    "collected_information": None,
    "consent": None,
    "consent_collection": None,
    "currency_conversion": None,
    "custom_fields": [],
    "custom_text": {
        "after_submit": None,
        "shipping_address": None,
        "submit": None,
        "terms_of_service_acceptance": None,
    },
    "customer_account": None,
    "integration_identifier": None,
    "invoice": None,
    "livemode": False,
    "locale": None,
    "managed_payments": None,
    "origin_context": None,
    "payment_intent": None,
    "payment_link": None,
    "payment_method_configuration_details": None,
    "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
    "payment_method_types": ["card"],
    "permissions": None,
    "phone_number_collection": {"enabled": False},
    "recovered_from": None,
    "saved_payment_method_options": None,
    "setup_intent": None,
    "shipping_address_collection": None,
    "shipping_cost": None,
    "shipping_options": [],
    "status": "open",
    "submit_type": None,
    "subscription": None,
    "wallet_options": None,
}
_GIVEN = (
    "allow_promotion_codes", "allowed_payment_method_types", "cancel_url", "client_reference_id",
    "customer", "customer_email", "success_url",
)  # fmt: skip


def body(
    session: Session, params: dict[str, Any], lines: list[Object], wish: dict[str, Any] | None
) -> Object:
    """Return a new session, not saved yet and without amounts."""
    checkout_id, mode = new_id("cs_test"), params["mode"]
    is_payment = mode == "payment"
    currency = lines[0]["currency"] if lines else params.get("currency")
    creation = params.get("customer_creation", "if_required") if is_payment else None
    mode_of_page = params.get("ui_mode", "hosted_page")
    return {
        **_BLANK,
        **checkout_looks.of(params),
        **_way(session, checkout_id, mode_of_page, params),
        "id": checkout_id,
        "object": "checkout.session",
        **{name: params.get(name) for name in _GIVEN},
        "created": session.now,
        "currency": currency,
        "customer_creation": None if params.get("customer") else creation,
        "customer_details": None,
        "discounts": [{"coupon": None, "promotion_code": None, **wish}] if wish else [],
        "expires_at": params["expires_at"],
        "invoice_creation": _invoicing(params) if is_payment else None,
        "metadata": merged({}, params.get("metadata")),
        "mode": mode,
        "payment_method_collection": params.get("payment_method_collection", "always")
        if mode == "subscription"
        else "if_required",
        "payment_status": "no_payment_required" if mode == "setup" else "unpaid",
        "_customer_update": params.get("customer_update", {}),
        "_lines": lines,
        "_data": params.get(f"{_DATA[mode]}_data", {}),
    }


_DATA = {"payment": "payment_intent", "setup": "setup_intent", "subscription": "subscription"}
_NO_INVOICE: Object = {
    "enabled": False,
    "invoice_data": {
        "account_tax_ids": None,
        "custom_fields": None,
        "description": None,
        "footer": None,
        "issuer": None,
        "metadata": {},
        "rendering_options": None,
    },
}


def _way(
    session: Session, checkout_id: str, ui_mode: str, params: dict[str, Any]
) -> dict[str, Any]:
    """Return how a customer comes to the session: by its address, or inside a page."""
    if ui_mode == "hosted_page":
        return {"ui_mode": ui_mode, "url": f"{session.base_url}/c/pay/{checkout_id}"}
    way: dict[str, Any] = {"client_secret": f"{checkout_id}_{new_id('secret')}"}
    way |= {"ui_mode": ui_mode, "url": None}
    way["redirect_on_completion"] = params.get("redirect_on_completion", "always")
    return way | ({"return_url": params["return_url"]} if params.get("return_url") else {})


def _invoicing(params: dict[str, Any]) -> Object:
    wish = params.get("invoice_creation", {})
    data = {**_NO_INVOICE["invoice_data"], **wish.get("invoice_data", {})}
    return {"enabled": wish.get("enabled", False), "invoice_data": data}


def adjustable(entry: dict[str, Any]) -> Object | None:
    """Return whether customers may change a line's quantity, None if nothing was said."""
    wish = entry.get("adjustable_quantity")
    if wish is None:
        return None
    is_on = wish["enabled"]
    bounds = {"maximum": 99, "minimum": 0} if is_on else {"maximum": None, "minimum": None}
    return {**bounds, **wish}


def line(price: Object, name: str, quantity: int, metadata: dict[str, str]) -> Object:
    """Return a line item, before any discount."""
    is_used = is_metered(price)
    exact = cost(price, 0 if is_used else quantity)
    amount = rounded(exact, price["currency"])
    return {
        "id": new_id("li"),
        "object": "item",
        "adjustable_quantity": None,
        "amount_discount": 0,
        "amount_subtotal": amount,
        "amount_tax": 0,
        "amount_total": amount,
        "currency": price["currency"],
        "description": name,
        "metadata": metadata,
        "price": shown(price),
        "quantity": None if is_used else quantity,
    }


def totals(checkout: Object, coupon: Object | None) -> dict[str, Any]:
    """Return the fields that a coupon, or none, makes of a session's lines."""
    lines = checkout["_lines"]
    if not lines:
        return {"amount_subtotal": None, "amount_total": None, "total_details": None}
    due = [0 if _is_later(checkout, entry) else entry["amount_subtotal"] for entry in lines]
    off = discounts.taken_off(coupon, sum(due), checkout["currency"]) if coupon else 0
    parts = discounts.spread(off, due)
    subtotal = sum(due)
    return {
        "amount_subtotal": subtotal,
        "amount_total": subtotal - off,
        "total_details": {"amount_discount": off, "amount_shipping": 0, "amount_tax": 0},
        "_lines": [
            entry
            | {"amount_subtotal": whole, "amount_discount": part, "amount_total": whole - part}
            for entry, whole, part in zip(lines, due, parts, strict=True)
        ],
    }


def _is_later(checkout: Object, entry: Object) -> bool:
    """Return whether a trial puts a line off."""
    data = checkout["_data"]
    has_trial = bool(data.get("trial_period_days") or data.get("trial_end"))
    return has_trial and entry["price"]["recurring"] is not None
