"""The calls on invoice items."""

from fractions import Fraction
from typing import Any

from sandbox.stripe import amounts, errors
from sandbox.stripe.currencies import rounded
from sandbox.stripe.objects.catalog import prices, reductions
from sandbox.stripe.objects.customers import customer_currency
from sandbox.stripe.objects.invoices import invoice_edits, invoice_items, invoice_lines
from sandbox.stripe.params import (
    PAGE,
    Boolean,
    Choice,
    Decimals,
    Group,
    Integer,
    Metadata,
    Param,
    Range,
    Text,
)
from sandbox.stripe.routing import Route
from sandbox.stripe.session import Object, Session, deleted, merged, page_of, shown

PRICE_DATA = Group(
    {
        "currency": Text(),
        "product": Text(),
        "tax_behavior": Choice(("exclusive", "inclusive", "unspecified")),
        "unit_amount": Integer(),
    },
    required=("currency", "product", "unit_amount"),
)
FIELDS: dict[str, Param] = {
    "amount": Integer(),
    "description": Text(),
    "discountable": Boolean(),
    "metadata": Metadata(),
    "period": Group({"end": Integer(), "start": Integer()}, required=("end", "start")),
    "price_data": PRICE_DATA,
    "pricing": Group({"price": Text()}),
    "quantity": Integer(minimum=0),
}
_BOTH: dict[str, Param] = {
    **FIELDS,
    "discounts": reductions.WISHES,
    "unit_amount_decimal": Decimals(),
}
_CREATE = Group(
    {
        **_BOTH,
        "currency": Text(),
        "customer": Text(),
        "invoice": Text(),
        "subscription": Text(),
    },
    required=("customer",),
)
_UPDATE = Group({**_BOTH, "invoicing_rules": Choice(("",))})
_LIST = Group(
    {
        **PAGE,
        "created": Range(),
        "customer": Text(),
        "invoice": Text(),
        "pending": Boolean(),
    }
)


def create(session: Session, params: dict[str, Any]) -> Object:
    """POST /v1/invoiceitems."""
    customer = session.get("customer", params["customer"], param="customer")
    parent = None
    if params.get("subscription"):
        subscription = session.get("subscription", params["subscription"], param="subscription")
        details = {"subscription": subscription["id"]}
        parent = {"subscription_details": details, "type": "subscription_details"}
    invoice = None
    if params.get("invoice"):
        invoice = session.get("invoice", params["invoice"], param="invoice")
    default = invoice["currency"] if invoice else customer["currency"]
    terms = priced(session, params, (params.get("currency") or default or "usd").lower())
    amounts.check_currency(terms["currency"])
    if invoice is None:
        customer_currency.check(session, customer["id"], terms["currency"])
    fields = {name: params[name] for name in ("discountable", "period") if name in params}
    item = invoice_items.make(
        session,
        customer_id=customer["id"],
        **terms,
        **fields,
        description=params.get("description") or terms_name(session, terms),
        metadata=merged({}, params.get("metadata")),
        parent=parent,
    )
    if "discounts" in params:
        session.change(item, {"discounts": _wished(session, item, params)}, is_announced=False)
    customer_currency.use(session, customer, item["currency"])
    if invoice is not None:
        invoice_edits.put_on(session, invoice, [item])
    return shown(item)


def _wished(session: Session, item: Object, params: dict[str, Any]) -> list[str]:
    return reductions.wanted(session, params["discounts"], item, invoice_item=item["id"])


def terms_name(session: Session, terms: dict[str, Any]) -> str | None:
    """Return the description of an item that has none of its own: its product's name."""
    details = terms["pricing"].get("price_details")
    return details and invoice_lines.product_name(session, details)


