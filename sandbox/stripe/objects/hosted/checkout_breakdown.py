"""How a Checkout session's discounts come about, shown when it is asked for."""

from typing import Any

from sandbox.stripe.session import Object, Session, shown


def breakdown(session: Session, checkout: Object) -> Object:
    """Return `total_details.breakdown`: the discount as it was redeemed, or will be."""
    off = checkout["total_details"]["amount_discount"]
    if not off:
        return {"discounts": [], "taxes": []}
    redeemed = session.find("discount", checkout_session=checkout["id"])
    discount = shown(redeemed[0]) if redeemed else _planned(session, checkout)
    return {"discounts": [{"amount": off, "discount": discount}], "taxes": []}


def _planned(session: Session, checkout: Object) -> Object:
    wish: dict[str, Any] = checkout["discounts"][0]
    coupon_id = wish["coupon"]
    if wish["promotion_code"]:
        code = session.get("promotion_code", wish["promotion_code"])
        coupon_id = code["promotion"]["coupon"]
    return {
        "id": f"di_{checkout['id'].rpartition('_')[2]}",
        "object": "discount",
        "checkout_session": checkout["id"],
        "customer": checkout["customer"],
        "customer_account": None,
        "end": None,
        "invoice": None,
        "invoice_item": None,
        "promotion_code": wish["promotion_code"],
        "source": {"coupon": coupon_id, "type": "coupon"},
        "start": checkout["created"],
        "subscription": None,
        "subscription_item": None,
    }
