"""Webhook endpoints as objects: each hears what it asked for, signed with its own secret."""

from typing import Any

import pytest
import stripe

from tests.sandbox import servers
from tests.sandbox.conftest import Shop
from tests.sandbox.servers import Receiver, Sandbox, wait_for


def test_each_endpoint_hears_what_it_asked_for(
    shop: Shop, sandbox: Sandbox, hooks: Receiver
) -> None:
    api, events = sandbox.api.webhook_endpoints, sandbox.api.events
    with servers.receiver() as mine:
        made = api.create({"url": mine.url, "enabled_events": ["customer.updated"]})
        mine.secret = made.secret
        mine.refusals = 1
        sandbox.api.customers.update(shop.customer, {"name": "Heard"})
        sandbox.api.products.create({"name": "Unheard"})
        (heard,) = events.list({"type": "customer.updated", "limit": 1}).data
        (unheard,) = events.list({"type": "product.created", "limit": 1}).data
        wait_for("the refusal", lambda: mine.arrivals)
        assert events.retrieve(heard.id).pending_webhooks == 1
        assert heard.id in {e.id for e in events.list({"delivery_success": False}).data}
        sandbox.quiet()
        assert [event["id"] for event in mine.events] == [heard.id]
        assert mine.events[0]["pending_webhooks"] == 2
        told = {event["id"]: event.get("pending_webhooks") for event in hooks.events}
        assert (told[heard.id], told[unheard.id]) == (2, 1)
        assert mine.arrivals[1] - mine.arrivals[0] > 0.9
        api.delete(made.id)
        sandbox.api.customers.update(shop.customer, {"name": "Gone"})
        sandbox.quiet()
        assert len(mine.events) == 1


def test_an_endpoint_for_everything_can_be_disabled(sandbox: Sandbox) -> None:
    api = sandbox.api.webhook_endpoints
    made = api.create(
        {"url": "http://127.0.0.1:9/none", "enabled_events": ["*"], "metadata": {"a": "1"}}
    )
    assert made.secret.startswith("whsec_")
    seen = api.retrieve(made.id)
    assert (seen.status, seen.url, seen.enabled_events) == ("enabled", made.url, ["*"])
    assert "secret" not in seen.to_dict()
    sandbox.api.products.create({"name": "Lamp"})
    assert sandbox.see("webhooks")["pending_count"] >= 1
    changed = api.update(made.id, {"disabled": True, "description": "Off", "metadata": ""})
    assert (changed.status, changed.description, changed.metadata.to_dict()) == (
        "disabled", "Off", {},
    )  # fmt: skip
    sandbox.api.products.create({"name": "Chair"})
    sandbox.quiet()
    assert api.update(made.id, {"disabled": False}).status == "enabled"
    assert made.id in {endpoint.id for endpoint in api.list().data}
    assert api.delete(made.id).deleted is True
    sandbox.quiet()
    with pytest.raises(stripe.InvalidRequestError, match="No such webhook endpoint"):
        api.retrieve(made.id)


@pytest.mark.parametrize(
    ("form", "param"),
    [
        ({"url": "ftp://x", "enabled_events": ["*"]}, "url"),
        ({"url": "http://127.0.0.1:9", "enabled_events": []}, "enabled_events"),
        ({"enabled_events": ["*"]}, "url"),
    ],
)
def test_senseless_endpoints_are_refused(form: Any, param: str, sandbox: Sandbox) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        sandbox.api.webhook_endpoints.create(form)
    assert caught.value.param == param
