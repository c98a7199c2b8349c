"""What happens when a customer presses the button of a Checkout session."""

from typing import Any

from sandbox.stripe import cards, errors
from sandbox.stripe.declines import AUTHENTICATION_REQUIRED, name_of
from sandbox.stripe.objects.catalog import redemptions
from sandbox.stripe.objects.customers import addresses, customers, payment_methods, setup_intents
from sandbox.stripe.objects.hosted import checkout_sessions, checkout_shape
from sandbox.stripe.objects.invoices import (
    invoice_edits,
    invoice_item_routes,
    invoice_items,
    invoices,
)
from sandbox.stripe.objects.payments import authentication, charges, intents
from sandbox.stripe.objects.subscriptions import subscription_start
from sandbox.stripe.session import Object, Session, merged

_KEPT = (
    "billing_cycle_anchor", "billing_mode", "description", "metadata", "proration_behavior",
    "trial_end", "trial_period_days", "trial_settings",
)  # fmt: skip


def complete(session: Session, checkout_id: str, given: dict[str, Any]) -> Object:
    """Pay, set up or subscribe, as the session's mode says.

    Args:
        session: The unit of work.
        checkout_id: A session that is open.
        given: What the customer typed in: `payment_method`, `promotion_code` (the code itself),
            `email` and `name`.

    Returns:
        The session, complete.

    Raises:
        ApiError: If it is not open, the code is none, or the card says no; after a decline it stays
            open for another try.
    """
    checkout = session.get(checkout_sessions.KIND, checkout_id)
    if checkout["customer"]:
        session.get("customer", checkout["customer"])
    if checkout["status"] != "open":
        raise errors.invalid_request(f"This Checkout Session is {checkout['status']}.")
    coupon, code = _reduce(session, checkout, given.get("promotion_code"))
    method = _method(session, checkout, given)
    customer_id = _customer(session, checkout, given)
    _update_customer(session, checkout, given)
    if checkout["mode"] == "subscription":
        _subscribe(session, checkout, method, str(customer_id))
    elif checkout["mode"] == "payment":
        _pay(session, checkout, method, customer_id)
        if coupon and not checkout["invoice"]:
            redemptions.redeem(session, coupon, code, customer_id, checkout_session=checkout_id)
    else:
        _set_up(session, checkout, method, customer_id)
    is_free = not checkout["amount_total"]
    changes = {
        "customer": customer_id,
        "customer_details": _details(session, checkout, customer_id, given),
        "payment_status": "no_payment_required" if is_free else "paid",
        "status": "complete",
        "url": None,
    }
    session.change(checkout, changes, is_announced=False)
    session.emit("checkout.session.completed", checkout)
    return checkout


def _reduce(
    session: Session, checkout: Object, typed: str | None
) -> tuple[Object | None, Object | None]:
    """Return the coupon and the promotion code that count, with the amounts made up for them."""
    wish: dict[str, Any] | None = checkout["discounts"][0] if checkout["discounts"] else None
    if typed:
        if not checkout["allow_promotion_codes"]:
            raise errors.invalid_request("This session takes no promotion codes.")
        found = session.find("promotion_code", _folded=typed.lower(), active=1)
        if not found:
            raise errors.invalid_request(f"There is no promotion code {typed}.")
        wish = {"coupon": None, "promotion_code": found[0]["id"]}
    if wish is None:
        return None, None
    due = (sum(line["amount_subtotal"] for line in checkout["_lines"]), checkout["currency"])
    owner = checkout["customer"]
    coupon, code = redemptions.check(
        session, wish, owner, param="discounts[0]", amount=due, currency=checkout["currency"]
    )
    changes = {"discounts": [wish], **checkout_shape.totals(checkout, coupon)}
    session.change(checkout, changes, is_announced=False)
    return coupon, code


def _method(session: Session, checkout: Object, given: dict[str, Any]) -> Object | None:
    is_needed = checkout["mode"] == "setup" or bool(checkout["amount_total"])
    if checkout["payment_method_collection"] == "always":
        is_needed = True
    if given.get("payment_method"):
        method = payment_methods.take(session, given["payment_method"])
        payment_methods.check_usable(method, checkout["customer"])
        return method
    if is_needed:
        raise errors.bad_parameter(
            "Missing required param: payment_method.",
            code="parameter_missing",
            param="payment_method",
        )
    return None


def _customer(session: Session, checkout: Object, given: dict[str, Any]) -> str | None:
    """Return whose session it is; a customer is made where the mode or the session wants one."""
    owner: str | None = checkout["customer"] or checkout.get("_customer")
    is_kept = checkout["mode"] == "payment" and "setup_future_usage" in checkout["_data"]
    is_billed = (checkout["invoice_creation"] or {}).get("enabled")
    is_wanted = checkout["customer_creation"] == "always" or checkout["mode"] == "subscription"
    is_wanted = is_wanted or is_billed
    if owner or not (is_kept or is_wanted):
        return owner
    email = checkout["customer_email"] or given.get("email")
    made: str = customers.create(session, {"email": email, "name": given.get("name")})["id"]
    # Reason: another try, after a card that was declined, is the same customer's.
    session.change(checkout, {"_customer": made}, is_announced=False)
    return made


def _update_customer(session: Session, checkout: Object, given: dict[str, Any]) -> None:
    """Keep a name that an existing customer typed in, if the session was told to."""
    is_kept = checkout["customer"] and checkout["_customer_update"].get("name") == "auto"
    if is_kept and given.get("name"):
        customers.update(session, {"name": given["name"]}, checkout["customer"])


