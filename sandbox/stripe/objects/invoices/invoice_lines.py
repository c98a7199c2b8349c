"""The lines of invoices: a subscription's items for a period, and invoice items."""

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

from sandbox.stripe.currencies import rounded, worded
from sandbox.stripe.objects.catalog import prices, reductions
from sandbox.stripe.objects.invoices import prorations
from sandbox.stripe.objects.subscriptions import subscription_periods
from sandbox.stripe.session import Object, Session, new_id


def product_name(session: Session, price: Object) -> str:
    """Return what a price is sold as."""
    product = session.store.get(price["product"])
    name: str = product["name"] if product else price["product"]
    return name


def unit_of(amount: int, quantity: int) -> str:
    """Return the amount for one of a quantity, with at most twelve decimals."""
    each = round(Decimal(amount) / max(quantity, 1), 12).normalize()
    return f"{each:f}"


def proration_text(
    session: Session, price: Object, quantity: int, moment: int, *, is_credit: bool
) -> str:
    """Return the description of a credit or debit since a moment."""
    name = product_name(session, price)
    what = name if quantity == 1 else f"{quantity} × {name}"  # noqa: RUF001
    day = datetime.fromtimestamp(moment, UTC)
    kind = "Unused" if is_credit else "Remaining"
    return f"{kind} time on {what} after {day.day} {day:%b %Y}"


def of_period(
    session: Session,
    subscription: Object,
    invoice_id: str,
    *,
    is_free: bool,
    is_whole: bool,
) -> list[Object]:
    """Return one line for each item of a subscription, for the period that it is in.

    Args:
        session: The unit of work.
        subscription: As it is in that period.
        invoice_id: Whose lines they are.
        is_free: Whether it costs nothing.
        is_whole: Whether it costs what a whole period costs, even if it is cut short.
    """
    start, end = subscription_periods.period_of(subscription)
    whole = subscription_periods.natural_period(subscription, start)
    is_partial = not (is_free or is_whole) and (start, end) != whole
    billed_until = whole[1] if is_whole and not is_free else end
    nets = reductions.net_prices(session, subscription) if is_partial else {}
    lines = []
    for item in subscription["items"]["data"]:
        if prices.is_metered(item["price"]):
            continue
        price, quantity = item["price"], item["quantity"]
        if is_free:
            fields = _free(session, price, quantity)
        elif is_partial:
            part = prorations.share(nets[item["id"]].amount, (start, end), whole, price["currency"])
            fields = _partial(session, price, quantity, part, start)
        else:
            fields = _full(session, price, quantity)
        body = _line(
            invoice_id,
            **fields,
            currency=price["currency"],
            metadata=dict(subscription["metadata"]),
            parent=_item_parent(subscription["id"], item["id"], is_proration=is_partial),
            period={"end": billed_until, "start": start},
            quantity=quantity,
            discountable=not is_partial,
            discounts=item["discounts"],
            subscription=subscription["id"],
        )
        lines.append(body)
    return lines


def _free(session: Session, price: Object, quantity: int) -> Object:
    text = f"Free trial for {_worded(session, price, quantity)}"
    return {"amount": 0, "description": text, "pricing": pricing_of(price, "0")}


def _partial(session: Session, price: Object, quantity: int, amount: int, since: int) -> Object:
    text = proration_text(session, price, quantity, since, is_credit=False)
    pricing = pricing_of(price, unit_of(amount, quantity))
    return {"amount": amount, "description": text, "pricing": pricing}


def _full(session: Session, price: Object, quantity: int) -> Object:
    return {
        "amount": rounded(prices.cost(price, quantity), price["currency"]),
        "description": _worded(session, price, quantity),
        "pricing": pricing_of(price, price["unit_amount_decimal"]),
    }


def _worded(session: Session, price: Object, quantity: int) -> str:
    recurring = price["recurring"]
    count, interval = recurring["interval_count"], recurring["interval"]
    every = interval if count == 1 else f"every {count} {interval}s"
    each = worded(Fraction(price["unit_amount_decimal"]), price["currency"])
    return f"{quantity} × {product_name(session, price)} (at {each} / {every})"  # noqa: RUF001


def of_usage(
    session: Session,
    subscription: Object,
    invoice_id: str,
    item: Object,
    used: Decimal,
    period: tuple[int, int],
) -> Object:
    """Return the line for what was used of a metered item in a period that is over."""
    price, quantity = item["price"], int(used)
    exact = prices.cost(price, Fraction(used))
    return _line(
        invoice_id,
        amount=rounded(exact, price["currency"]),
        currency=price["currency"],
        description=_worded(session, price, quantity),
        metadata=dict(subscription["metadata"]),
        parent=_item_parent(subscription["id"], item["id"], is_proration=False),
        period={"end": period[1], "start": period[0]},
        pricing=pricing_of(price, price["unit_amount_decimal"]),
        quantity=quantity,
        quantity_decimal=f"{used.normalize():f}",
        discountable=True,
        discounts=item["discounts"],
        subscription=subscription["id"],
    )


def of_invoice_item(item: Object, invoice_id: str, credited: Object | None) -> Object:
    """Return the line of an invoice item; `credited` names the lines that it takes back."""
    details = (item["parent"] or {}).get("subscription_details") or {}
    subscription_id = details.get("subscription")
    if details.get("subscription_item"):
        parent = _item_parent(
            subscription_id,
            details["subscription_item"],
            invoice_item=item["id"],
            is_proration=item["proration"],
            credited=credited,
        )
    else:
        parent = {
            "invoice_item_details": {
                "invoice_item": item["id"],
                "proration": False,
                "proration_details": {"credited_items": None},
                "subscription": subscription_id,
            },
            "subscription_item_details": None,
            "type": "invoice_item_details",
        }
    return _line(
        invoice_id,
        amount=item["amount"],
        currency=item["currency"],
        description=item["description"],
        metadata=dict(item["metadata"]),
        parent=parent,
        period=item["period"],
        pricing=item["pricing"],
        quantity=item["quantity"],
        discountable=item["discountable"],
        discounts=item["discounts"],
        subscription=subscription_id,
    )


def pricing_of(price: Object, unit: str) -> Object:
    """Return what a line or invoice item says of its price."""
    return {
        "price_details": {"price": price["id"], "product": price["product"]},
        "type": "price_details",
        "unit_amount_decimal": unit,
    }


def _item_parent(
    subscription_id: str | None,
    item_id: str,
    *,
    is_proration: bool,
    invoice_item: str | None = None,
    credited: Object | None = None,
) -> Object:
    return {
        "invoice_item_details": None,
        "subscription_item_details": {
            "invoice_item": invoice_item,
            "proration": is_proration,
            "proration_details": {"credited_items": credited},
            "subscription": subscription_id,
            "subscription_item": item_id,
        },
        "type": "subscription_item_details",
    }


def _line(invoice_id: str, **fields: object) -> Object:
    return {
        "id": new_id("il"),
        "object": "line_item",
        "discount_amounts": [],
        "discounts": [],
        "invoice": invoice_id,
        "livemode": False,
        "pretax_credit_amounts": [],
        "quantity_decimal": str(fields["quantity"]),
        "subtotal": fields["amount"],
        "taxes": [],
        **fields,
    }
