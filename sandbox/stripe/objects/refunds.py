"""Refunds: money on its way back, never more than was charged."""

from typing import Any

from sandbox.stripe import errors
from sandbox.stripe.params import PAGE, Choice, Group, Integer, Metadata, Range, Text
from sandbox.stripe.routing import Route
from sandbox.stripe.session import Object, Session, merged, new_id, page_of, shown

_CREATE = Group(
    {
        "amount": Integer(minimum=1),
        "charge": Text(),
        "metadata": Metadata(),
        "payment_intent": Text(),
        "reason": Choice(("duplicate", "fraudulent", "requested_by_customer")),
    }
)


def create(session: Session, params: dict[str, Any]) -> Object:
    """POST /v1/refunds."""
    charge = _charge_of(session, params)
    left = charge["amount"] - charge["amount_refunded"]
    if left == 0:
        raise errors.invalid_request(
            f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded"
        )
    amount = params.get("amount") or left
    if amount > left:
        raise errors.invalid_request(
            f"Refund amount ({amount} {charge['currency']}) is greater than unrefunded amount on "
            f"charge ({left} {charge['currency']})",
            param="amount",
        )
    refund = session.create(_body(session, charge, amount, params), event="refund.created")
    refunded = charge["amount_refunded"] + amount
    changes = {"amount_refunded": refunded, "refunded": refunded == charge["amount"]}
    before = {name: charge[name] for name in changes}
    session.change(charge, changes, is_announced=False)
    session.emit("charge.refunded", charge, previous=before)
    _record(session, charge, amount)
    return shown(refund)


def _charge_of(session: Session, params: dict[str, Any]) -> Object:
    if params.get("charge"):
        charge = session.get("charge", params["charge"], param="charge")
        intent_id = charge["payment_intent"]
        if params.get("payment_intent") not in {None, intent_id}:
            raise errors.invalid_request(
                f"Charge {charge['id']} does not belong to this PaymentIntent.",
                param="payment_intent",
            )
    elif params.get("payment_intent"):
        intent = session.get("payment_intent", params["payment_intent"], param="payment_intent")
        intent_id, charge = intent["id"], None
        if intent["latest_charge"]:
            charge = session.get("charge", intent["latest_charge"])
    else:
        raise errors.bad_parameter(
            "One of the following params should be provided for this request: "
            "payment_intent or charge.",
            code="parameter_missing",
        )
    if charge is None or not charge["paid"]:
        raise errors.invalid_request(
            f"This PaymentIntent ({intent_id}) does not have a successful charge to refund."
        )
    return charge


def _body(session: Session, charge: Object, amount: int, params: dict[str, Any]) -> Object:
    return {
        "id": new_id("re"),
        "object": "refund",
        "amount": amount,
        "balance_transaction": None,
        "charge": charge["id"],
        "created": session.default_now,
        "currency": charge["currency"],
        "destination_details": {
            "card": {
                "reference_status": "pending",
                "reference_type": "acquirer_reference_number",
                "type": "refund",
            },
            "type": "card",
        },
        "metadata": merged({}, params.get("metadata")),
        "payment_intent": charge["payment_intent"],
        "payment_method": charge["payment_method"],
        "reason": params.get("reason"),
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "succeeded",
        "transfer_reversal": None,
    }


def _record(session: Session, charge: Object, amount: int) -> None:
    intent = session.get("payment_intent", charge["payment_intent"])
    session.record(
        kind="refund",
        outcome="succeeded",
        amount=amount,
        currency=charge["currency"],
        customer=charge["customer"],
        subscription=intent["_subscription"],
        invoice=intent["_invoice"],
        payment_intent=intent["id"],
        charge=charge["id"],
        decline_code=None,
    )


def retrieve(session: Session, _params: dict[str, Any], refund_id: str) -> Object:
    """GET /v1/refunds/{id}."""
    return shown(session.get("refund", refund_id))


def list_all(session: Session, params: dict[str, Any]) -> Object:
    """GET /v1/refunds."""
    filters = {name: params[name] for name in ("charge", "payment_intent") if params.get(name)}
    return page_of(session, "refund", "/v1/refunds", params, filters)


ROUTES = (
    Route("POST", "/v1/refunds", create, _CREATE),
    Route(
        "GET",
        "/v1/refunds",
        list_all,
        Group({**PAGE, "charge": Text(), "payment_intent": Text(), "created": Range()}),
    ),
    Route("GET", "/v1/refunds/{id}", retrieve),
)
