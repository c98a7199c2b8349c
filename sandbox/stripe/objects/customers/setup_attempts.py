"""Setup attempts: what became of each confirmation of a setup intent."""

from typing import Any

from sandbox.stripe import method_types
from sandbox.stripe.objects.payments.charge_shape import card_details
from sandbox.stripe.params import PAGE, Group, Range, Text
from sandbox.stripe.routing import Route
from sandbox.stripe.session import Object, Session, new_id, page_of

_SHOWN_OF_CARD = (
    "brand", "checks", "country", "exp_month", "exp_year", "fingerprint", "funding", "last4",
    "network", "three_d_secure", "wallet",
)  # fmt: skip


def note(session: Session, intent: Object, method: Object, *, is_authenticated: bool) -> None:
    """Write down how an intent's confirmation went, by the intent's status."""
    details = _details(method, is_authenticated=is_authenticated)
    status = intent["status"]
    attempt = session.create(
        {
            "id": new_id("setatt"),
            "object": "setup_attempt",
            "application": None,
            "created": session.default_now,
            "customer": intent["customer"],
            "customer_account": None,
            "flow_directions": None,
            "livemode": False,
            "on_behalf_of": None,
            "payment_method": method["id"],
            "payment_method_details": details,
            "setup_error": intent["last_setup_error"],
            "setup_intent": intent["id"],
            "status": "failed" if status == "requires_payment_method" else status,
            "usage": intent["usage"],
        }
    )
    session.change(intent, {"latest_attempt": attempt["id"]}, is_announced=False)


def _details(method: Object, *, is_authenticated: bool) -> Object:
    if "card" not in method:
        return method_types.set_up(method["type"])
    card = card_details(method, is_authenticated=is_authenticated)["card"]
    kept = {name: card[name] for name in _SHOWN_OF_CARD}
    if kept["three_d_secure"]:
        kept["three_d_secure"].pop("exemption_indicator")
    return {"card": kept, "type": "card"}


def list_all(session: Session, params: dict[str, Any]) -> Object:
    """GET /v1/setup_attempts."""
    filters = {"setup_intent": params["setup_intent"]}
    return page_of(session, "setup_attempt", "/v1/setup_attempts", params, filters)


ROUTES = (
    Route(
        "GET",
        "/v1/setup_attempts",
        list_all,
        Group({**PAGE, "created": Range(), "setup_intent": Text()}, required=("setup_intent",)),
    ),
)
