"""Invoices: draft, finalized, charged, and settled in one of four ways."""

from typing import Any

from sandbox.stripe import balances, errors
from sandbox.stripe.objects.customers import customer_balance, customer_currency, payment_methods
from sandbox.stripe.objects.customers.customers import own_method
from sandbox.stripe.objects.invoices import invoice_shape
from sandbox.stripe.objects.payments import charges, intents
from sandbox.stripe.objects.subscriptions.subscription_status import ENDED, follow
from sandbox.stripe.session import Object, Session

DAY = 86_400
_NUMBERED = "{prefix}-{number:04d}"


def finalize(session: Session, invoice: Object) -> Object:
    """Turn a draft into an open invoice with a payment intent, or a paid one if nothing is due."""
    customer = session.get("customer", invoice["customer"])
    number, currency = customer["next_invoice_sequence"], invoice["currency"]
    balance = customer_currency.balance_of(customer, currency)
    session.change(customer, {"next_invoice_sequence": number + 1}, is_announced=False)
    amounts = invoice_shape.totals(invoice["lines"]["data"], balance, currency)
    ending = balances.applied(amounts["total"], balance, currency).ending_balance
    days = invoice["_days_until_due"]
    session.change(
        invoice,
        {
            **amounts,
            "status": "open",
            "number": invoice["number"]
            or _NUMBERED.format(prefix=customer["invoice_prefix"], number=number),
            "effective_at": invoice["effective_at"] or session.now,
            "automatically_finalizes_at": None,
            "due_date": session.now + days * DAY if days is not None else invoice["due_date"],
            "ending_balance": ending,
            "hosted_invoice_url": f"{session.base_url}/i/{invoice['id']}",
            "invoice_pdf": f"{session.base_url}/i/{invoice['id']}/pdf",
            "status_transitions": invoice["status_transitions"] | {"finalized_at": session.now},
        },
        is_announced=False,
    )
    kind = "invoice_too_small" if ending > 0 else "applied_to_invoice"
    if ending != balance:
        fields = {"currency": currency, "invoice": invoice["id"]}
        customer_balance.move(session, customer, ending - balance, kind, **fields)
    session.emit("invoice.finalized", invoice)
    if invoice["amount_due"] == 0:
        return _mark_paid(session, invoice)
    if invoice["due_date"] is not None:
        session.schedule("invoice_overdue", invoice["id"], invoice["due_date"])
    intent = intents.make(
        session,
        invoice["amount_due"],
        currency,
        invoice["customer"],
        description=invoice["description"],
        invoice=invoice,
    )
    session.create(invoice_shape.payment(session, invoice, intent))
    return invoice


def payment_of(session: Session, invoice: Object) -> tuple[Object, Object] | None:
    """Return an invoice's default payment and its intent, if it has one."""
    for payment in session.find("invoice_payment", invoice=invoice["id"], is_default=1):
        return payment, session.get("payment_intent", payment["payment"]["payment_intent"])
    return None


def default_method(session: Session, invoice: Object) -> Object | None:
    """Return the card that an automatic charge takes: invoice, subscription, then customer."""
    subscription_id = intents.subscription_of(invoice)
    subscription = session.store.get(subscription_id) if subscription_id else None
    customer = session.get("customer", invoice["customer"])
    for method_id in (
        invoice["default_payment_method"],
        subscription and subscription["default_payment_method"],
        customer["invoice_settings"]["default_payment_method"],
    ):
        method = session.store.get(method_id) if method_id else None
        if method and method["customer"] == invoice["customer"]:
            return method
    return None


def collect(
    session: Session, invoice: Object, method: Object | None, *, is_off_session: bool
) -> Object | None:
    """Try to charge an open invoice once.

    Args:
        session: The unit of work.
        invoice: Changed in place.
        method: The card to charge; without one the attempt fails before any charge.
        is_off_session: Whether a challenge is a decline.

    Returns:
        The payment intent, or None if the invoice has none.
    """
    found = payment_of(session, invoice)
    if found is None:
        return None
    _, intent = found
    if method is not None:
        charges.attempt(session, intent, method, is_off_session=is_off_session)
    after_attempt(session, invoice, intent)
    return intent


def after_attempt(session: Session, invoice: Object, intent: Object) -> None:
    """Let an invoice follow what its payment intent came to."""
    if intent["status"] == "succeeded":
        _mark_paid(session, invoice)
        _keep_card(session, invoice, intent)
        return
    # Reason: only automatic retries, which this account has switched off, count past the first.
    changes = {"attempted": True, "attempt_count": max(1, invoice["attempt_count"])}
    session.change(invoice, changes)
    is_challenge = intent["status"] == "requires_action"
    declined = (intent["last_payment_error"] or {}).get("decline_code")
    if is_challenge or declined == "authentication_required":
        session.emit("invoice.payment_action_required", invoice)
    session.emit("invoice.payment_failed", invoice)
    _set_delinquent(session, invoice, is_delinquent=True)
    follow(session, invoice)


