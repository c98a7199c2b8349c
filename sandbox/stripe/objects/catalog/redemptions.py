"""Redeeming: a wish for a coupon or a promotion code becomes a discount."""

from typing import Any

from sandbox.stripe import discounts, errors
from sandbox.stripe.objects.catalog import coupons, promotion_codes
from sandbox.stripe.objects.customers import customer_currency
from sandbox.stripe.params import Group, Param, Text
from sandbox.stripe.session import Object, Session, new_id

_WISH: dict[str, Param] = {"coupon": Text(), "promotion_code": Text()}
WISH = Group(_WISH)
"""One entry of the parameter `discounts`, where no discount exists yet."""

WISH_OR_DISCOUNT = Group({**_WISH, "discount": Text()})
"""One entry of the parameter `discounts`, where a discount can be kept by naming it."""


def check(
    session: Session,
    wish: dict[str, Any],
    customer_id: str | None,
    *,
    param: str,
    amount: tuple[int, str] | None = None,
    currency: str | None = None,
) -> tuple[Object, Object | None]:
    """Return the coupon, and the promotion code if one was named, that a wish stands for.

    Args:
        session: The unit of work.
        wish: `coupon` or `promotion_code`, by id.
        customer_id: Who wants it; None if that is not known yet.
        param: The path of the wish in the request.
        amount: What it would be taken off, with the currency, where a minimum can be checked.
        currency: Of what it would be taken off, where that is known.

    Raises:
        ApiError: If it is unknown, expired, used up, in another currency, or not for this customer
            or amount.
    """
    code: Object | None = None
    coupon_id = wish.get("coupon")
    if wish.get("promotion_code"):
        path = f"{param}[promotion_code]"
        code = session.get("promotion_code", wish["promotion_code"], param=path)
        _check_code(session, code, customer_id, amount, param=path)
        coupon_id = code["promotion"]["coupon"]
    if coupon_id is None:
        raise errors.bad_parameter(
            f"Missing required param: {param}[coupon].",
            code="parameter_missing",
            param=f"{param}[coupon]",
        )
    coupon = session.get("coupon", coupon_id, param=f"{param}[coupon]")
    if not coupon["valid"]:
        raise errors.invalid_request(
            f"Coupon expired: {coupon_id}", code="coupon_expired", param=f"{param}[coupon]"
        )
    if currency and coupon["currency"] not in {None, currency}:
        raise customer_currency.combined(currency)
    return coupon, code


def _check_code(
    session: Session,
    code: Object,
    customer_id: str | None,
    amount: tuple[int, str] | None,
    *,
    param: str,
) -> None:
    limits = code["restrictions"]
    reason = None
    if not code["active"]:
        reason = "it is not active"
    elif code["customer"] not in {None, customer_id}:
        reason = "it belongs to another customer"
    elif limits["first_time_transaction"] and _has_history(session, customer_id):
        reason = "the associated customer has prior transactions"
    elif amount and limits["minimum_amount"] is not None:
        is_same = limits["minimum_amount_currency"] == amount[1]
        if not is_same or amount[0] < limits["minimum_amount"]:
            reason = "the amount is below its minimum"
    if reason:
        raise errors.invalid_request(
            f"This promotion code cannot be redeemed because {reason}.", param=param
        )


def _has_history(session: Session, customer_id: str | None) -> bool:
    if customer_id is None:
        return False
    return bool(
        session.find("invoice", customer=customer_id, status="paid")
        or session.find("payment_intent", customer=customer_id, status="succeeded")
    )


def redeem(
    session: Session, coupon: Object, code: Object | None, customer_id: str | None, **owner: str
) -> Object:
    """Create a discount and count the redemption.

    Args:
        session: The unit of work.
        coupon: What is taken off.
        code: The promotion code that led to it.
        customer_id: Who gets it.
        owner: What it hangs on: `subscription`, `subscription_item`, `invoice`, `invoice_item` or
            `checkout_session`, by id; nothing: the customer.

    Returns:
        The discount, which holds the coupon as it is now.
    """
    # Reason: a coupon that is used up ends its codes, so the code's own count comes first.
    if code:
        promotion_codes.count_redemption(session, code)
    coupons.count_redemption(session, coupon)
    body: Object = {
        "id": new_id("di"),
        "object": "discount",
        "checkout_session": None,
        "customer": customer_id,
        "customer_account": None,
        "end": discounts.ends_at(coupon, session.now),
        "invoice": None,
        "invoice_item": None,
        "promotion_code": code and code["id"],
        "source": {"coupon": coupon["id"], "type": "coupon"},
        "start": session.now,
        "subscription": None,
        "subscription_item": None,
        "_coupon": coupon,
        **owner,
    }
    session.create(body)
    if "subscription" in owner or not owner:
        session.emit("customer.discount.created", body)
    return body
