"""Fixtures with shared Stripe and model sandboxes, webhook receivers and a shop."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.sandbox import llm_server, servers
from tests.sandbox.llm_server import ModelServer
from tests.sandbox.places import KEY, Place, World, sandbox_place, stripe_place
from tests.sandbox.servers import Receiver, Sandbox


@dataclass
class Shop:
    """A customer with a card, and a price to subscribe to."""

    sandbox: Sandbox
    customer: str
    price: str

    def subscribe(self, **params: Any) -> Any:
        items = [{"price": self.price, "quantity": 1}]
        return self.sandbox.api.subscriptions.create(
            {"customer": self.customer, "items": items, **params}
        )

    def see(self, subscription_id: str) -> Any:
        path = "latest_invoice.payments.data.payment.payment_intent"
        return self.sandbox.api.subscriptions.retrieve(subscription_id, {"expand": [path]})

    def give_card(self, *script: str) -> str:
        method = self.sandbox.api.payment_methods.attach(
            self.sandbox.card(*script), {"customer": self.customer}
        )
        settings = {"default_payment_method": method.id}
        self.sandbox.api.customers.update(self.customer, {"invoice_settings": settings})
        return str(method.id)


@pytest.fixture(scope="session")
def hooks() -> Iterator[Receiver]:
    with servers.receiver() as receiver:
        yield receiver


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, hooks: Receiver) -> Iterator[Sandbox]:
    sandbox = servers.start(tmp_path_factory.mktemp("stripe"), webhook_url=hooks.url)
    yield sandbox
    sandbox.stop()
    assert sandbox.process.returncode == 0


@pytest.fixture(scope="session")
def calm_hooks() -> Iterator[Receiver]:
    with servers.receiver() as receiver:
        yield receiver


@pytest.fixture(scope="session")
def shared_calm(
    tmp_path_factory: pytest.TempPathFactory, calm_hooks: Receiver
) -> Iterator[Sandbox]:
    sandbox = servers.start(tmp_path_factory.mktemp("calm"), webhook_url=calm_hooks.url)
    yield sandbox
    sandbox.stop()


@pytest.fixture
def calm(shared_calm: Sandbox) -> Iterator[Sandbox]:
    """Return a sandbox without other payments, for tests that count deliveries.

    Reason: two seconds after a charge Stripe sends another event, during the next test.
    """
    shared_calm.quiet()
    yield shared_calm
    shared_calm.control("faults")


@pytest.fixture(scope="session")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """Start a sandbox without a receiver, for tests that set its clock or reset it."""
    sandbox = servers.start(tmp_path_factory.mktemp("own"))
    yield sandbox
    sandbox.stop()


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    """Start a fast model sandbox; each test scripts it with a `match` of its own."""
    server = llm_server.start(tmp_path_factory.mktemp("llm"), "--token-seconds", "0.001")
    yield server
    server.stop()


@pytest.fixture
def sandbox(shared: Sandbox) -> Iterator[Sandbox]:
    yield shared
    shared.control("faults")


@pytest.fixture(params=["sandbox", "stripe"] if KEY else ["sandbox"])
def place(request: pytest.FixtureRequest) -> Place:
    """Return the sandbox, or Stripe itself if STRIPE_TEST_KEY is set, one after the other."""
    if request.param == "stripe":
        return stripe_place()
    return sandbox_place(request.getfixturevalue("sandbox"))


@pytest.fixture
def world(place: Place) -> Iterator[World]:
    """Make a customer with a test clock at the sandbox or at Stripe."""
    world = World(place)
    yield world
    world.end()


def open_shop(sandbox: Sandbox, *, amount: int = 2_000, interval: Any = "month") -> Shop:
    customer = sandbox.api.customers.create({"email": "eve@example.com", "name": "Eve"})
    product = sandbox.api.products.create({"name": "Pro"})
    price = sandbox.api.prices.create(
        {
            "product": product.id,
            "currency": "usd",
            "unit_amount": amount,
            "recurring": {"interval": interval},
        }
    )
    return Shop(sandbox, customer.id, price.id)


@pytest.fixture
def shop(sandbox: Sandbox) -> Iterator[Shop]:
    """Make a shop, and delete its customer afterwards, so that no subscription renews later."""
    shop = open_shop(sandbox)
    yield shop
    sandbox.control("faults")
    path, key = f"/v1/customers/{shop.customer}", {"Authorization": "Bearer sk_test_sandbox"}
    assert sandbox.http.delete(path, headers=key).status_code in {200, 404}
