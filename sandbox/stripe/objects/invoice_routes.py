"""The calls on invoices and invoice payments."""

from typing import Any

from sandbox.stripe import errors
from sandbox.stripe.objects import invoices
from sandbox.stripe.params import PAGE, Boolean, Choice, Group, Metadata, Range, Text
from sandbox.stripe.routing import Route
from sandbox.stripe.session import Object, Session, page_of, shown

_PAY = Group({"off_session": Boolean(), "paid_out_of_band": Boolean(), "payment_method": Text()})
_UPDATE = Group(
    {
        "auto_advance": Boolean(),
        "default_payment_method": Text(),
        "description": Text(),
        "metadata": Metadata(),
    }
)
_LIST = Group(
    {
        **PAGE,
        "collection_method": Choice(("charge_automatically", "send_invoice")),
        "created": Range(),
        "customer": Text(),
        "status": Choice(("draft", "open", "paid", "uncollectible", "void")),
        "subscription": Text(),
    }
)
_PAYMENTS = Group(
    {
        **PAGE,
        "created": Range(),
        "invoice": Text(),
        "payment": Group(
            {"payment_intent": Text(), "type": Choice(("payment_intent",))}, required=("type",)
        ),
        "status": Choice(("canceled", "open", "paid")),
    }
)


def retrieve(session: Session, _params: dict[str, Any], invoice_id: str) -> Object:
    """GET /v1/invoices/{id}."""
    return shown(session.get("invoice", invoice_id))


def list_all(session: Session, params: dict[str, Any]) -> Object:
    """GET /v1/invoices."""
    names = ("collection_method", "customer", "status")
    filters = {name: params[name] for name in names if params.get(name)}
    if params.get("subscription"):
        filters["parent.subscription_details.subscription"] = params["subscription"]
    return page_of(session, "invoice", "/v1/invoices", params, filters)


def update(session: Session, params: dict[str, Any], invoice_id: str) -> Object:
    """POST /v1/invoices/{id}."""
    return shown(invoices.update(session, session.get("invoice", invoice_id), params))


def pay(session: Session, params: dict[str, Any], invoice_id: str) -> Object:
    """POST /v1/invoices/{id}/pay."""
    return shown(invoices.pay(session, session.get("invoice", invoice_id), params))


def void(session: Session, _params: dict[str, Any], invoice_id: str) -> Object:
    """POST /v1/invoices/{id}/void."""
    return shown(invoices.void(session, session.get("invoice", invoice_id)))


def mark_uncollectible(session: Session, _params: dict[str, Any], invoice_id: str) -> Object:
    """POST /v1/invoices/{id}/mark_uncollectible."""
    return shown(invoices.mark_uncollectible(session, session.get("invoice", invoice_id)))


def finalize(session: Session, params: dict[str, Any], invoice_id: str) -> Object:
    """POST /v1/invoices/{id}/finalize."""
    invoice = session.get("invoice", invoice_id)
    if invoice["status"] != "draft":
        raise errors.invalid_request(
            "This invoice is already finalized, you cannot finalize it again.",
            code="invoice_not_editable",
        )
    if "auto_advance" in params:
        session.change(invoice, {"auto_advance": params["auto_advance"]}, is_announced=False)
    invoices.finalize(session, invoice)
    if invoice["status"] == "open" and invoice["auto_advance"]:
        session.schedule("collect_invoice", invoice_id, session.now + invoices.HOUR)
    return shown(invoice)


def list_lines(session: Session, _params: dict[str, Any], invoice_id: str) -> Object:
    """GET /v1/invoices/{id}/lines."""
    lines: Object = session.get("invoice", invoice_id)["lines"]
    return lines


def retrieve_payment(session: Session, _params: dict[str, Any], payment_id: str) -> Object:
    """GET /v1/invoice_payments/{id}."""
    return shown(session.get("invoice_payment", payment_id))


def list_payments(session: Session, params: dict[str, Any]) -> Object:
    """GET /v1/invoice_payments."""
    filters = {name: params[name] for name in ("invoice", "status") if params.get(name)}
    intent_id = params.get("payment", {}).get("payment_intent")
    if intent_id:
        filters["payment.payment_intent"] = intent_id
    return page_of(session, "invoice_payment", "/v1/invoice_payments", params, filters)


ROUTES = (
    Route("GET", "/v1/invoices", list_all, _LIST),
    Route("GET", "/v1/invoices/{id}", retrieve),
    Route("POST", "/v1/invoices/{id}", update, _UPDATE),
    Route("POST", "/v1/invoices/{id}/pay", pay, _PAY),
    Route("POST", "/v1/invoices/{id}/void", void),
    Route("POST", "/v1/invoices/{id}/mark_uncollectible", mark_uncollectible),
    Route("POST", "/v1/invoices/{id}/finalize", finalize, Group({"auto_advance": Boolean()})),
    Route("GET", "/v1/invoices/{id}/lines", list_lines, Group(PAGE)),
    Route("GET", "/v1/invoice_payments", list_payments, _PAYMENTS),
    Route("GET", "/v1/invoice_payments/{id}", retrieve_payment),
)
