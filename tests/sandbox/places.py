"""Where behaviour is looked at: in the sandbox, and with a test key at Stripe itself."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import stripe

from tests.sandbox.servers import Sandbox, wait_for

KEY = os.environ.get("STRIPE_TEST_KEY", "")
BEHIND_SECONDS = 300
PATH = "latest_invoice.payments.data.payment.payment_intent"


@dataclass
class Place:
    """An account to try things in; only Stripe's own calls are used."""

    api: Any
    client: stripe.StripeClient
    patience_seconds: float
    pause_seconds: float

    def until(self, what: str, look: Callable[[], Any]) -> Any:
        """Look until there is something to be seen, as long as the place may need."""
        return wait_for(what, look, self.patience_seconds, self.pause_seconds)


def sandbox_place(sandbox: Sandbox) -> Place:
    return _place("sk_test_behaviour", {"api": sandbox.url}, 100, 0.01)


def stripe_place() -> Place:
    """Stripe, in test mode: anything but a test key is refused."""
    assert KEY.startswith(("sk_test_", "rk_test_")), "STRIPE_TEST_KEY is no test key"
    return _place(KEY, {}, BEHIND_SECONDS, 2)


def _place(key: str, bases: Any, patience_seconds: float, pause_seconds: float) -> Place:
    client = stripe.StripeClient(key, base_addresses=bases, max_network_retries=0)
    return Place(client.v1, client, patience_seconds, pause_seconds)


class World:
    """A customer on a test clock of their own, and what they can be sold."""

    def __init__(self, place: Place, frozen_time: int | None = None) -> None:
        self.place = place
        self.api = place.api
        self.begun_at = int(time.time()) - 60
        start = frozen_time or int(time.time())
        self.clock: str = self.api.test_helpers.test_clocks.create({"frozen_time": start}).id
        self.customer: str = self.api.customers.create(
            {"email": "eve@example.com", "test_clock": self.clock}
        ).id

    @property
    def now(self) -> int:
        """The clock's time."""
        clock = self.api.test_helpers.test_clocks.retrieve(self.clock)
        return int(clock.frozen_time)

    def advance(self, *, to: int | None = None, days: float = 0, seconds: int = 0) -> None:
        """Move the clock, and wait until all that was due by then is done."""
        target = to or self.now + int(days * 86_400) + seconds
        self.api.test_helpers.test_clocks.advance(self.clock, {"frozen_time": target})

        def is_there() -> bool:
            clock = self.api.test_helpers.test_clocks.retrieve(self.clock)
            return bool(clock.status == "ready")

        self.place.until("the test clock", is_there)

    def price(self, amount: int = 2_000, currency: str = "usd", **recurring: Any) -> str:
        """Make a product with a price, by the month if nothing else is said."""
        product = self.api.products.create({"name": "Behaviour"})
        wanted = {"interval": "month", **recurring}
        price = {"product": product.id, "currency": currency, "unit_amount": amount}
        return str(self.api.prices.create({**price, "recurring": wanted}).id)

    def give_card(self, name: str = "pm_card_visa") -> str:
        """Attach a card of Stripe's documentation and make it the customer's default."""
        method = self.api.payment_methods.attach(name, {"customer": self.customer})
        settings = {"default_payment_method": method.id}
        self.api.customers.update(self.customer, {"invoice_settings": settings})
        return str(method.id)

    def subscribe(self, price: str | None = None, **params: Any) -> Any:
        """Subscribe the customer."""
        items = params.pop("items", None) or [{"price": price or self.price()}]
        wanted = {"customer": self.customer, "items": items, **params}
        return self.see(self.api.subscriptions.create(wanted).id)

    def see(self, subscription_id: str) -> Any:
        """Return a subscription with its latest invoice and that one's payment intent."""
        return self.api.subscriptions.retrieve(subscription_id, {"expand": [PATH]})

    def renew(self, subscription_id: str) -> Any:
        """Go past the end of the period and the draft's hour."""
        end = self.see(subscription_id)["items"].data[0].current_period_end
        self.advance(to=end + 3_700)
        return self.see(subscription_id)

    def event(self, kind: str, object_id: str) -> Any:
        """Return an event of a type about an object, once it is there."""

        def look() -> Any:
            page = {"type": kind, "limit": 100}
            events = self.api.events.list(page).data
            return next((e for e in events if e.data.object.id == object_id), None)

        return self.place.until(f"{kind} of {object_id}", look)

    def event_count(self, kind: str, object_id: str) -> int:
        """Return how many events of a type there are about an object by now."""
        events = self.api.events.list({"type": kind, "limit": 100}).data
        return sum(event.data.object.id == object_id for event in events)

    def end(self) -> None:
        """Leave nothing behind: the customer goes with the clock."""
        self.api.test_helpers.test_clocks.delete(self.clock)
