"""Credit notes: an open invoice asks for less, or a paid one gives some back."""

from typing import Any

from sandbox.stripe import errors
from sandbox.stripe.objects.customers import customer_balance
from sandbox.stripe.objects.invoices import credit_note_shape, invoices
from sandbox.stripe.objects.payments import intents, refunds
from sandbox.stripe.params import (
    PAGE,
    Choice,
    Decimals,
    Group,
    Integer,
    Many,
    Metadata,
    Param,
    Range,
    Text,
)
from sandbox.stripe.routing import Route
from sandbox.stripe.session import Object, Session, merged, page_of, part_of, shown

KIND = "credit_note"
_URL = "/v1/credit_notes"
_WAYS = ("credit_amount", "out_of_band_amount", "refund_amount")
_LINE = Group(
    {
        "amount": Integer(minimum=0),
        "description": Text(),
        "invoice_line_item": Text(),
        "metadata": Metadata(),
        "quantity": Integer(minimum=1),
        "type": Choice(("custom_line_item", "invoice_line_item")),
        "unit_amount": Integer(minimum=0),
        "unit_amount_decimal": Decimals(),
    },
    required=("type",),
)
_TEXTS: dict[str, Param] = {"memo": Text(), "metadata": Metadata()}
_CREATE = Group(
    {
        **_TEXTS,
        **{name: Integer(minimum=0) for name in ("amount", *_WAYS)},
        "effective_at": Integer(),
        "email_type": Choice(("credit_note", "none")),
        "invoice": Text(),
        "lines": Many(_LINE),
        "reason": Choice(("duplicate", "fraudulent", "order_change", "product_unsatisfactory")),
    },
    required=("invoice",),
)


def create(session: Session, params: dict[str, Any]) -> Object:
    """POST /v1/credit_notes."""
    invoice = session.get("invoice", params["invoice"], param="invoice")
    note = _drawn_up(session, invoice, params)
    session.create(note)
    if note["type"] == "pre_payment":
        _reduce(session, invoice, note["amount"])
    else:
        _give_back(session, invoice, note, params)
    session.emit("credit_note.created", note)
    return shown(note)


def preview(session: Session, params: dict[str, Any]) -> Object:
    """GET /v1/credit_notes/preview."""
    invoice = session.get("invoice", params["invoice"], param="invoice")
    return shown(_drawn_up(session, invoice, params))


def preview_lines(session: Session, params: dict[str, Any]) -> Object:
    """GET /v1/credit_notes/preview/lines."""
    invoice = session.get("invoice", params["invoice"], param="invoice")
    lines = _drawn_up(session, invoice, params)["lines"] | {"url": f"{_URL}/preview/lines"}
    return part_of(lines, "credit_note_line_item", params)


def _drawn_up(session: Session, invoice: Object, params: dict[str, Any]) -> Object:
    if invoice["status"] not in {"open", "paid"}:
        raise errors.invalid_request(
            f"An invoice with status {invoice['status']} takes no credit note.", param="invoice"
        )
    note = credit_note_shape.body(session, invoice, params)
    given = {name: params[name] for name in _WAYS if params.get(name)}
    credited = invoice["pre_payment_credit_notes_amount"]
    credited += invoice["post_payment_credit_notes_amount"]
    is_open = invoice["status"] == "open"
    most = invoice["amount_remaining"] if is_open else invoice["total"] - credited
    if not 0 < note["amount"] <= most:
        raise errors.invalid_request(
            f"The amount of this credit note must be above 0 and at most {most}.", param="amount"
        )
    if is_open and given:
        raise errors.invalid_request(
            "An open invoice has nothing to give back: pass none of " + ", ".join(_WAYS) + "."
        )
    if not is_open and sum(given.values()) != note["amount"]:
        raise errors.invalid_request(
            "The sum of credit amount, refund amount and out of band amount "
            f"({sum(given.values())}) must equal the credit note amount ({note['amount']})."
        )
    return note


