"""A shop with Better Auth and its Stripe plugin sells, changes and ends subscriptions.

`make better-auth` installs it and runs this; it needs no network once that is done. The shop is a
process of its own, asked over HTTP as a browser asks; it hears of what happens by webhooks alone.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest

from adapters.tls import trusted
from tests.sandbox import servers
from tests.sandbox.servers import ROOT, SECRET, Sandbox

HERE = ROOT / "tests" / "clients" / "better_auth"
NODE = shutil.which("node")

pytestmark = [
    pytest.mark.client,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        NODE is None or not (HERE / "node_modules").exists(),
        reason="Better Auth is not here: make better-auth",
    ),
]


FORGED = "No signatures found"
PLANS = {"basic": 1_000, "pro": 3_000}


@dataclass
class Shop:
    """The shop, and the sandbox behind it."""

    sandbox: Sandbox
    url: str
    prices: dict[str, str]


class Visitor:
    """Somebody with a browser, signed up at the shop."""

    def __init__(self, shop: Shop, name: str) -> None:
        self.shop, self.api = shop, shop.sandbox.api
        self.http = httpx.Client(
            base_url=f"{shop.url}/api/auth", headers={"Origin": shop.url}, verify=trusted()
        )
        self.email = f"{name}@example.com"
        self.post("sign-up/email", name=name, email=self.email, password="long enough a word")
        (self.customer,) = self.api.customers.list({"email": self.email}).data

    def post(self, path: str, status: int = 200, **body: Any) -> Any:
        answer = self.http.post(path, json=body)
        assert answer.status_code == status, answer.text
        return answer.json()

    def upgrade(self, plan: str, **params: Any) -> Any:
        wanted = {"plan": plan, "successUrl": "/thanks", "cancelUrl": "/plans", **params}
        return self.post("subscription/upgrade", 200, **wanted, returnUrl="/account")

    def subscriptions(self) -> Any:
        """Return what the shop thinks that the visitor has, once it has heard everything."""
        self.shop.sandbox.quiet()
        return self.http.get("subscription/list").raise_for_status().json()

    def buy(self, plan: str) -> str:
        """Go through Checkout, and return the subscription's id."""
        asked = self.upgrade(plan)
        assert asked["url"].startswith(f"{self.shop.sandbox.url}/c/pay/")
        self.shop.sandbox.control(f"checkout/{asked['id']}/complete", payment_method="pm_card_visa")
        (bought,) = self.subscriptions()
        return str(bought["stripeSubscriptionId"])


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    port = servers.free_port()
    url = f"http://127.0.0.1:{port}"
    folder = tmp_path_factory.mktemp("shop")
    sandbox = servers.start(folder / "stripe", webhook_url=f"{url}/api/auth/stripe/webhook")
    configure = sandbox.control("portal-settings")
    features: Any = {"subscription_update": {"enabled": True, "default_allowed_updates": ["price"]}}
    sandbox.api.billing_portal.configurations.update(configure["id"], {"features": features})
    prices = {name: _price(sandbox, name, amount) for name, amount in PLANS.items()}
    with (folder / "shop.log").open("wb") as log:
        process = _open(sandbox, port, prices, log)
    servers.wait_for("the shop", lambda: _answers(url), 60)
    yield Shop(sandbox, url, prices)
    process.terminate()
    process.wait(30)
    sandbox.stop()
    told = (folder / "shop.log").read_text().splitlines()
    wrong = [line for line in told if "ERROR" in line and FORGED not in line]
    assert wrong == []


@pytest.fixture
def visitor(shop: Shop) -> Iterator[Visitor]:
    visitor = Visitor(shop, f"visitor-{uuid4().hex[:8]}")
    yield visitor
    visitor.http.close()


def _price(sandbox: Sandbox, name: str, amount: int) -> str:
    product = sandbox.api.products.create({"name": name})
    wanted = {"product": product.id, "currency": "usd", "unit_amount": amount}
    return str(sandbox.api.prices.create({**wanted, "recurring": {"interval": "month"}}).id)


def _open(sandbox: Sandbox, port: int, prices: dict[str, str], log: Any) -> subprocess.Popen[bytes]:
    assert NODE is not None
    given = {
        "PATH": os.environ["PATH"],
        "SHOP_BASIC": prices["basic"],
        "SHOP_PORT": str(port),
        "SHOP_PRO": prices["pro"],
        "SHOP_STRIPE": sandbox.url,
        "SHOP_WEBHOOK_SECRET": SECRET,
    }
    return subprocess.Popen([NODE, "shop.mjs"], cwd=HERE, env=given, stdout=log, stderr=log)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/api/auth/ok", verify=trusted()).is_success
    except httpx.TransportError:
        return False


