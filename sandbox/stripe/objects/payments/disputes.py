"""Disputes: the card's owner wants his money back, and has it until somebody decides."""

from sandbox.stripe import cards, errors
from sandbox.stripe.objects.payments import balance, dispute_shape
from sandbox.stripe.session import Object, Session

DAYS_TO_DECIDE = 7
CLOSED = ("lost", "warning_closed", "won")
_OPENINGS = {
    cards.DISPUTED: ("fraudulent", False),
    cards.NOT_RECEIVED: ("product_not_received", False),
    cards.INQUIRED: ("fraudulent", True),
}


def follow(session: Session, charge: Object) -> None:
    """Dispute a charge if its card is one that does."""
    if charge["_aftermath"] in _OPENINGS:
        reason, is_inquiry = _OPENINGS[charge["_aftermath"]]
        start(session, charge, reason=reason, is_inquiry=is_inquiry)


def start(
    session: Session,
    charge: Object,
    *,
    reason: str = "fraudulent",
    is_inquiry: bool = False,
    outcome: str | None = None,
) -> Object:
    """Open a dispute.

    Args:
        session: The unit of work.
        charge: What is disputed; changed in place.
        reason: The owner's.
        is_inquiry: Whether the bank only asks for now.
        outcome: How the bank will decide, a week later; without one it waits for evidence, and
            the dispute is lost if none comes in time.

    Returns:
        The dispute.
    """
    dispute = dispute_shape.dispute(session, charge, reason=reason, is_inquiry=is_inquiry)
    dispute["_outcome"] = outcome
    session.create(dispute)
    session.change(charge, {"disputed": True}, is_announced=False)
    if not is_inquiry:
        _withdraw(session, dispute)
    session.emit("charge.dispute.created", dispute)
    if not is_inquiry:
        session.emit("charge.dispute.funds_withdrawn", dispute)
    decided_at = session.default_now + DAYS_TO_DECIDE * balance.DAY
    due_at = decided_at if outcome else dispute["evidence_details"]["due_by"]
    session.schedule("decide_dispute", dispute["id"], due_at, is_payment=True)
    return dispute


def start_by_id(session: Session, charge_id: str, outcome: str) -> Object:
    """Open a dispute of a charge.

    Raises:
        ApiError: If there is nothing to dispute.
    """
    charge = session.get("charge", charge_id)
    if not charge["captured"] or charge["disputed"] or charge["refunded"]:
        raise errors.invalid_request("This charge cannot be disputed (any more).", param="charge")
    return start(session, charge, outcome=outcome)


def _withdraw(session: Session, dispute: Object) -> None:
    entry = balance.enter(
        session,
        "adjustment",
        -dispute["amount"],
        dispute,
        fee=(balance.DISPUTE_FEE, "Dispute fee"),
        description=f"Chargeback withdrawal for {dispute['charge']}",
        reporting_category="dispute",
    )
    entries = [*dispute["balance_transactions"], entry]
    session.change(dispute, {"balance_transactions": entries}, is_announced=False)


def _reinstate(session: Session, dispute: Object) -> None:
    """Give the money back; the fee for receiving the dispute stays paid."""
    entry = balance.enter(
        session,
        "adjustment",
        dispute["amount"],
        dispute,
        description=f"Chargeback reversal for {dispute['charge']}",
        reporting_category="dispute_reversal",
    )
    entries = [*dispute["balance_transactions"], entry]
    session.change(dispute, {"balance_transactions": entries}, is_announced=False)


def escalate(session: Session, dispute: Object) -> None:
    """Turn an inquiry into a dispute that takes the money."""
    card = dispute["payment_method_details"]["card"] | {"case_type": "chargeback"}
    details = dispute["payment_method_details"] | {"card": card}
    _withdraw(session, dispute)
    changes = {"is_charge_refundable": False, "payment_method_details": details}
    session.change(dispute, changes | {"status": "needs_response"})
    session.emit("charge.dispute.funds_withdrawn", dispute)


def close(session: Session, dispute: Object, outcome: str) -> Object:
    """Decide a dispute: `won`, `lost`, or for an inquiry `warning_closed`."""
    is_inquiry = dispute["status"].startswith("warning_")
    status = "warning_closed" if is_inquiry else outcome
    if status == "won":
        _reinstate(session, dispute)
    changes = {"status": status, "is_charge_refundable": is_inquiry}
    session.change(dispute, changes, is_announced=False)
    session.emit("charge.dispute.closed", dispute)
    if status == "won":
        session.emit("charge.dispute.funds_reinstated", dispute)
    if not is_inquiry:
        _record(session, dispute, outcome)
    return dispute


def _record(session: Session, dispute: Object, outcome: str) -> None:
    charge = session.get("charge", dispute["charge"])
    intent = session.get("payment_intent", charge["payment_intent"])
    session.record(
        kind="dispute",
        outcome=outcome,
        amount=dispute["amount"],
        currency=dispute["currency"],
        customer=charge["customer"],
        subscription=intent["_subscription"],
        invoice=intent["_invoice"],
        payment_intent=intent["id"],
        charge=charge["id"],
        decline_code=None,
    )


def run_decide(session: Session, dispute_id: str) -> None:
    """Job: the bank decides, or the time for an answer is over."""
    dispute = session.store.get(dispute_id)
    if dispute is None or dispute["status"] in CLOSED:
        return
    close(session, dispute, dispute["_outcome"] or "lost")


def is_in_the_way(session: Session, charge: Object) -> bool:
    """Say whether a dispute keeps a charge from being refunded."""
    found = session.find("dispute", charge=charge["id"])
    return any(not d["is_charge_refundable"] and d["status"] != "won" for d in found)
