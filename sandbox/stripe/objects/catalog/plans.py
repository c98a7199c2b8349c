"""Plans: recurring prices as Stripe's older API shows them."""

from typing import Any

from sandbox.stripe import errors
from sandbox.stripe.objects.catalog import prices
from sandbox.stripe.params import PAGE, Boolean, Group, Range, Text
from sandbox.stripe.routing import Route
from sandbox.stripe.session import Object, Session

_LIST = Group({**PAGE, "active": Boolean(), "created": Range(), "product": Text()})


def retrieve(session: Session, _params: dict[str, Any], plan_id: str) -> Object:
    """GET /v1/plans/{id}."""
    found = session.store.get(plan_id)
    if found is None or found["object"] != "price" or found["recurring"] is None:
        raise errors.missing("plan", plan_id)
    return prices.plan_of(found)


def list_all(session: Session, params: dict[str, Any]) -> Object:
    """GET /v1/plans."""
    page = prices.list_all(session, {**params, "type": "recurring"})
    return {**page, "data": [prices.plan_of(price) for price in page["data"]], "url": "/v1/plans"}


ROUTES = (
    Route("GET", "/v1/plans", list_all, _LIST),
    Route("GET", "/v1/plans/{id}", retrieve),
)
