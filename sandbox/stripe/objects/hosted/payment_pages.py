"""The two calls with which Stripe's CLI stands in for Checkout's page."""

from typing import Any

from sandbox.stripe import errors
from sandbox.stripe.objects.hosted import checkout_completion, checkout_sessions
from sandbox.stripe.params import Group, Integer, Text
from sandbox.stripe.routing import Route
from sandbox.stripe.session import Object, Session, shown

_URL = "/v1/payment_pages/{id}"


def confirm(session: Session, params: dict[str, Any], checkout_id: str) -> Object:
    """POST /v1/payment_pages/{id}/confirm."""
    checkout = session.get(checkout_sessions.KIND, checkout_id)
    expected = params.get("expected_amount")
    if expected is not None and expected != checkout["amount_total"]:
        raise errors.invalid_request(
            f"The amount is {checkout['amount_total']}, not {expected}.", param="expected_amount"
        )
    return shown(checkout_completion.complete(session, checkout_id, params))


ROUTES = (
    Route("GET", _URL, checkout_sessions.retrieve),
    Route(
        "POST",
        f"{_URL}/confirm",
        confirm,
        Group({"expected_amount": Integer(), "payment_method": Text()}, ("payment_method",)),
    ),
)
