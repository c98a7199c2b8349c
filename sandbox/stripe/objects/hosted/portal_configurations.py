"""Billing portal configurations: what customers may do by themselves."""

from collections.abc import Mapping
from typing import Any

from sandbox.stripe import errors
from sandbox.stripe.params import (
    PAGE,
    Boolean,
    Choice,
    Group,
    Many,
    Metadata,
    Param,
    Text,
)
from sandbox.stripe.routing import Route
from sandbox.stripe.session import Object, Session, merged, new_id, page_of, shown

KIND = "billing_portal.configuration"
_URL = "/v1/billing_portal/configurations"
_PRORATION = Choice(("always_invoice", "create_prorations", "none"))
_REASONS = (
    "customer_service", "low_quality", "missing_features", "other", "switched_service",
    "too_complex", "too_expensive", "unused",
)  # fmt: skip
_FEATURES = Group(
    {
        "customer_update": Group(
            {
                "allowed_updates": Many(
                    Choice(("address", "email", "name", "phone", "shipping", "tax_id"))
                ),
                "enabled": Boolean(),
            }
        ),
        "invoice_history": Group({"enabled": Boolean()}, ("enabled",)),
        "payment_method_update": Group({"enabled": Boolean()}, ("enabled",)),
        "subscription_cancel": Group(
            {
                "cancellation_reason": Group(
                    {"enabled": Boolean(), "options": Many(Choice(_REASONS))}, ("enabled",)
                ),
                "enabled": Boolean(),
                "mode": Choice(("at_period_end", "immediately")),
                "proration_behavior": _PRORATION,
            }
        ),
        "subscription_update": Group(
            {
                "default_allowed_updates": Many(Choice(("price", "promotion_code", "quantity"))),
                "enabled": Boolean(),
                "products": Many(
                    Group({"prices": Many(Text()), "product": Text()}, ("prices", "product"))
                ),
                "proration_behavior": _PRORATION,
            }
        ),
    }
)
_BOTH: dict[str, Param] = {
    "business_profile": Group(
        {
            "headline": Text(max_length=60),
            "privacy_policy_url": Text(),
            "terms_of_service_url": Text(),
        }
    ),
    "default_return_url": Text(),
    "features": _FEATURES,
    "login_page": Group({"enabled": Boolean()}, ("enabled",)),
    "metadata": Metadata(),
    "name": Text(),
}
_NO_FEATURES: Object = {
    "customer_update": {"allowed_updates": [], "enabled": False},
    "invoice_history": {"enabled": False},
    "payment_method_update": {"enabled": False, "payment_method_configuration": None},
    "subscription_cancel": {
        "cancellation_reason": {"enabled": False, "options": list(_REASONS)},
        "enabled": False,
        "mode": "at_period_end",
        "proration_behavior": "none",
    },
    "subscription_pause": {
        "duration": {"interval_options": [], "type": "indefinite"},
        "enabled": False,
    },
    "subscription_update": {
        "billing_cycle_anchor": None,
        "default_allowed_updates": [],
        "enabled": False,
        "proration_behavior": "none",
        "schedule_at_period_end": {"conditions": []},
        "trial_update_behavior": "end_trial",
    },
}
_NO_PROFILE = dict.fromkeys(("headline", "privacy_policy_url", "terms_of_service_url"))


def create(session: Session, params: dict[str, Any]) -> Object:
    """POST /v1/billing_portal/configurations."""
    return shown(_make(session, params))


def _make(session: Session, params: dict[str, Any], *, is_default: bool = False) -> Object:
    configuration_id = new_id("bpc")
    body: Object = {
        "id": configuration_id,
        "object": KIND,
        "active": True,
        "application": None,
        "business_profile": _NO_PROFILE | params.get("business_profile", {}),
        "created": session.now,
        "default_return_url": params.get("default_return_url"),
        "features": _features(session, _NO_FEATURES, params.get("features", {})),
        "is_default": is_default,
        "livemode": False,
        "login_page": _login_page(session, configuration_id, params),
        "metadata": merged({}, params.get("metadata")),
        "name": params.get("name"),
        "updated": session.now,
    }
    # Reason: what is done in the Dashboard is told to nobody here.
    return session.create(body, event=None if is_default else f"{KIND}.created")


def _features(session: Session, old: Mapping[str, Any], changes: dict[str, Any]) -> Object:
    update = changes.get("subscription_update", {})
    for number, entry in enumerate(update.get("products", [])):
        path = f"features[subscription_update][products][{number}]"
        session.get("product", entry["product"], param=f"{path}[product]")
        for index, price_id in enumerate(entry["prices"]):
            session.get("price", price_id, param=f"{path}[prices][{index}]")
        entry["adjustable_quantity"] = {"enabled": False, "maximum": None, "minimum": 1}
    return {**old, **{name: old[name] | change for name, change in changes.items()}}


def _login_page(session: Session, configuration_id: str, params: dict[str, Any]) -> Object:
    is_enabled = params.get("login_page", {}).get("enabled", False)
    url = f"{session.base_url}/p/login/{configuration_id}" if is_enabled else None
    return {"enabled": is_enabled, "url": url}


def default(session: Session) -> Object:
    """Return the configuration of sessions that name none.

    Raises:
        ApiError: If nobody has saved the portal's settings yet.
    """
    found = session.find(KIND, is_default=1)
    if not found:
        raise errors.invalid_request(
            "No configuration provided and your test mode default configuration has not been "
            "created. Provide a configuration or create your default by saving your customer "
            "portal settings in test mode at "
            "https://dashboard.stripe.com/test/settings/billing/portal."
        )
    return found[0]


def save_default(session: Session) -> Object:
    """Do what saving the portal's settings in the Dashboard does: make the default once."""
    found = session.find(KIND, is_default=1)
    if found:
        return found[0]
    names = ("invoice_history", "payment_method_update", "subscription_cancel")
    return _make(
        session, {"features": {name: {"enabled": True} for name in names}}, is_default=True
    )


def retrieve(session: Session, _params: dict[str, Any], configuration_id: str) -> Object:
    """GET /v1/billing_portal/configurations/{id}."""
    return shown(session.get(KIND, configuration_id))


def update(session: Session, params: dict[str, Any], configuration_id: str) -> Object:
    """POST /v1/billing_portal/configurations/{id}."""
    configuration = session.get(KIND, configuration_id)
    names = ("active", "default_return_url", "name")
    changes: dict[str, Any] = {name: params[name] for name in names if name in params}
    if "business_profile" in params:
        changes["business_profile"] = configuration["business_profile"] | params["business_profile"]
    if "features" in params:
        changes["features"] = _features(session, configuration["features"], params["features"])
    if "login_page" in params:
        changes["login_page"] = _login_page(session, configuration_id, params)
    if "metadata" in params:
        changes["metadata"] = merged(configuration["metadata"], params["metadata"])
    return shown(session.change(configuration, {**changes, "updated": session.now}))


def list_all(session: Session, params: dict[str, Any]) -> Object:
    """GET /v1/billing_portal/configurations."""
    names = ("active", "is_default")
    filters = {name: int(params[name]) for name in names if name in params}
    return page_of(session, KIND, _URL, params, filters)


ROUTES = (
    Route("POST", _URL, create, Group(_BOTH, ("features",))),
    Route("GET", _URL, list_all, Group({**PAGE, "active": Boolean(), "is_default": Boolean()})),
    Route("GET", f"{_URL}/{{id}}", retrieve),
    Route("POST", f"{_URL}/{{id}}", update, Group({**_BOTH, "active": Boolean()})),
)
