"""The billing portal: what its customers may do, and the way in."""

from typing import Any

import pytest
import stripe

from tests.sandbox.conftest import Shop, open_shop
from tests.sandbox.servers import Sandbox


def test_configurations(shop: Shop, sandbox: Sandbox) -> None:
    api = sandbox.api.billing_portal.configurations
    product = sandbox.api.prices.retrieve(shop.price).product
    made = api.create(
        {
            "business_profile": {"headline": "Lamps"},
            "default_return_url": "https://shop.example",
            "features": {
                "subscription_cancel": {"enabled": True, "mode": "immediately"},
                "subscription_update": {
                    "enabled": True,
                    "default_allowed_updates": ["price"],
                    "products": [{"product": product, "prices": [shop.price]}],
                },
            },
        }
    )
    assert (made.active, made.is_default, made.business_profile.headline) == (True, False, "Lamps")
    cancel = made.features.subscription_cancel
    assert (cancel.enabled, cancel.mode, cancel.proration_behavior) == (True, "immediately", "none")
    assert made.features.subscription_update.products[0].prices == [shop.price]
    assert made.features.invoice_history.enabled is False
    changes: Any = {"features": {"invoice_history": {"enabled": True}}, "active": False}
    changed = api.update(made.id, {**changes, "login_page": {"enabled": True}})
    assert (changed.active, changed.features.invoice_history.enabled) == (False, True)
    assert changed.features.subscription_cancel.enabled is True
    assert changed.login_page.url.startswith(sandbox.url)
    assert api.retrieve(made.id).updated >= made.created
    assert made.id not in {c.id for c in api.list({"active": True, "limit": 100}).data}
    told = sandbox.api.events.list({"types": ["billing_portal.configuration.*"], "limit": 2}).data
    assert [event.type.rpartition(".")[2] for event in told] == ["updated", "created"]
    with pytest.raises(stripe.InvalidRequestError, match="not active"):
        sandbox.api.billing_portal.sessions.create(
            {"customer": shop.customer, "configuration": made.id}
        )


def test_sessions(shop: Shop, sandbox: Sandbox) -> None:
    shop.give_card("ok")
    default = sandbox.control("portal-settings")
    started, api = shop.subscribe(), sandbox.api.billing_portal.sessions
    made = api.create(
        {"customer": shop.customer, "return_url": "https://x.example", "expand": ["configuration"]}
    )
    assert (made.configuration.id, made.flow) == (default["id"], None)
    assert made.url.startswith(f"{sandbox.url}/p/session/")
    flow = {"type": "subscription_cancel", "subscription_cancel": {"subscription": started.id}}
    after = {"type": "redirect", "redirect": {"return_url": "https://y.example"}}
    again = api.create(
        {"customer": shop.customer, "flow_data": {**flow, "after_completion": after}}
    )
    assert again.configuration == made.configuration.id
    assert again.flow.subscription_cancel.subscription == started.id
    assert again.flow.after_completion.redirect.return_url == "https://y.example"
    stranger = open_shop(sandbox).customer
    for customer, wanted, words in (
        (stranger, flow, "another customer"),
        (shop.customer, {"type": "subscription_update"}, "Missing"),
        ("cus_none", flow, "No such customer"),
    ):
        with pytest.raises(stripe.InvalidRequestError, match=words):
            api.create({"customer": customer, "flow_data": wanted})
    told = sandbox.api.events.list({"type": "billing_portal.session.created", "limit": 1}).data
    assert told[0].data.object.id == again.id


def test_settings_are_saved_once(sandbox: Sandbox) -> None:
    saved = sandbox.control("portal-settings")
    assert sandbox.control("portal-settings")["id"] == saved["id"]
    listed = sandbox.api.billing_portal.configurations.list({"is_default": True}).data
    assert [configuration.id for configuration in listed] == [saved["id"]]
    assert saved["features"]["subscription_cancel"]["enabled"] is True
    assert saved["features"]["subscription_update"]["enabled"] is False
