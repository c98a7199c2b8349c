"""Payments made elsewhere that pay an invoice, as a whole or in part."""

from typing import Any

from sandbox.stripe import errors
from sandbox.stripe.objects.invoices import invoice_shape, invoices
from sandbox.stripe.objects.payments import payment_records
from sandbox.stripe.params import Group, Text
from sandbox.stripe.routing import Route
from sandbox.stripe.session import Object, Session, shown


def attach(session: Session, params: dict[str, Any], invoice_id: str) -> Object:
    """POST /v1/invoices/{id}/attach_payment."""
    invoice = session.get("invoice", invoice_id)
    record = session.get(payment_records.KIND, params["payment_record"], param="payment_record")
    if invoice["status"] not in {"open", "uncollectible"}:
        raise errors.invalid_request(
            f"An invoice with status {invoice['status']} takes no payment.",
            code="invoice_not_editable",
        )
    paid = record["amount_guaranteed"]
    if paid["currency"] != invoice["currency"] or not paid["value"] > 0:
        raise errors.invalid_request(
            "The payment record must be guaranteed, in the invoice's currency.",
            param="payment_record",
        )
    if paid["value"] > invoice["amount_remaining"]:
        raise errors.invalid_request(
            "The payment record is over more than what remains of the invoice.",
            param="payment_record",
        )
    payment = session.create(invoice_shape.payment_by_record(session, invoice, record))
    session.emit("invoice_payment.paid", payment)
    return shown(invoices.take_elsewhere(session, invoice, paid["value"]))


ROUTES = (
    Route(
        "POST",
        "/v1/invoices/{id}/attach_payment",
        attach,
        Group({"payment_record": Text()}, required=("payment_record",)),
    ),
)