def _mark_paid(session: Session, invoice: Object, *, is_out_of_band: bool = False) -> Object:
    found = payment_of(session, invoice)
    changes = {
        "status": "paid",
        "amount_paid": invoice["amount_due"],
        "amount_remaining": 0,
        "attempted": True,
        "auto_advance": False,
        "next_payment_attempt": None,
        "status_transitions": invoice["status_transitions"] | {"paid_at": session.now},
        "status_details": None,
    }
    if found and not is_out_of_band:
        payment, _ = found
        times = payment["status_transitions"] | {"paid_at": session.now}
        amount = payment["amount_requested"]
        paid = {"status": "paid", "amount_paid": amount, "status_transitions": times}
        session.change(payment, paid, is_announced=False)
        session.emit("invoice_payment.paid", payment)
        changes["attempt_count"] = max(1, invoice["attempt_count"])
    session.change(invoice, changes, is_announced=invoice["attempted"])
    session.emit("invoice.paid", invoice)
    if not is_out_of_band:
        session.emit("invoice.payment_succeeded", invoice)
    _set_delinquent(session, invoice, is_delinquent=False)
    follow(session, invoice)
    return invoice


def _keep_card(session: Session, invoice: Object, intent: Object) -> None:
    """Make the card that paid the subscription's own, where its settings ask for that."""
    subscription_id = intents.subscription_of(invoice)
    subscription = session.store.get(subscription_id) if subscription_id else None
    if subscription is None or subscription["status"] in ENDED:
        return
    if subscription["payment_settings"]["save_default_payment_method"] == "on_subscription":
        changes = {"default_payment_method": intent["payment_method"]}
        session.change(subscription, changes, is_announced=subscription["_is_announced"])


def _set_delinquent(session: Session, invoice: Object, *, is_delinquent: bool) -> None:
    customer = session.get("customer", invoice["customer"])
    session.change(customer, {"delinquent": is_delinquent})


def pay(session: Session, invoice: Object, params: dict[str, Any]) -> Object:
    """Charge an invoice because somebody asked for it.

    Raises:
        ApiError: If it cannot be paid any more, or the card says no.
    """
    if invoice["status"] == "paid":
        raise errors.invalid_request("Invoice is already paid")
    if invoice["status"] == "void":
        raise errors.invalid_request("A voided invoice cannot be paid", code="invoice_not_editable")
    method = _chosen_method(session, invoice, params)
    if invoice["status"] == "draft":
        finalize(session, invoice)
    if invoice["status"] == "paid":
        return invoice
    if params.get("paid_out_of_band"):
        return pay_out_of_band(session, invoice)
    if method is None:
        raise errors.invalid_request(
            "There is no default_payment_method set on this Customer or Invoice. "
            "Please set one, or pay with a payment_method.",
        )
    is_off_session = params.get("off_session", True)
    intent = collect(session, invoice, method, is_off_session=is_off_session)
    if intent is not None:
        refuse_unless_paid(intent, method)
    return invoice


def refuse_unless_paid(intent: Object, method: Object) -> None:
    """Turn an unsuccessful attempt into the error that the caller sees.

    Raises:
        ApiError: 402, unless the intent succeeded.
    """
    if intent["status"] == "succeeded":
        return
    shown_intent = {name: value for name, value in intent.items() if name[0] != "_"}
    failure = intent["last_payment_error"]
    if failure is None:
        failure = {
            "code": "invoice_payment_intent_requires_action",
            "message": "This payment requires additional user action before it can be completed. "
            "It can be completed with the PaymentIntent of the invoice.",
            "payment_method": {name: v for name, v in method.items() if name[0] != "_"},
        }
    raise errors.card_error(failure, payment_intent=shown_intent)


def _chosen_method(session: Session, invoice: Object, params: dict[str, Any]) -> Object | None:
    method_id = params.get("payment_method")
    if not method_id:
        return default_method(session, invoice)
    payment_methods.check_usable(
        session.get("payment_method", method_id, param="payment_method"), invoice["customer"]
    )
    return own_method(session, invoice["customer"], method_id, param="payment_method")


def pay_out_of_band(session: Session, invoice: Object) -> Object:
    """Take an invoice as paid without a charge of its own."""
    found = payment_of(session, invoice)
    if found and found[1]["status"] in intents.OPEN:
        intents.cancel(session, found[1], "automatic")
        times = found[0]["status_transitions"] | {"canceled_at": session.now}
        gone = {"status": "canceled", "status_transitions": times}
        session.change(found[0], gone, is_announced=False)
    return _mark_paid(session, invoice, is_out_of_band=True)


