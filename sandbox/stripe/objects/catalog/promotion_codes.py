"""Promotion codes: what customers type in to get a coupon."""

import re
from typing import Any

from sandbox.stripe import errors
from sandbox.stripe.objects.catalog import coupons
from sandbox.stripe.params import PAGE, Boolean, Choice, Group, Integer, Metadata, Range, Text
from sandbox.stripe.routing import Route
from sandbox.stripe.session import Object, Session, merged, new_id, page_of, shown

_CODE = re.compile(r"[A-Za-z0-9-]+")
_CREATE = Group(
    {
        "active": Boolean(),
        "code": Text(max_length=500),
        "customer": Text(),
        "expires_at": Integer(),
        "max_redemptions": Integer(minimum=1),
        "metadata": Metadata(),
        "promotion": Group({"coupon": Text(), "type": Choice(("coupon",))}, required=("type",)),
        "restrictions": Group(
            {
                "first_time_transaction": Boolean(),
                "minimum_amount": Integer(minimum=1),
                "minimum_amount_currency": Text(),
            }
        ),
    },
    required=("promotion",),
)
_LIST = Group(
    {
        **PAGE,
        "active": Boolean(),
        "code": Text(),
        "coupon": Text(),
        "created": Range(),
        "customer": Text(),
    }
)


def create(session: Session, params: dict[str, Any]) -> Object:
    """POST /v1/promotion_codes."""
    if not params["promotion"].get("coupon"):
        raise errors.bad_parameter(
            "Missing required param: promotion[coupon].",
            code="parameter_missing",
            param="promotion[coupon]",
        )
    coupon = session.get("coupon", params["promotion"]["coupon"], param="promotion[coupon]")
    if params.get("customer"):
        session.get("customer", params["customer"], param="customer")
    _check_limits(session, coupon, params)
    code = params.get("code") or coupons.new_code()
    _check_code(session, code, params.get("customer"))
    body: Object = {
        "id": new_id("promo"),
        "object": "promotion_code",
        "active": params.get("active", True),
        "code": code,
        "created": session.now,
        "customer": params.get("customer"),
        "customer_account": None,
        "expires_at": params.get("expires_at"),
        "livemode": False,
        "max_redemptions": params.get("max_redemptions"),
        "metadata": merged({}, params.get("metadata")),
        "promotion": {"coupon": coupon["id"], "type": "coupon"},
        "restrictions": _restrictions(params.get("restrictions", {})),
        "times_redeemed": 0,
        "_folded": code.lower(),
    }
    session.create(body, event="promotion_code.created")
    if body["expires_at"]:
        session.schedule("expire_promotion_code", body["id"], body["expires_at"])
    return shown(body)


def _check_limits(session: Session, coupon: Object, params: dict[str, Any]) -> None:
    if not coupon["valid"]:
        raise errors.invalid_request(
            f"Coupon {coupon['id']} is not valid any more.",
            code="coupon_expired",
            param="promotion[coupon]",
        )
    expires_at = params.get("expires_at")
    if expires_at is not None and expires_at <= session.now:
        raise errors.invalid_request("expires_at must be in the future.", param="expires_at")
    for name, limit in (("expires_at", "redeem_by"), ("max_redemptions", "max_redemptions")):
        wanted = params.get(name)
        if wanted is not None and coupon[limit] is not None and wanted > coupon[limit]:
            raise errors.invalid_request(
                f"{name} cannot be beyond the {limit} of the coupon.", param=name
            )


def _check_code(session: Session, code: str, customer_id: str | None) -> None:
    if not _CODE.fullmatch(code):
        raise errors.invalid_request(
            "A promotion code is made of letters, digits and dashes.", param="code"
        )
    rivals = session.find("promotion_code", _folded=code.lower(), active=1)
    # Reason: a code for everybody leaves no room for one customer's own, and the other way round.
    if any(customer_id is None or r["customer"] in {None, customer_id} for r in rivals):
        raise errors.invalid_request(
            f"An active promotion code with `code: {code}` already exists.", param="code"
        )


def _restrictions(given: dict[str, Any]) -> Object:
    amount, currency = given.get("minimum_amount"), given.get("minimum_amount_currency")
    if (amount is None) != (currency is None):
        raise errors.bad_parameter(
            "minimum_amount and minimum_amount_currency go together.",
            code="parameter_missing",
            param="restrictions",
        )
    return {
        "first_time_transaction": given.get("first_time_transaction", False),
        "minimum_amount": amount,
        "minimum_amount_currency": currency and currency.lower(),
    }


def retrieve(session: Session, _params: dict[str, Any], code_id: str) -> Object:
    """GET /v1/promotion_codes/{id}."""
    return shown(session.get("promotion_code", code_id))


def update(session: Session, params: dict[str, Any], code_id: str) -> Object:
    """POST /v1/promotion_codes/{id}."""
    code = session.get("promotion_code", code_id)
    changes: dict[str, Any] = {}
    if "metadata" in params:
        changes["metadata"] = merged(code["metadata"], params["metadata"])
    if params.get("active") and not code["active"]:
        coupon = session.store.get(code["promotion"]["coupon"])
        is_over = code["expires_at"] is not None and code["expires_at"] <= session.now
        is_used_up = code["times_redeemed"] == code["max_redemptions"]
        if coupon is None or not coupon["valid"] or is_over or is_used_up:
            raise errors.invalid_request(
                "This promotion code cannot be made active again: it or its coupon has expired "
                "or is used up.",
                param="active",
            )
        _check_code(session, code["code"], code["customer"])
    if "active" in params:
        changes["active"] = params["active"]
    return shown(session.change(code, changes))


def count_redemption(session: Session, code: Object) -> None:
    """Count one more redemption; the last one that is allowed makes the code inactive."""
    count = code["times_redeemed"] + 1
    changes: dict[str, Any] = {"times_redeemed": count}
    if count == code["max_redemptions"]:
        changes["active"] = False
    session.change(code, changes, is_announced=False)


def run_expire(session: Session, code_id: str) -> None:
    """Job: a code's time is over."""
    code = session.store.get(code_id)
    if code:
        session.change(code, {"active": False}, is_announced=False)


def list_all(session: Session, params: dict[str, Any]) -> Object:
    """GET /v1/promotion_codes."""
    filters: dict[str, Any] = {"customer": params["customer"]} if params.get("customer") else {}
    if "active" in params:
        filters["active"] = int(params["active"])
    if params.get("code"):
        filters["_folded"] = params["code"].lower()
    if params.get("coupon"):
        filters["promotion.coupon"] = params["coupon"]
    return page_of(session, "promotion_code", "/v1/promotion_codes", params, filters)


ROUTES = (
    Route("POST", "/v1/promotion_codes", create, _CREATE),
    Route("GET", "/v1/promotion_codes", list_all, _LIST),
    Route("GET", "/v1/promotion_codes/{id}", retrieve),
    Route(
        "POST",
        "/v1/promotion_codes/{id}",
        update,
        Group({"active": Boolean(), "metadata": Metadata()}),
    ),
)
