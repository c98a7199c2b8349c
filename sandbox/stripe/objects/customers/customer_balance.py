"""A customer's balance: credit (below zero) or debt that the next invoice takes up."""

from typing import Any

from sandbox.stripe import errors
from sandbox.stripe.objects.customers import customer_currency
from sandbox.stripe.params import PAGE, Group, Integer, Metadata, Param, Range, Text
from sandbox.stripe.routing import Route
from sandbox.stripe.session import Object, Session, merged, new_id, page_of, shown

KIND = "customer_balance_transaction"
_URL = "/v1/customers/{id}/balance_transactions"


def move(session: Session, customer: Object, amount: int, kind: str, **fields: Any) -> Object:
    """Add to a customer's balance and write down why.

    Args:
        session: The unit of work.
        customer: Changed in place.
        amount: Below zero for a credit.
        kind: Stripe's type of the movement, such as `adjustment`.
        fields: Of the transaction: `currency`, `credit_note`, `invoice`, `description`, `metadata`.
            A customer has a balance of its own in each currency.

    Returns:
        The transaction.
    """
    currency = fields.pop("currency", None) or customer["currency"] or "usd"
    balance = customer_currency.balance_of(customer, currency) + amount
    if customer["currency"] in {None, currency}:
        session.change(customer, {"balance": balance, "currency": currency})
    else:
        others = {**customer.get("_balances", {}), currency: balance}
        session.change(customer, {"_balances": others})
    body: Object = {
        "id": new_id("cbtxn"),
        "object": KIND,
        "amount": amount,
        "checkout_session": None,
        "created": session.now,
        "credit_note": None,
        "currency": currency,
        "customer": customer["id"],
        "customer_account": None,
        "description": None,
        "ending_balance": balance,
        "invoice": None,
        "livemode": False,
        "metadata": {},
        "type": kind,
        **fields,
    }
    return session.create(body)


def create(session: Session, params: dict[str, Any], customer_id: str) -> Object:
    """POST /v1/customers/{id}/balance_transactions."""
    customer = session.get("customer", customer_id)
    if params["amount"] == 0:
        raise errors.invalid_request("The amount of a movement cannot be 0.", param="amount")
    made = move(
        session,
        customer,
        params["amount"],
        "adjustment",
        currency=params["currency"].lower(),
        description=params.get("description"),
        metadata=merged({}, params.get("metadata")),
    )
    return shown(made)


def _of_customer(session: Session, customer_id: str, transaction_id: str) -> Object:
    session.get("customer", customer_id)
    found = session.get(KIND, transaction_id)
    if found["customer"] != customer_id:
        raise errors.missing("customer balance transaction", transaction_id)
    return found


def retrieve(
    session: Session, _params: dict[str, Any], customer_id: str, transaction_id: str
) -> Object:
    """GET /v1/customers/{id}/balance_transactions/{id}."""
    return shown(_of_customer(session, customer_id, transaction_id))


def update(
    session: Session, params: dict[str, Any], customer_id: str, transaction_id: str
) -> Object:
    """POST /v1/customers/{id}/balance_transactions/{id}."""
    found = _of_customer(session, customer_id, transaction_id)
    changes = {"description": params["description"]} if "description" in params else {}
    if "metadata" in params:
        changes["metadata"] = merged(found["metadata"], params["metadata"])
    return shown(session.change(found, changes, is_announced=False))


def list_all(session: Session, params: dict[str, Any], customer_id: str) -> Object:
    """GET /v1/customers/{id}/balance_transactions."""
    session.get("customer", customer_id)
    filters = {"customer": customer_id}
    if params.get("invoice"):
        filters["invoice"] = params["invoice"]
    return page_of(session, KIND, _URL.format(id=customer_id), params, filters)


_TEXTS: dict[str, Param] = {"description": Text(), "metadata": Metadata()}
ROUTES = (
    Route(
        "POST",
        _URL,
        create,
        Group({**_TEXTS, "amount": Integer(), "currency": Text()}, ("amount", "currency")),
    ),
    Route("GET", _URL, list_all, Group({**PAGE, "created": Range(), "invoice": Text()})),
    Route("GET", f"{_URL}/{{id}}", retrieve),
    Route("POST", f"{_URL}/{{id}}", update, Group(_TEXTS)),
)