def take_elsewhere(session: Session, invoice: Object, amount: int) -> Object:
    """Count what was paid elsewhere; once nothing remains the invoice is paid."""
    remaining = invoice["amount_remaining"] - amount
    if not remaining:
        return pay_out_of_band(session, invoice)
    found = payment_of(session, invoice)
    if found:
        session.change(found[1], {"amount": remaining}, is_announced=False)
        session.change(found[0], {"amount_requested": remaining}, is_announced=False)
    paid = invoice["amount_paid"] + amount
    return session.change(invoice, {"amount_paid": paid, "amount_remaining": remaining})


def void(session: Session, invoice: Object) -> Object:
    """Declare that an invoice was never owed.

    Raises:
        ApiError: If it is not open or uncollectible.
    """
    if invoice["status"] not in {"open", "uncollectible"}:
        raise errors.invalid_request(
            f"An invoice with status {invoice['status']} cannot be voided.",
            code="invoice_not_editable",
        )
    found = payment_of(session, invoice)
    if found:
        payment, intent = found
        if intent["status"] in intents.OPEN:
            intents.cancel(session, intent, "void_invoice")
        times = payment["status_transitions"] | {"canceled_at": session.now}
        changes = {"status": "canceled", "status_transitions": times}
        session.change(payment, changes, is_announced=False)
    return_balance(session, invoice)
    times = invoice["status_transitions"] | {"voided_at": session.now}
    changes = {"status": "void", "status_transitions": times, "auto_advance": False}
    session.change(invoice, changes | {"next_payment_attempt": None, "status_details": None})
    session.emit("invoice.voided", invoice)
    follow(session, invoice)
    return invoice


def return_balance(session: Session, invoice: Object) -> None:
    """Give back what the invoice had used of the customer's balance."""
    customer = session.get("customer", invoice["customer"])
    used = invoice["starting_balance"] - (invoice["ending_balance"] or 0)
    if used:
        fields = {"currency": invoice["currency"], "invoice": invoice["id"]}
        customer_balance.move(session, customer, used, "unapplied_from_invoice", **fields)


def mark_uncollectible(session: Session, invoice: Object) -> Object:
    """Write an open invoice off; it can still be paid.

    Raises:
        ApiError: If it is not open.
    """
    if invoice["status"] != "open":
        raise errors.invalid_request(
            f"An invoice with status {invoice['status']} cannot be marked uncollectible.",
            code="invoice_not_editable",
        )
    times = invoice["status_transitions"] | {"marked_uncollectible_at": session.now}
    changes = {
        "next_payment_attempt": None,
        "status": "uncollectible",
        "status_details": {"uncollectible": {"reason": "user_forgiven"}},
        "status_transitions": times,
        "auto_advance": False,
    }
    session.change(invoice, changes)
    session.emit("invoice.marked_uncollectible", invoice)
    _set_delinquent(session, invoice, is_delinquent=False)
    follow(session, invoice)
    return invoice


def run_finalize(session: Session, invoice_id: str) -> None:
    """Job: a draft's hour is over; open it and charge it."""
    invoice = session.store.get(invoice_id)
    if invoice is None or invoice["status"] != "draft" or not invoice["auto_advance"]:
        return
    finalize(session, invoice)
    if invoice["status"] == "open" and not is_let_go(session, invoice):
        advance(session, invoice)


def is_let_go(session: Session, invoice: Object) -> bool:
    """Give an open invoice up if its subscription's collection is paused, and say so."""
    subscription_id = intents.subscription_of(invoice)
    subscription = session.store.get(subscription_id) if subscription_id else None
    paused = (subscription or {}).get("pause_collection")
    if not paused or paused["behavior"] == "keep_as_draft":
        return False
    (void if paused["behavior"] == "void" else mark_uncollectible)(session, invoice)
    return True


def advance(session: Session, invoice: Object) -> None:
    """Charge an open invoice by itself, or send it."""
    if invoice["collection_method"] == "send_invoice":
        session.emit("invoice.sent", invoice)
        follow(session, invoice)
        return
    collect(session, invoice, default_method(session, invoice), is_off_session=False)


def run_collect(session: Session, invoice_id: str) -> None:
    """Job: an invoice that was finalized by hand gets its first automatic charge."""
    invoice = session.store.get(invoice_id)
    if invoice and invoice["status"] == "open" and invoice["auto_advance"]:
        advance(session, invoice)


def run_overdue(session: Session, invoice_id: str) -> None:
    """Job: an invoice that was sent is due."""
    invoice = session.store.get(invoice_id)
    if invoice and invoice["status"] == "open":
        session.change(invoice, {"_is_overdue": True}, is_announced=False)
        session.emit("invoice.overdue", invoice)
        _set_delinquent(session, invoice, is_delinquent=True)
        follow(session, invoice)