def _reduce(session: Session, invoice: Object, amount: int) -> None:
    """Ask for less; for more again, if the amount is below zero."""
    due = invoice["amount_due"] - amount
    credited = invoice["pre_payment_credit_notes_amount"] + amount
    changes = {"amount_due": due, "amount_remaining": due}
    session.change(invoice, {**changes, "pre_payment_credit_notes_amount": credited})
    found = invoices.payment_of(session, invoice)
    if due == 0:
        invoices.pay_out_of_band(session, invoice)
    elif found and found[1]["status"] in intents.OPEN:
        payment, intent = found
        session.change(intent, {"amount": due}, is_announced=False)
        session.change(payment, {"amount_requested": due}, is_announced=False)


def _give_back(session: Session, invoice: Object, note: Object, params: dict[str, Any]) -> None:
    changes: dict[str, Any] = {}
    if params.get("refund_amount"):
        refund = _refund(session, invoice, params["refund_amount"])
        entry = {"amount_refunded": refund["amount"], "refund": refund["id"], "type": "refund"}
        changes["refunds"] = [entry | {"payment_record_refund": None}]
    if params.get("credit_amount"):
        customer = session.get("customer", invoice["customer"])
        fields = {"currency": invoice["currency"], "credit_note": note["id"]}
        amount = -params["credit_amount"]
        moved = customer_balance.move(session, customer, amount, "credit_note", **fields)
        changes["customer_balance_transaction"] = moved["id"]
    session.change(note, changes, is_announced=False)
    credited = invoice["post_payment_credit_notes_amount"] + note["amount"]
    session.change(invoice, {"post_payment_credit_notes_amount": credited})


def _refund(session: Session, invoice: Object, amount: int) -> Object:
    found = invoices.payment_of(session, invoice)
    if found is None or found[1]["status"] != "succeeded":
        raise errors.invalid_request(
            "This invoice was not paid by a charge, so nothing of it can be refunded.",
            param="refund_amount",
        )
    return refunds.create(session, {"payment_intent": found[1]["id"], "amount": amount})


def void(session: Session, _params: dict[str, Any], note_id: str) -> Object:
    """POST /v1/credit_notes/{id}/void: while the invoice is open."""
    note = session.get(KIND, note_id)
    invoice = session.get("invoice", note["invoice"])
    if note["status"] == "void":
        raise errors.invalid_request("This credit note is void already.")
    if note["type"] != "pre_payment" or invoice["status"] != "open":
        raise errors.invalid_request("Only a credit note of an open invoice can be voided.")
    changes = {"status": "void", "voided_at": session.now}
    session.change(note, changes, is_announced=False)
    _reduce(session, invoice, -note["amount"])
    session.emit("credit_note.voided", note)
    return shown(note)


def retrieve(session: Session, _params: dict[str, Any], note_id: str) -> Object:
    """GET /v1/credit_notes/{id}."""
    return shown(session.get(KIND, note_id))


def update(session: Session, params: dict[str, Any], note_id: str) -> Object:
    """POST /v1/credit_notes/{id}."""
    note = session.get(KIND, note_id)
    changes = {"memo": params["memo"]} if "memo" in params else {}
    if "metadata" in params:
        changes["metadata"] = merged(note["metadata"], params["metadata"])
    return shown(session.change(note, changes))


def list_lines(session: Session, params: dict[str, Any], note_id: str) -> Object:
    """GET /v1/credit_notes/{id}/lines."""
    return part_of(session.get(KIND, note_id)["lines"], "credit_note_line_item", params)


def list_all(session: Session, params: dict[str, Any]) -> Object:
    """GET /v1/credit_notes."""
    filters = {name: params[name] for name in ("customer", "invoice") if params.get(name)}
    return page_of(session, KIND, _URL, params, filters)


ROUTES = (
    Route("POST", _URL, create, _CREATE),
    Route(
        "GET",
        _URL,
        list_all,
        Group({**PAGE, "created": Range(), "customer": Text(), "invoice": Text()}),
    ),
    Route("GET", f"{_URL}/preview", preview, _CREATE),
    Route(
        "GET",
        f"{_URL}/preview/lines",
        preview_lines,
        Group({**_CREATE.fields, **PAGE}, ("invoice",)),
    ),
    Route("GET", f"{_URL}/{{id}}", retrieve),
    Route("POST", f"{_URL}/{{id}}", update, Group(_TEXTS)),
    Route("GET", f"{_URL}/{{id}}/lines", list_lines, Group(PAGE)),
    Route("POST", f"{_URL}/{{id}}/void", void),
)