def test_signing_up_makes_a_customer(visitor: Visitor) -> None:
    assert visitor.customer.metadata["customerType"] == "user"
    assert visitor.subscriptions() == []


def test_a_plan_is_bought_through_checkout(visitor: Visitor) -> None:
    subscription = visitor.buy("basic")
    (bought,) = visitor.subscriptions()
    there = visitor.api.subscriptions.retrieve(subscription)
    assert (bought["plan"], bought["status"]) == ("basic", "active")
    assert bought["stripeCustomerId"] == there.customer == visitor.customer.id
    assert there.metadata["subscriptionId"] == bought["id"]
    again = visitor.post("subscription/upgrade", 400, plan="basic", successUrl="/", cancelUrl="/")
    assert again["code"] == "ALREADY_SUBSCRIBED_PLAN"


def test_a_change_is_confirmed_in_the_portal(shop: Shop, visitor: Visitor) -> None:
    subscription = visitor.buy("basic")
    asked = visitor.upgrade("pro")
    assert asked["url"].startswith(f"{shop.sandbox.url}/p/session/")
    item = visitor.api.subscriptions.retrieve(subscription)["items"].data[0].id
    changes = {"items": [{"id": item, "price": shop.prices["pro"]}]}
    visitor.api.subscriptions.update(subscription, changes)
    (changed,) = visitor.subscriptions()
    assert changed["plan"] == "pro"


def test_a_change_at_the_end_of_the_period_is_scheduled_and_taken_back(
    shop: Shop, visitor: Visitor
) -> None:
    subscription = visitor.buy("pro")
    visitor.upgrade("basic", scheduleAtPeriodEnd=True)
    (waiting,) = visitor.subscriptions()
    schedule = visitor.api.subscription_schedules.retrieve(waiting["stripeScheduleId"])
    assert (schedule.status, schedule.subscription) == ("active", subscription)
    assert [phase["items"][0].price for phase in schedule.phases] == [
        shop.prices["pro"],
        shop.prices["basic"],
    ]
    visitor.post("subscription/restore")
    (kept,) = visitor.subscriptions()
    assert (kept["plan"], kept["stripeScheduleId"]) == ("pro", None)
    assert visitor.api.subscription_schedules.retrieve(schedule.id).status == "released"


def test_a_scheduled_change_comes_with_the_next_period(shop: Shop, visitor: Visitor) -> None:
    subscription = visitor.buy("pro")
    visitor.upgrade("basic", scheduleAtPeriodEnd=True)
    shop.sandbox.advance(days=32)
    (changed,) = visitor.subscriptions()
    assert (changed["plan"], changed["status"]) == ("basic", "active")
    there = visitor.api.subscriptions.retrieve(subscription)
    assert there["items"].data[0].price.id == shop.prices["basic"]


def test_a_cancellation_is_made_in_the_portal_and_taken_back(shop: Shop, visitor: Visitor) -> None:
    subscription = visitor.buy("basic")
    asked = visitor.post("subscription/cancel", returnUrl="/account")
    assert asked["url"].startswith(f"{shop.sandbox.url}/p/session/")
    visitor.api.subscriptions.update(subscription, {"cancel_at_period_end": True})
    (ending,) = visitor.subscriptions()
    assert ending["cancelAtPeriodEnd"] is True
    refused = visitor.post("subscription/cancel", 400, returnUrl="/account")
    assert "already set to be canceled" in refused["message"]
    visitor.post("subscription/restore")
    (kept,) = visitor.subscriptions()
    assert (kept["status"], kept["cancelAtPeriodEnd"]) == ("active", False)
    assert visitor.api.subscriptions.retrieve(subscription).cancel_at_period_end is False


def test_what_ends_is_no_longer_listed(visitor: Visitor) -> None:
    subscription = visitor.buy("basic")
    visitor.api.subscriptions.cancel(subscription)
    assert visitor.subscriptions() == []
    assert visitor.api.subscriptions.retrieve(subscription).status == "canceled"


def test_the_portal_opens(shop: Shop, visitor: Visitor) -> None:
    opened = visitor.post("subscription/billing-portal", returnUrl="/account")
    assert opened["url"].startswith(f"{shop.sandbox.url}/p/session/")


def test_the_shop_takes_no_event_that_is_not_signed(shop: Shop) -> None:
    forged = {"id": "evt_1", "type": "customer.subscription.deleted", "data": {"object": {}}}
    headers = {"Stripe-Signature": "t=1,v1=00"}
    url = f"{shop.url}/api/auth/stripe/webhook"
    assert httpx.post(url, json=forged, headers=headers, verify=trusted()).status_code == 400