def priced(session: Session, params: dict[str, Any], currency: str) -> dict[str, Any]:
    """Return amount, currency, quantity and pricing that parameters ask for.

    Raises:
        ApiError: If they name none, or the price is not for single payments.
    """
    quantity = params.get("quantity", 1)
    price = None
    if "price_data" in params:
        price = prices.inline(session, params["price_data"], "price_data")
    elif params.get("pricing", {}).get("price"):
        price = session.get("price", params["pricing"]["price"], param="pricing[price]")
        if price["recurring"] is not None:
            raise errors.invalid_request(
                "The price specified is set to `type=recurring` but this field only accepts "
                "prices with `type=one_time`.",
                param="pricing[price]",
            )
    if price is not None:
        currency = price["currency"]
        amount = rounded(prices.cost(price, quantity), currency)
        pricing = invoice_lines.pricing_of(price, price["unit_amount_decimal"])
    elif "unit_amount_decimal" in params or "amount" in params:
        unit = params.get("unit_amount_decimal")
        amount = params["amount"] if unit is None else rounded(Fraction(unit) * quantity, currency)
        each = unit or invoice_lines.unit_of(amount, quantity)
        pricing = {"type": "price_details", "unit_amount_decimal": each}
    else:
        raise errors.bad_parameter(
            "Missing required param: amount.", code="parameter_missing", param="amount"
        )
    return {"amount": amount, "currency": currency, "pricing": pricing, "quantity": quantity}


def retrieve(session: Session, _params: dict[str, Any], item_id: str) -> Object:
    """GET /v1/invoiceitems/{id}."""
    return shown(session.get("invoiceitem", item_id))


def update(session: Session, params: dict[str, Any], item_id: str) -> Object:
    """POST /v1/invoiceitems/{id}."""
    item = session.get("invoiceitem", item_id)
    invoice = _editable_invoice(session, item)
    names = ("description", "discountable", "period")
    changes = {name: params[name] for name in names if name in params}
    if params.keys() & {"amount", "price_data", "pricing", "quantity", "unit_amount_decimal"}:
        known = {"unit_amount_decimal": item["pricing"]["unit_amount_decimal"]}
        is_priced = params.keys() & {"amount", "price_data", "pricing", "unit_amount_decimal"}
        wanted = {"quantity": item["quantity"], **({} if is_priced else known), **params}
        terms = priced(session, wanted, item["currency"])
        changes |= {**terms, "quantity_decimal": str(terms["quantity"])}
    if "discounts" in params:
        changes["discounts"] = _wished(session, item, params)
    if "metadata" in params:
        changes["metadata"] = merged(item["metadata"], params["metadata"])
    if "invoicing_rules" in params:
        changes["invoicing_rules"] = []
    session.change(item, changes, is_announced=False)
    if invoice is not None:
        invoice_edits.take_off(session, invoice, item)
        invoice_edits.put_on(session, invoice, [item])
    return shown(item)


def delete(session: Session, _params: dict[str, Any], item_id: str) -> Object:
    """DELETE /v1/invoiceitems/{id}."""
    item = session.get("invoiceitem", item_id)
    invoice = _editable_invoice(session, item)
    if invoice is not None:
        invoice_edits.take_off(session, invoice, item)
    session.store.delete(item_id)
    session.emit("invoiceitem.deleted", item)
    return deleted(item)


def _editable_invoice(session: Session, item: Object) -> Object | None:
    """Return the draft that an item is on, if it is on any."""
    if item["invoice"] is None:
        return None
    invoice = session.get("invoice", item["invoice"])
    invoice_edits.check_draft(invoice)
    return invoice


def list_all(session: Session, params: dict[str, Any]) -> Object:
    """GET /v1/invoiceitems."""
    filters: dict[str, Any] = {
        name: params[name] for name in ("customer", "invoice") if params.get(name)
    }
    if "pending" in params:
        filters["_is_pending"] = int(params["pending"])
    return page_of(session, "invoiceitem", "/v1/invoiceitems", params, filters)


ROUTES = (
    Route("POST", "/v1/invoiceitems", create, _CREATE),
    Route("GET", "/v1/invoiceitems", list_all, _LIST),
    Route("GET", "/v1/invoiceitems/{id}", retrieve),
    Route("POST", "/v1/invoiceitems/{id}", update, _UPDATE),
    Route("DELETE", "/v1/invoiceitems/{id}", delete),
)
