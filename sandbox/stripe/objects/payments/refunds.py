"""Refunds: money on its way back, never more than was charged."""

from typing import Any

from sandbox.stripe import cards, errors
from sandbox.stripe.objects.payments import balance, disputes
from sandbox.stripe.params import PAGE, Choice, Group, Integer, Metadata, Range, Text
from sandbox.stripe.routing import Route
from sandbox.stripe.session import Object, Session, former, merged, new_id, page_of, shown

SECONDS_TO_SETTLE = 60
_REASONS = ("duplicate", "fraudulent", "requested_by_customer")
_CREATE = Group(
    {
        "amount": Integer(minimum=1),
        "charge": Text(),
        "metadata": Metadata(),
        "payment_intent": Text(),
        "reason": Choice(_REASONS),
    }
)


def create(session: Session, params: dict[str, Any]) -> Object:
    """POST /v1/refunds."""
    charge = _charge_of(session, params)
    amount = _amount(session, charge, params.get("amount"))
    ways = charge["_aftermath"]
    refund = _body(session, charge, amount)
    refund |= {
        "metadata": merged({}, params.get("metadata")),
        "reason": params.get("reason"),
        "status": "pending" if ways == cards.REFUND_WAITS else "succeeded",
        "_ways": ways,
    }
    if refund["status"] == "pending":
        refund["pending_reason"] = "processing"
    entry = balance.enter(session, "refund", -amount, refund, description=_title(charge))
    refund["balance_transaction"] = entry["id"]
    session.create(refund, event="refund.created")
    before = {name: charge[name] for name in ("amount_refunded", "refunded")}
    _count(session, charge, amount)
    session.emit("charge.refunded", charge, previous=former(before, charge))
    if ways in {cards.REFUND_WAITS, cards.REFUND_FAILS}:
        session.schedule(
            "settle_refund", refund["id"], session.default_now + SECONDS_TO_SETTLE, is_payment=True
        )
    if refund["status"] == "succeeded":
        _record(session, refund, "succeeded")
    return shown(refund)


def _title(charge: Object) -> str:
    return f"REFUND FOR CHARGE ({charge['description']})"


def _count(session: Session, charge: Object, amount: int) -> None:
    refunded = charge["amount_refunded"] + amount
    changes = {"amount_refunded": refunded, "refunded": refunded == charge["amount"]}
    session.change(charge, changes, is_announced=False)


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
    if charge is not None and charge["paid"] and not charge["captured"]:
        raise errors.invalid_request(
            f"Charge {charge['id']} was not captured: cancel its PaymentIntent ({intent_id}) to "
            "let the authorization go."
        )
    if charge is None or not charge["captured"]:
        raise errors.invalid_request(
            f"This PaymentIntent ({intent_id}) does not have a successful charge to refund."
        )
    return charge


def _amount(session: Session, charge: Object, wanted: int | None) -> int:
    left: int = charge["amount"] - charge["amount_refunded"]
    if left == 0:
        raise errors.invalid_request(
            f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded"
        )
    if charge["disputed"] and disputes.is_in_the_way(session, charge):
        raise errors.invalid_request(
            f"Charge {charge['id']} has been charged back; it cannot be refunded.",
            code="charge_disputed",
        )
    amount = wanted or left
    if amount > left:
        raise errors.invalid_request(
            f"Refund amount ({amount} {charge['currency']}) is greater than unrefunded amount on "
            f"charge ({left} {charge['currency']})",
            param="amount",
        )
    return amount


def release(session: Session, charge: Object, amount: int) -> Object:
    """Let go of money that was held and not taken: a refund that moves no balance."""
    refund = _body(session, charge, amount) | {"_ways": None}
    if "destination_details" in refund:
        refund["destination_details"]["card"]["type"] = "reversal"
    return session.create(refund)


def _body(session: Session, charge: Object, amount: int) -> Object:
    return {
        "id": new_id("re"),
        "object": "refund",
        "amount": amount,
        "balance_transaction": None,
        "charge": charge["id"],
        "created": session.default_now,
        "currency": charge["currency"],
        "customer": charge["customer"],
        "customer_account": None,
        **_destination(charge["payment_method_details"]["type"]),
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "payment_method": charge["payment_method"],
        "reason": None,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "succeeded",
        "transfer_reversal": None,
    }


