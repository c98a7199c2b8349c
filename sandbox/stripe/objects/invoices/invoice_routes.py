"""The calls on invoices and invoice payments."""

from typing import Any

from sandbox.stripe import errors
from sandbox.stripe.objects.catalog import reductions
from sandbox.stripe.objects.invoices import (
    invoice_drafts,
    invoice_edits,
    invoice_item_routes,
    invoice_items,
    invoices,
)
from sandbox.stripe.params import (
    PAGE,
    Boolean,
    Choice,
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

_PAY = Group({"off_session": Boolean(), "paid_out_of_band": Boolean(), "payment_method": Text()})
_BOTH: dict[str, Param] = {
    "auto_advance": Boolean(),
    "collection_method": Choice(("charge_automatically", "send_invoice")),
    "days_until_due": Integer(minimum=0),
    "default_payment_method": Text(),
    "description": Text(),
    "discounts": reductions.WISHES,
    "due_date": Integer(),
    "footer": Text(),
    "metadata": Metadata(),
    "number": Text(),
    "statement_descriptor": Text(),
}
_UPDATE = Group(_BOTH)
_CREATE = Group(
    {
        **_BOTH,
        "currency": Text(),
        "customer": Text(),
        "pending_invoice_items_behavior": Choice(("exclude", "include")),
        "subscription": Text(),
    },
    required=("customer",),
)
_ADD_LINES = Group(
    {
        "invoice_metadata": Metadata(),
        "lines": Many(Group({**invoice_item_routes.FIELDS, "invoice_item": Text()})),
    },
    required=("lines",),
)
_REMOVED = Group(
    {"behavior": Choice(("delete", "unassign")), "id": Text()}, required=("behavior", "id")
)
_REMOVE_LINES = Group({"lines": Many(_REMOVED)}, required=("lines",))
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
            {
                "payment_intent": Text(),
                "payment_record": Text(),
                "type": Choice(("payment_intent", "payment_record")),
            },
            required=("type",),
        ),
        "status": Choice(("canceled", "open", "paid")),
    }
)


def create(session: Session, params: dict[str, Any]) -> Object:
    """POST /v1/invoices."""
    return shown(invoice_edits.create(session, params))


def delete(session: Session, _params: dict[str, Any], invoice_id: str) -> Object:
    """DELETE /v1/invoices/{id}."""
    return invoice_edits.delete(session, session.get("invoice", invoice_id))


def add_lines(session: Session, params: dict[str, Any], invoice_id: str) -> Object:
    """POST /v1/invoices/{id}/add_lines."""
    invoice = session.get("invoice", invoice_id)
    invoice_edits.check_draft(invoice)
    items = []
    for number, line in enumerate(params["lines"]):
        if line.get("invoice_item"):
            param = f"lines[{number}][invoice_item]"
            items.append(session.get("invoiceitem", line["invoice_item"], param=param))
            continue
        fields = {name: line[name] for name in ("discountable", "period") if name in line}
        item = invoice_items.make(
            session,
            customer_id=invoice["customer"],
            **invoice_item_routes.priced(session, line, invoice["currency"]),
            **fields,
            description=line.get("description"),
            metadata=merged({}, line.get("metadata")),
        )
        items.append(item)
    invoice_edits.put_on(session, invoice, items)
    if "invoice_metadata" in params:
        metadata = merged(invoice["metadata"], params["invoice_metadata"])
        session.change(invoice, {"metadata": metadata})
    return shown(invoice)


def remove_lines(session: Session, params: dict[str, Any], invoice_id: str) -> Object:
    """POST /v1/invoices/{id}/remove_lines: they are deleted, or wait again."""
    invoice = session.get("invoice", invoice_id)
    invoice_edits.check_draft(invoice)
    lines = {line["id"]: line for line in invoice["lines"]["data"]}
    for number, entry in enumerate(params["lines"]):
        if entry["id"] not in lines:
            raise errors.missing("line_item", entry["id"], param=f"lines[{number}][id]")
        invoice_edits.remove(session, invoice, lines[entry["id"]], entry["behavior"])
    return shown(invoice)


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
    return shown(invoice_edits.update(session, session.get("invoice", invoice_id), params))


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
        session.schedule("collect_invoice", invoice_id, session.now + invoice_drafts.HOUR)
    return shown(invoice)


def send(session: Session, _params: dict[str, Any], invoice_id: str) -> Object:
    """POST /v1/invoices/{id}/send."""
    invoice = session.get("invoice", invoice_id)
    if invoice["collection_method"] != "send_invoice":
        raise errors.invalid_request(
            "You can only manually send an invoice if its collection method is 'send_invoice'."
        )
    if invoice["status"] == "draft":
        invoices.finalize(session, invoice)
    session.emit("invoice.sent", invoice)
    return shown(invoice)


def list_lines(session: Session, params: dict[str, Any], invoice_id: str) -> Object:
    """GET /v1/invoices/{id}/lines."""
    previewed = session.store.get(invoice_id)
    if previewed and previewed["object"] == "lines_of_preview":
        return part_of(previewed["lines"], "line_item", params)
    return part_of(session.get("invoice", invoice_id)["lines"], "line_item", params)


def retrieve_payment(session: Session, _params: dict[str, Any], payment_id: str) -> Object:
    """GET /v1/invoice_payments/{id}."""
    return shown(session.get("invoice_payment", payment_id))


def list_payments(session: Session, params: dict[str, Any]) -> Object:
    """GET /v1/invoice_payments."""
    filters = {name: params[name] for name in ("invoice", "status") if params.get(name)}
    wanted = params.get("payment", {})
    filters |= {f"payment.{name}": value for name, value in wanted.items() if value}
    return page_of(session, "invoice_payment", "/v1/invoice_payments", params, filters)


ROUTES = (
    Route("POST", "/v1/invoices", create, _CREATE),
    Route("DELETE", "/v1/invoices/{id}", delete),
    Route("POST", "/v1/invoices/{id}/add_lines", add_lines, _ADD_LINES),
    Route("POST", "/v1/invoices/{id}/remove_lines", remove_lines, _REMOVE_LINES),
    Route("POST", "/v1/invoices/{id}/send", send),
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
