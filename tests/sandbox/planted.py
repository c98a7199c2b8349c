"""`python -m tests.sandbox.planted`: a Stripe sandbox with one mistake a route."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sandbox.stripe import __main__ as command
from sandbox.stripe import app, jobs
from sandbox.stripe.params import Group, Param, Text
from sandbox.stripe.routing import Handler, Route
from sandbox.stripe.session import Session

Change = Callable[[Any], Any]
ANSWERS: dict[str, Change] = {
    "GET /v1/customers/{id}": lambda it: it["invoice_settings"].update(mood="gay"),
    "GET /v1/products/{id}": lambda it: it.update(created="yesterday"),
    "GET /v1/prices/{id}": lambda it: it.update(type="gift"),
    "GET /v1/products": lambda it: it["data"][0].pop("name"),
}
PARAMETERS: dict[str, dict[str, Param]] = {
    "POST /v1/customers/{id}": {
        "invoice_settings": Group({"mood": Text()}),
        "tax_exempt": Text(),
    },
}
ANNOUNCER = "POST /v1/products/{id}"
STUMBLER = "GET /v1/coupons"


def _plant(route: Route) -> Route:
    place = f"{route.method} {route.pattern}"
    if place in ANSWERS:
        return replace(route, handler=_differing(route.handler, ANSWERS[place]))
    if place == STUMBLER:
        return replace(route, handler=_stumble)
    if place == ANNOUNCER:
        return replace(route, handler=_boast)
    if place in PARAMETERS:
        fields = {**route.params.fields, **PARAMETERS[place]}
        return replace(route, handler=_nothing, params=Group(fields))
    return route


def _differing(handler: Handler, change: Change) -> Handler:
    def differing(*arguments: Any) -> dict[str, Any]:
        answer = handler(*arguments)
        change(answer)
        return answer

    return differing


def _nothing(session: Session, _params: dict[str, Any], object_id: str) -> dict[str, Any]:
    return session.get("customer", object_id)


def _boast(session: Session, _params: dict[str, Any], object_id: str) -> dict[str, Any]:
    product = session.get("product", object_id)
    session.emit(
        "product.updated", {**product, "mood": "gay"}, previous={"humor": "dull", "active": 2}
    )
    return product


def _stumble(*_arguments: Any) -> Any:
    raise RuntimeError("stumbled")


def _wish(_session: Session, _params: dict[str, Any]) -> dict[str, Any]:
    return {"object": "wish", "is_granted": True}


if __name__ == "__main__":
    app.ROUTES = (*map(_plant, app.ROUTES), Route("POST", "/v1/wishes", _wish))
    jobs.JOBS["trial_will_end"] = _stumble  # type: ignore[index]
    command.main()
