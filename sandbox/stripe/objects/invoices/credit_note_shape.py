"""What credit notes and their lines look like, and what they come to."""

from fractions import Fraction
from typing import Any

from sandbox.stripe import errors
from sandbox.stripe.currencies import rounded
from sandbox.stripe.session import Object, Session, listing, merged, new_id

_NOTHING: Object = {
    "amount_shipping": 0,
    "customer_account": None,
    "discount_amount": 0,
    "discount_amounts": [],
    "livemode": False,
    "pretax_credit_amounts": [],
    "shipping_cost": None,
    "total_taxes": [],
    "voided_at": None,
}


def body(session: Session, invoice: Object, params: dict[str, Any]) -> Object:
    """Return a credit note that is not saved yet and has no effect."""
    note_id = new_id("cn")
    lines = _lines(invoice, params)
    amount = sum(line["amount"] for line in lines)
    is_open = invoice["status"] == "open"
    return {
        **_NOTHING,
        "id": note_id,
        "object": "credit_note",
        "amount": amount,
        "created": session.now,
        "currency": invoice["currency"],
        "customer": invoice["customer"],
        "customer_balance_transaction": None,
        "effective_at": params.get("effective_at", session.now),
        "invoice": invoice["id"],
        "lines": listing(f"/v1/credit_notes/{note_id}/lines", lines),
        "memo": params.get("memo"),
        "metadata": merged({}, params.get("metadata")),
        "number": f"{invoice['number']}-CN-{_count(session, invoice) + 1:02d}",
        "out_of_band_amount": params.get("out_of_band_amount"),
        "pdf": f"{session.base_url}/credit_notes/{note_id}/pdf",
        "post_payment_amount": 0 if is_open else amount,
        "pre_payment_amount": amount if is_open else 0,
        "reason": params.get("reason"),
        "refunds": [],
        "status": "issued",
        "subtotal": amount,
        "subtotal_excluding_tax": amount,
        "total": amount,
        "total_excluding_tax": amount,
        "type": "pre_payment" if is_open else "post_payment",
    }


def _count(session: Session, invoice: Object) -> int:
    return len(session.find("credit_note", invoice=invoice["id"]))


def _lines(invoice: Object, params: dict[str, Any]) -> list[Object]:
    wanted = params.get("lines", [])
    if not wanted and not params.get("amount"):
        raise errors.bad_parameter(
            "One of the following params should be provided for this request: amount or lines.",
            code="parameter_missing",
        )
    if not wanted:
        return [_line(params["amount"], 1, str(params["amount"]), type="custom_line_item")]
    lines = [_priced(invoice, entry, f"lines[{n}]") for n, entry in enumerate(wanted)]
    total = sum(line["amount"] for line in lines)
    if params.get("amount") not in {None, total}:
        raise errors.invalid_request(f"The lines come to {total}.", param="amount")
    return lines


def _priced(invoice: Object, entry: dict[str, Any], path: str) -> Object:
    kind = entry["type"]
    source: Object = {}
    if kind == "invoice_line_item":
        source = _invoice_line(invoice, entry, path)
    unit = entry.get("unit_amount_decimal") or entry.get("unit_amount")
    quantity: int = entry.get("quantity") or source.get("quantity") or 1
    if unit is None and source:
        unit = str(Fraction(source["amount"]) / max(source["quantity"] or 1, 1))
    if entry.get("amount") is None and unit is None:
        raise errors.bad_parameter(
            f"Missing required param: {path}[unit_amount].",
            code="parameter_missing",
            param=f"{path}[unit_amount]",
        )
    amount = entry.get("amount")
    if amount is None:
        amount = rounded(Fraction(str(unit)) * quantity, invoice["currency"])
    description = entry.get("description") or source.get("description")
    each = str(entry.get("unit_amount_decimal") or entry.get("unit_amount") or "")
    return _line(
        amount,
        quantity,
        each or None,
        type=kind,
        description=description,
        **({"invoice_line_item": source["id"]} if source else {}),
        metadata=merged({}, entry.get("metadata")),
    )


def _invoice_line(invoice: Object, entry: dict[str, Any], path: str) -> Object:
    for line in invoice["lines"]["data"]:
        if line["id"] == entry.get("invoice_line_item"):
            found: Object = line
            return found
    raise errors.missing(
        "invoice line item",
        str(entry.get("invoice_line_item")),
        param=f"{path}[invoice_line_item]",
    )


def _line(amount: int, quantity: int, each: str | None, **fields: Any) -> Object:
    is_whole = each is not None and Fraction(each) % 1 == 0
    return {
        "id": new_id("cnli"),
        "object": "credit_note_line_item",
        "amount": amount,
        "description": None,
        "discount_amount": 0,
        "discount_amounts": [],
        "livemode": False,
        "metadata": {},
        "pretax_credit_amounts": [],
        "quantity": quantity,
        "tax_rates": [],
        "taxes": [],
        "unit_amount": int(Fraction(each)) if each is not None and is_whole else None,
        "unit_amount_decimal": each,
        **fields,
    }
