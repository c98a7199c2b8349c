"""The account's balance: one transaction for each movement of money, per currency."""

from typing import Any

from sandbox.stripe import store
from sandbox.stripe.params import PAGE, Group, Range, Text
from sandbox.stripe.routing import Route
from sandbox.stripe.session import Object, Session, new_id, page_of, shown

DAY = 86_400
DAYS_PENDING = 2
DISPUTE_FEE = 1_500
_UNUSED: Object = {"description": None, "exchange_rate": None}


def card_fee(amount: int) -> int:
    """Return what taking a card costs: 2.9 % and 30 of the smallest unit."""
    return (amount * 29 + 500) // 1_000 + 30


def enter(
    session: Session,
    kind: str,
    amount: int,
    source: Object,
    *,
    fee: tuple[int, str] | None = None,
    is_at_once: bool = False,
    **fields: Any,
) -> Object:
    """Write a movement into the balance.

    Args:
        session: The unit of work.
        kind: The transaction's type.
        amount: Before fees; negative if it leaves.
        source: What moves it: a charge, a refund or a dispute.
        fee: How much the movement costs and what for.
        is_at_once: Whether the money can be used at once.
        **fields: Replace the defaults.

    Returns:
        The transaction.
    """
    cost, now = fee[0] if fee else 0, session.default_now
    available_on = now if is_at_once else (now // DAY + DAYS_PENDING) * DAY
    body: Object = {
        "id": new_id("txn"),
        "object": "balance_transaction",
        "amount": amount,
        "available_on": available_on,
        "balance_type": "payments",
        "created": now,
        "currency": source["currency"],
        "fee": cost,
        "fee_details": [_fee_detail(source["currency"], *fee)] if fee else [],
        "net": amount - cost,
        "reporting_category": kind,
        "source": source["id"],
        "status": "available" if is_at_once else "pending",
        "type": kind,
        **_UNUSED,
        **fields,
    }
    session.create(body)
    if is_at_once:
        session.emit("balance.available", total(session))
    else:
        session.schedule("release_funds", str(available_on), available_on, is_payment=True)
    return body


def _fee_detail(currency: str, amount: int, reason: str) -> Object:
    return {
        "amount": amount,
        "application": None,
        "currency": currency,
        "description": reason,
        "type": "stripe_fee",
    }


def run_release(session: Session, available_on: str) -> None:
    """Job: a day's money can be used from now on."""
    store.release_funds(session.store.db, int(available_on))
    session.emit("balance.available", total(session))


def total(session: Session) -> Object:
    """Return the balance as it is."""
    sums: dict[str, dict[str, int]] = {"available": {}, "pending": {}}
    for row in store.funds(session.store.db):
        for amounts in sums.values():
            amounts.setdefault(row["currency"], 0)
        sums[row["status"]][row["currency"]] += row["net"]
    listed = {
        status: [
            {"amount": amount, "currency": currency, "source_types": {"card": amount}}
            for currency, amount in sorted((amounts or {"usd": 0}).items())
        ]
        for status, amounts in sums.items()
    }
    return {"object": "balance", "livemode": False, **listed}


def retrieve(session: Session, _params: dict[str, Any]) -> Object:
    """GET /v1/balance."""
    return total(session)


def retrieve_transaction(session: Session, _params: dict[str, Any], transaction_id: str) -> Object:
    """GET /v1/balance_transactions/{id}."""
    return shown(session.get("balance_transaction", transaction_id))


def list_transactions(session: Session, params: dict[str, Any]) -> Object:
    """GET /v1/balance_transactions."""
    names = ("currency", "source", "type")
    filters = {name: params[name] for name in names if params.get(name)}
    url = "/v1/balance_transactions"
    return page_of(session, "balance_transaction", url, params, filters)


ROUTES = (
    Route("GET", "/v1/balance", retrieve),
    Route(
        "GET",
        "/v1/balance_transactions",
        list_transactions,
        Group({**PAGE, "created": Range(), "currency": Text(), "source": Text(), "type": Text()}),
    ),
    Route("GET", "/v1/balance_transactions/{id}", retrieve_transaction),
)