def _destination(kind: str) -> Object:
    if kind != "card":
        return {}
    reference = {"reference_status": "pending", "reference_type": "acquirer_reference_number"}
    card = {**reference, "type": "refund"}
    return {"destination_details": {"card": card, "type": "card"}}


def _record(session: Session, refund: Object, outcome: str) -> None:
    intent = session.get("payment_intent", refund["payment_intent"])
    session.record(
        kind="refund",
        outcome=outcome,
        amount=refund["amount"],
        currency=refund["currency"],
        customer=intent["customer"],
        subscription=intent["_subscription"],
        invoice=intent["_invoice"],
        payment_intent=intent["id"],
        charge=refund["charge"],
        decline_code=None,
    )


def run_settle(session: Session, refund_id: str) -> None:
    """Job: the bank has said what became of a refund."""
    refund = session.store.get(refund_id)
    if refund is None:
        return
    if refund["_ways"] == cards.REFUND_FAILS:
        _fail(session, refund)
        return
    refund.pop("pending_reason")
    _announce(session, refund, {"status": "succeeded"})
    _record(session, refund, "succeeded")


def _fail(session: Session, refund: Object) -> None:
    """Take the money back into the balance, and open the charge for another refund."""
    charge = session.get("charge", refund["charge"])
    entry = balance.enter(
        session, "refund_failure", refund["amount"], refund, description=_title(charge)
    )
    _count(session, charge, -refund["amount"])
    changes = {
        "failure_balance_transaction": entry["id"],
        "failure_reason": "expired_or_canceled_card",
        "status": "failed",
    }
    _announce(session, refund, changes)
    session.emit("refund.failed", refund)
    _record(session, refund, "failed")


def _announce(session: Session, refund: Object, changes: dict[str, Any]) -> None:
    """Save changes, under both names that Stripe tells of them."""
    before = {name: refund.get(name) for name in changes}
    session.change(refund, changes)
    session.emit("charge.refund.updated", refund, previous=former(before, refund))


def retrieve(session: Session, _params: dict[str, Any], refund_id: str) -> Object:
    """GET /v1/refunds/{id}."""
    return shown(session.get("refund", refund_id))


def update(session: Session, params: dict[str, Any], refund_id: str) -> Object:
    """POST /v1/refunds/{id}."""
    refund = session.get("refund", refund_id)
    metadata = merged(refund["metadata"], params.get("metadata", {}))
    if metadata != refund["metadata"]:
        _announce(session, refund, {"metadata": metadata})
    return shown(refund)


def cancel(session: Session, _params: dict[str, Any], refund_id: str) -> Object:
    """POST /v1/refunds/{id}/cancel: for refunds that wait for their customer, as no card's do."""
    refund = session.get("refund", refund_id)
    raise errors.invalid_request(
        f"A refund that is {refund['status']} cannot be canceled, only one that requires_action."
    )


def list_all(session: Session, params: dict[str, Any]) -> Object:
    """GET /v1/refunds."""
    filters = {name: params[name] for name in ("charge", "payment_intent") if params.get(name)}
    return page_of(session, "refund", "/v1/refunds", params, filters)


def list_of_charge(session: Session, params: dict[str, Any], charge_id: str) -> Object:
    """GET /v1/charges/{id}/refunds."""
    session.get("charge", charge_id)
    url = f"/v1/charges/{charge_id}/refunds"
    return page_of(session, "refund", url, params, {"charge": charge_id})


ROUTES = (
    Route("GET", "/v1/charges/{id}/refunds", list_of_charge, Group(PAGE)),
    Route("POST", "/v1/refunds", create, _CREATE),
    Route(
        "GET",
        "/v1/refunds",
        list_all,
        Group({**PAGE, "charge": Text(), "payment_intent": Text(), "created": Range()}),
    ),
    Route("GET", "/v1/refunds/{id}", retrieve),
    Route("POST", "/v1/refunds/{id}", update, Group({"metadata": Metadata()})),
    Route("POST", "/v1/refunds/{id}/cancel", cancel),
)