def _subscribe(session: Session, checkout: Object, method: Object | None, customer_id: str) -> None:
    params = {name: value for name, value in checkout["_data"].items() if name in _KEPT}
    params |= {
        "customer": customer_id,
        "add_invoice_items": _entries(checkout, is_recurring=False),
        "items": _entries(checkout, is_recurring=True),
        "payment_behavior": "error_if_incomplete",
    }
    if method:
        payment_methods.own(session, method, customer_id)
        params["default_payment_method"] = method["id"]
        if _is_to_be_challenged(method):
            params["payment_behavior"] = "allow_incomplete"
    if checkout["discounts"]:
        (wish,) = checkout["discounts"]
        params["discounts"] = [{name: value for name, value in wish.items() if value}]
    made = subscription_start.create(session, params)
    if method and made["status"] == "incomplete":
        found = invoices.payment_of(session, session.get("invoice", made["latest_invoice"]))
        if found:
            _answer_challenge(session, found[1])
            invoices.refuse_unless_paid(found[1], method)
    changes = {"subscription": made["id"], "invoice": made["latest_invoice"]}
    session.change(checkout, changes, is_announced=False)


def _entries(checkout: Object, *, is_recurring: bool) -> list[dict[str, Any]]:
    """Return the lines with recurring prices, or the others, as a subscription takes them."""
    return [
        {"price": line["price"]["id"]}
        | ({} if line["quantity"] is None else {"quantity": line["quantity"]})
        for line in checkout["_lines"]
        if (line["price"]["recurring"] is not None) == is_recurring
    ]


def _is_to_be_challenged(method: Object) -> bool:
    upcoming = method["_script"][min(method["_used"], len(method["_script"]) - 1)]
    is_scripted: bool = name_of(upcoming) == AUTHENTICATION_REQUIRED
    return is_scripted or cards.is_challenged(method, is_off_session=False)


def _answer_challenge(session: Session, intent: Object) -> None:
    """Pass 3-D Secure, as a customer who wants to buy does."""
    if intent["status"] == "requires_action":
        intent.update(authentication.complete(session, intent["id"], is_passed=True))


def _pay(
    session: Session, checkout: Object, method: Object | None, customer_id: str | None
) -> None:
    if method is None:
        return
    if checkout["invoice_creation"]["enabled"]:
        intent = _bill(session, checkout, method, str(customer_id))
    else:
        intent = _intent(session, checkout, customer_id)
        charges.attempt(session, intent, method, is_off_session=False)
        _answer_challenge(session, intent)
    session.change(checkout, {"payment_intent": intent["id"]}, is_announced=False)
    invoices.refuse_unless_paid(intent, method)
    payment_methods.use_up(session, method, customer_id, intent["setup_future_usage"])


def _bill(session: Session, checkout: Object, method: Object, customer_id: str) -> Object:
    """Make an invoice of the session's lines, unless an earlier try has, and charge it."""
    if checkout["invoice"]:
        invoice = session.get("invoice", checkout["invoice"])
    else:
        invoice = _invoice(session, checkout, customer_id)
        session.change(checkout, {"invoice": invoice["id"]}, is_announced=False)
    intent = invoices.collect(session, invoice, method, is_off_session=False)
    if intent is None:
        raise errors.invalid_request("There is nothing to pay.")
    _answer_challenge(session, intent)
    return intent


def _invoice(session: Session, checkout: Object, customer_id: str) -> Object:
    data = checkout["invoice_creation"]["invoice_data"]
    wanted = {name: data[name] for name in ("description", "footer", "metadata") if data[name]}
    wanted |= {"customer": customer_id, "currency": checkout["currency"]}
    if checkout["discounts"]:
        (wish,) = checkout["discounts"]
        wanted["discounts"] = [{name: value for name, value in wish.items() if value}]
    invoice = invoice_edits.create(session, wanted)
    items = []
    for line in checkout["_lines"]:
        entry = {"pricing": {"price": line["price"]["id"]}, "quantity": line["quantity"]}
        terms = invoice_item_routes.priced(session, entry, checkout["currency"])
        items.append(
            invoice_items.make(
                session, customer_id=customer_id, **terms, description=line["description"]
            )
        )
    invoice_edits.put_on(session, invoice, items)
    return invoices.finalize(session, invoice)


def _intent(session: Session, checkout: Object, customer_id: str | None) -> Object:
    """Return the intent that an earlier try has left, or a new one."""
    if checkout["payment_intent"]:
        return session.get("payment_intent", checkout["payment_intent"])
    data = {name: value for name, value in checkout["_data"].items() if value is not None}
    if "shipping" in data:
        data["shipping"] = addresses.shipping(data["shipping"])
    return intents.make(
        session,
        checkout["amount_total"],
        checkout["currency"],
        customer_id,
        **data | {"metadata": merged({}, data.get("metadata"))},
    )


def _set_up(
    session: Session, checkout: Object, method: Object | None, customer_id: str | None
) -> None:
    types = {"allowed_payment_method_types": ["card"]}
    params = {**checkout["_data"], **types, "confirm": True, "usage": "off_session"}
    if method:
        params["payment_method"] = method["id"]
    if customer_id:
        params["customer"] = customer_id
    made = setup_intents.create(session, params)
    _answer_challenge(session, made)
    session.change(checkout, {"setup_intent": made["id"]}, is_announced=False)


def _details(
    session: Session, checkout: Object, customer_id: str | None, given: dict[str, Any]
) -> Object:
    customer = session.get("customer", customer_id) if customer_id else {}
    return {
        "address": customer.get("address"),
        "business_name": None,
        "email": customer.get("email") or checkout["customer_email"] or given.get("email"),
        "individual_name": None,
        "name": customer.get("name") or given.get("name"),
        "phone": customer.get("phone"),
        "tax_exempt": customer.get("tax_exempt", "none"),
        "tax_ids": [],
    }
