"""Coupons: a percentage or a fixed sum off, for a while, for so many customers."""

import secrets
from typing import Any

from sandbox.stripe import amounts, errors
from sandbox.stripe.params import (
    PAGE,
    Choice,
    Group,
    Integer,
    Many,
    Metadata,
    Number,
    Range,
    Text,
)
from sandbox.stripe.routing import Route
from sandbox.stripe.session import Object, Session, deleted, merged, page_of, shown

_CREATE = Group(
    {
        "amount_off": Integer(minimum=1),
        "applies_to": Group({"products": Many(Text())}),
        "currency": Text(),
        "duration": Choice(("forever", "once", "repeating")),
        "duration_in_months": Integer(minimum=1),
        "id": Text(),
        "max_redemptions": Integer(minimum=1),
        "metadata": Metadata(),
        "name": Text(max_length=40),
        "percent_off": Number(above=0, maximum=100),
        "redeem_by": Integer(),
    }
)
_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_FIVE_YEARS = 5 * 366 * 86_400


def new_code() -> str:
    """Return a random code that people can read out."""
    return "".join(secrets.choice(_LETTERS) for _ in range(8))


def create(session: Session, params: dict[str, Any]) -> Object:
    """POST /v1/coupons."""
    _check(session, params)
    coupon_id = params.get("id") or new_code()
    if session.store.get(coupon_id):
        raise errors.invalid_request(
            "Coupon already exists.", code="resource_already_exists", param="id"
        )
    products = params.get("applies_to", {}).get("products", [])
    for number, product_id in enumerate(products):
        session.get("product", product_id, param=f"applies_to[products][{number}]")
    body: Object = {
        "id": coupon_id,
        "object": "coupon",
        "amount_off": params.get("amount_off"),
        "created": session.now,
        "currency": params["currency"].lower() if params.get("amount_off") else None,
        "duration": params.get("duration", "once"),
        "duration_in_months": params.get("duration_in_months"),
        "livemode": False,
        "max_redemptions": params.get("max_redemptions"),
        "metadata": merged({}, params.get("metadata")),
        "name": params.get("name"),
        "percent_off": params.get("percent_off"),
        "redeem_by": params.get("redeem_by"),
        "times_redeemed": 0,
        "valid": True,
        "_products": products,
    }
    session.create(body, event="coupon.created")
    if body["redeem_by"]:
        session.schedule("expire_coupon", coupon_id, body["redeem_by"])
    return shown(body)


def _check(session: Session, params: dict[str, Any]) -> None:
    has_percent, has_amount = "percent_off" in params, "amount_off" in params
    if has_percent and has_amount:
        raise errors.bad_parameter(
            "You may only specify one of these parameters: percent_off, amount_off.",
            code="parameters_exclusive",
        )
    if not has_percent and not has_amount:
        raise errors.bad_parameter(
            "Must provide percent_off or amount_off.", code="parameter_missing", param="percent_off"
        )
    if params.get("currency"):
        amounts.check_currency(params["currency"].lower())
    if has_amount and not params.get("currency"):
        raise errors.bad_parameter(
            "You must pass currency when passing amount_off",
            code="parameter_missing",
            param="currency",
        )
    is_repeating = params.get("duration") == "repeating"
    if is_repeating != ("duration_in_months" in params):
        raise errors.bad_parameter(
            "Pass duration_in_months with `duration=repeating`, and with no other duration.",
            code="parameter_missing" if is_repeating else None,
            param="duration_in_months",
        )
    redeem_by = params.get("redeem_by")
    if redeem_by is not None and not session.now < redeem_by <= session.now + _FIVE_YEARS:
        raise errors.invalid_request(
            "redeem_by must be in the future, and at most five years away.", param="redeem_by"
        )


def retrieve(session: Session, _params: dict[str, Any], coupon_id: str) -> Object:
    """GET /v1/coupons/{id}."""
    return shown(session.get("coupon", coupon_id))


def update(session: Session, params: dict[str, Any], coupon_id: str) -> Object:
    """POST /v1/coupons/{id}."""
    coupon = session.get("coupon", coupon_id)
    changes = {"name": params["name"]} if "name" in params else {}
    if "metadata" in params:
        changes["metadata"] = merged(coupon["metadata"], params["metadata"])
    return shown(session.change(coupon, changes))


def delete(session: Session, _params: dict[str, Any], coupon_id: str) -> Object:
    """DELETE /v1/coupons/{id}: discounts that it has given stay."""
    coupon = session.get("coupon", coupon_id)
    _invalidate(session, coupon)
    session.store.delete(coupon_id)
    session.emit("coupon.deleted", coupon)
    return deleted(coupon)


def count_redemption(session: Session, coupon: Object) -> None:
    """Count one more customer; the last one that is allowed makes the coupon invalid."""
    count = coupon["times_redeemed"] + 1
    session.change(coupon, {"times_redeemed": count}, is_announced=False)
    if count == coupon["max_redemptions"]:
        _invalidate(session, coupon)


def run_expire(session: Session, coupon_id: str) -> None:
    """Job: the last moment to redeem a coupon is over."""
    coupon = session.store.get(coupon_id)
    if coupon and coupon["object"] == "coupon":
        _invalidate(session, coupon)


def _invalidate(session: Session, coupon: Object) -> None:
    """Stop a coupon, and its promotion codes, which are only active while it is valid."""
    session.change(coupon, {"valid": False}, is_announced=False)
    for code in session.find("promotion_code", promotion__coupon=coupon["id"]):
        session.change(code, {"active": False}, is_announced=False)


def list_all(session: Session, params: dict[str, Any]) -> Object:
    """GET /v1/coupons."""
    return page_of(session, "coupon", "/v1/coupons", params, {})


ROUTES = (
    Route("POST", "/v1/coupons", create, _CREATE),
    Route("GET", "/v1/coupons", list_all, Group({**PAGE, "created": Range()})),
    Route("GET", "/v1/coupons/{id}", retrieve),
    Route("POST", "/v1/coupons/{id}", update, Group({"metadata": Metadata(), "name": Text(40)})),
    Route("DELETE", "/v1/coupons/{id}", delete),
)
