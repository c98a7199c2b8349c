"""Payment Records: payments that were made elsewhere, and reported."""

from typing import Any

from sandbox.stripe import amounts, errors
from sandbox.stripe.params import Choice, Email, Group, Integer, Metadata, Param, Text
from sandbox.stripe.routing import Route
from sandbox.stripe.session import Object, Session, merged, new_id, shown

KIND = "payment_record"
_OUTCOMES = {"canceled": "canceled_at", "failed": "failed_at", "guaranteed": "guaranteed_at"}
_MOMENTS: dict[str, Param] = {
    name: Group({moment: Integer()}, required=(moment,)) for name, moment in _OUTCOMES.items()
}
_REPORT = Group(
    {
        **_MOMENTS,
        "amount_requested": Group(
            {"currency": Text(), "value": Integer(minimum=1)}, required=("currency", "value")
        ),
        "customer_details": Group(
            {"customer": Text(), "email": Email(), "name": Text(), "phone": Text()}
        ),
        "customer_presence": Choice(("off_session", "on_session")),
        "description": Text(),
        "initiated_at": Integer(),
        "metadata": Metadata(),
        "outcome": Choice(tuple(_OUTCOMES)),
        "payment_method_details": Group(
            {
                "custom": Group({"display_name": Text(), "type": Text()}),
                "type": Choice(("custom",)),
            }
        ),
        "processor_details": Group(
            {
                "custom": Group({"payment_reference": Text()}, ("payment_reference",)),
                "type": Choice(("custom",)),
            },
            required=("type",),
        ),
    },
    required=("amount_requested", "initiated_at", "payment_method_details"),
)


def report(session: Session, params: dict[str, Any]) -> Object:
    """POST /v1/payment_records/report_payment."""
    asked = params["amount_requested"]
    currency = asked["currency"].lower()
    amounts.check_currency(currency)
    outcome = params.get("outcome")
    if outcome and outcome not in params:
        raise errors.bad_parameter(
            f"Missing required param: {outcome}.", code="parameter_missing", param=outcome
        )
    details = params.get("customer_details")
    if details and details.get("customer"):
        param = "customer_details[customer]"
        session.get("customer", details["customer"], param=param)
    reached = {name: asked["value"] if name == outcome else 0 for name in _OUTCOMES}
    sums = {**reached, "authorized": 0, "refunded": 0, "requested": asked["value"]}
    custom = params["payment_method_details"].get("custom", {})
    body: Object = {
        "id": new_id("pr"),
        "object": KIND,
        "amount": _money(asked["value"], currency),
        **{f"amount_{name}": _money(value, currency) for name, value in sums.items()},
        "application": None,
        "created": session.default_now,
        "customer_details": details
        and {name: details.get(name) for name in ("customer", "email", "name", "phone")},
        "customer_presence": params.get("customer_presence"),
        "description": params.get("description"),
        "latest_payment_attempt_record": new_id("par"),
        "livemode": False,
        "metadata": merged({}, params.get("metadata")),
        "payment_method_details": {
            "billing_details": None,
            "custom": {"display_name": "Custom", "type": None, **custom},
            "payment_method": None,
            "type": "custom",
        },
        "processor_details": {"type": "custom", **params.get("processor_details", {})},
        "reported_by": "self",
        "shipping_details": None,
    }
    return shown(session.create(body))


def _money(value: int, currency: str) -> Object:
    return {"currency": currency, "value": value}


def retrieve(session: Session, _params: dict[str, Any], record_id: str) -> Object:
    """GET /v1/payment_records/{id}."""
    return shown(session.get(KIND, record_id))


ROUTES = (
    Route("POST", "/v1/payment_records/report_payment", report, _REPORT),
    Route("GET", "/v1/payment_records/{id}", retrieve),
)
