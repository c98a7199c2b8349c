"""Billing portal sessions: a way into the portal, which has no pages here."""

from typing import Any

from sandbox.stripe import errors
from sandbox.stripe.objects.catalog import redemptions
from sandbox.stripe.objects.customers import customer_currency
from sandbox.stripe.objects.hosted import portal_configurations
from sandbox.stripe.params import Choice, Group, Integer, Many, Text
from sandbox.stripe.routing import Route
from sandbox.stripe.session import Object, Session, new_id, shown

KIND = "billing_portal.session"
_OF_SUBSCRIPTION = ("subscription_cancel", "subscription_update", "subscription_update_confirm")
_NAMED = Group({"subscription": Text()}, ("subscription",))
_FLOW = Group(
    {
        "after_completion": Group(
            {
                "hosted_confirmation": Group({"custom_message": Text(500)}),
                "redirect": Group({"return_url": Text()}, ("return_url",)),
                "type": Choice(("hosted_confirmation", "portal_homepage", "redirect")),
            },
            required=("type",),
        ),
        "subscription_cancel": _NAMED,
        "subscription_update": _NAMED,
        "subscription_update_confirm": Group(
            {
                "discounts": Many(redemptions.WISH),
                "items": Many(
                    Group({"id": Text(), "price": Text(), "quantity": Integer(0)}, ("id",))
                ),
                "subscription": Text(),
            },
            required=("items", "subscription"),
        ),
        "type": Choice(("payment_method_update", *_OF_SUBSCRIPTION)),
    },
    required=("type",),
)
_CREATE = Group(
    {"configuration": Text(), "customer": Text(), "flow_data": _FLOW, "return_url": Text()},
    required=("customer",),
)


def create(session: Session, params: dict[str, Any]) -> Object:
    """POST /v1/billing_portal/sessions."""
    customer = session.get("customer", params["customer"], param="customer")
    configuration = _configuration(session, params)
    session_id = new_id("bps")
    body: Object = {
        "id": session_id,
        "object": KIND,
        "after_expiration": None,
        "configuration": configuration["id"],
        "created": session.now,
        "customer": customer["id"],
        "customer_account": None,
        "flow": _flow(session, params, configuration),
        "livemode": False,
        "locale": None,
        "on_behalf_of": None,
        "return_url": params.get("return_url") or configuration["default_return_url"],
        "url": f"{session.base_url}/p/session/{session_id}",
    }
    return shown(session.create(body, event=f"{KIND}.created"))


def _configuration(session: Session, params: dict[str, Any]) -> Object:
    if not params.get("configuration"):
        return portal_configurations.default(session)
    found = session.get(portal_configurations.KIND, params["configuration"], param="configuration")
    if not found["active"]:
        raise errors.invalid_request(
            f"The portal configuration {found['id']} is not active.", param="configuration"
        )
    return found


def _flow(session: Session, params: dict[str, Any], configuration: Object) -> Object | None:
    given = params.get("flow_data")
    if not given:
        return None
    kind = given["type"]
    flow: Object = dict.fromkeys(_OF_SUBSCRIPTION)
    after = {"hosted_confirmation": None, "redirect": None, "type": "portal_homepage"}
    flow |= {"after_completion": after | given.get("after_completion", {}), "type": kind}
    if kind not in _OF_SUBSCRIPTION:
        return flow
    path = f"flow_data[{kind}]"
    if kind not in given:
        raise errors.bad_parameter(
            f"Missing required param: {path}.", code="parameter_missing", param=path
        )
    path = f"{path}[subscription]"
    subscription = session.get("subscription", given[kind]["subscription"], param=path)
    if subscription["customer"] != params["customer"]:
        raise errors.invalid_request("The subscription is another customer's.", param=path)
    _check_possible(kind, subscription, configuration, path)
    for number, item in enumerate(given[kind].get("items", [])):
        if item.get("price"):
            param = f"flow_data[{kind}][items][{number}][price]"
            price = session.get("price", item["price"], param=param)
            customer_currency.check_price(price, subscription["currency"], param=param)
    blank = {"subscription_cancel": {"retention": None}, "subscription_update": {}}
    flow[kind] = {**blank.get(kind, {"discounts": None}), **given[kind]}
    return flow


def _check_possible(kind: str, subscription: Object, configuration: Object, param: str) -> None:
    """Refuse a flow that the portal would not let its customer through."""
    name, done = "subscription_update", "updated"
    if kind == "subscription_cancel":
        name, done = kind, "canceled"
    if not configuration["features"][name]["enabled"]:
        raise errors.invalid_request(
            f"This subscription cannot be {done} because the {name.replace('_', ' ')} feature in "
            "the portal configuration is disabled.",
            param=param,
        )
    if kind == "subscription_cancel" and subscription["cancel_at"] is not None:
        raise errors.invalid_request(
            f"The subscription {subscription['id']} is already set to be canceled at period end.",
            param=param,
        )


ROUTES = (Route("POST", "/v1/billing_portal/sessions", create, _CREATE),)
