"""The main path, told step by step, and what must be true of it whatever went wrong meanwhile."""

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import uuid4

import httpx

from tests.e2e.client import Caller, Document, World, answered
from tests.e2e.running import wait_for

SCRIPT = ("ok", "insufficient_funds", "insufficient_funds", "ok", "lost_card")
MONTH_DAYS = 32


class Step(StrEnum):
    """Where in the path something can go wrong."""

    FIRST_CARD = "first_card"
    SUBSCRIBE = "subscribe"
    RENEWAL = "renewal"
    SECOND_CARD = "second_card"
    CANCEL = "cancel"


Trouble = Callable[[Step], AbstractContextManager[None]]


def no_trouble(_: Step) -> AbstractContextManager[None]:
    """Let everything go well."""
    return nullcontext()


class Subscribed:
    """A customer with a subscription."""

    def __init__(self, world: World, plan: Document) -> None:
        self.world = world
        self.customer: Caller = world.customer()
        self._order: dict[str, Any] = {
            "json": {"plan_id": plan["plan_id"]},
            "headers": {"Idempotency-Key": uuid4().hex},
        }
        self._path = ""

    @property
    def now(self) -> Document:
        """The subscription as REST shows it."""
        return self.customer.get(self._path)

    @property
    def retries(self) -> list[Document]:
        """All payment retries, oldest first."""
        return self.customer.items("payment-retries")[::-1]

    @property
    def events(self) -> list[Document]:
        """The subscription's story."""
        return self.customer.items(f"{self._path}/events")

    @property
    def charges(self) -> list[Document]:
        """What Stripe charged for it, oldest first."""
        return self.world.stripe.charges(self.now["stripe_subscription_id"])

    def add_card(self, *script: str) -> None:
        """Attach a default card."""
        card = self.world.stripe.card(*script)
        self.customer.post("payment-methods", stripe_payment_method_id=card, is_default=True)

    def subscribe(self) -> None:
        """Start the subscription."""
        made = answered(self.customer.send("POST", "subscriptions", **self._order))
        self._path = f"subscriptions/{made['subscription_id']}"

    def try_to_subscribe(self) -> httpx.Response:
        """Send once what `subscribe` sends, under the same key."""
        return self.customer.try_once("POST", "subscriptions", **self._order)

    def cancel(self) -> None:
        """Cancel at once."""
        self.customer.post(f"{self._path}/cancel", mode="now")

    def wait_status(self, status: str) -> None:
        """Wait until REST shows a status."""
        wait_for(status, lambda: self.now["subscription_status"] == status)

    def wait_retries(self, *statuses: str) -> None:
        """Wait until the payment retries have these statuses, oldest first."""
        wanted = list(statuses)
        wait_for(f"{wanted}", lambda: [row["retry_status"] for row in self.retries] == wanted)

    def recover(self) -> None:
        """Let a month pass, and wait until the renewal is paid after all."""
        self.world.stripe.advance(MONTH_DAYS)
        self.wait_retries("recovered")
        self.wait_status("active")


class End(NamedTuple):
    """What a path came to: the same, whatever was killed on the way."""

    subscription_status: str
    access: str
    statuses: list[tuple[str, str]]
    payment_retries: list[tuple[str, int, list[tuple[str, str, str | None]]]]
    charges: list[tuple[str, str | None]]
    payment_count: int


def tell(world: World, plan: Document, trouble: Trouble) -> Subscribed:
    """Go the whole path, with trouble at some of its steps, until all is quiet.

    Args:
        world: The stack and everybody around it.
        plan: What is subscribed to; its retries take seconds.
        trouble: Entered for each step.

    Returns:
        The canceled subscription.
    """
    subscribed = Subscribed(world, plan)
    with trouble(Step.FIRST_CARD):
        subscribed.add_card(*SCRIPT)
    with trouble(Step.SUBSCRIBE):
        subscribed.subscribe()
    subscribed.wait_status("active")
    with trouble(Step.RENEWAL):
        subscribed.recover()
    world.stripe.advance(MONTH_DAYS)
    subscribed.wait_retries("recovered", "waiting_payment_method")
    with trouble(Step.SECOND_CARD):
        subscribed.add_card("ok")
    subscribed.wait_retries("recovered", "recovered")
    subscribed.wait_status("active")
    with trouble(Step.CANCEL):
        subscribed.cancel()
    subscribed.wait_status("canceled")
    world.wait_for_quiet()
    return subscribed


def audit(subscribed: Subscribed) -> End:
    """Check what always holds, and return what the path came to."""
    world, now, charges = subscribed.world, subscribed.now, subscribed.charges
    made = world.stripe.subscription_ids(now["stripe_customer_id"])
    assert made == [now["stripe_subscription_id"]], "one subscription at Stripe"
    tries = Counter((charge["invoice"], charge["idempotency_key"]) for charge in charges)
    assert set(tries.values()) == {1}, f"one charge an attempt: {tries}"
    paid = Counter(c["invoice"] for c in charges if c["outcome"] == "succeeded")
    assert set(paid.values()) == {1}, f"an invoice is paid once: {paid}"
    payments = {row["stripe_payment_intent_id"] for row in subscribed.customer.items("payments")}
    succeeded = {c["payment_intent"] for c in charges if c["outcome"] == "succeeded"}
    assert payments == succeeded, "payments are the succeeded charges"
    for retry in subscribed.retries:
        tried = [c for c in charges if c["invoice"] == retry["stripe_invoice_id"]]
        assert len(tried) == 1 + len(retry["attempts"]), "Stripe's first charge, then ours"
    received = {row["stripe_event_id"] for row in world.admin.items("webhook-events")}
    assert set(world.stripe.event_ids()) <= received, "what Stripe had taken is in the inbox"
    told = [event["data"].get("stripe_event_id") for event in subscribed.events]
    assert set(Counter(filter(None, told)).values()) == {1}, "each event is told once"
    assert not now["is_parked"]
    assert "parked" not in {event["kind"] for event in subscribed.events}
    return _end(subscribed, now, charges)


def _end(subscribed: Subscribed, now: Document, charges: list[Document]) -> End:
    changes = [e["data"] for e in subscribed.events if e["kind"] == "status_changed"]
    return End(
        subscription_status=now["subscription_status"],
        access=now["access"],
        statuses=[(data["from"], data["to"]) for data in changes],
        payment_retries=[
            (
                retry["retry_status"],
                retry["attempt_count"],
                [(a["trigger"], a["outcome"], a["decline_code"]) for a in retry["attempts"]],
            )
            for retry in subscribed.retries
        ],
        charges=[(charge["outcome"], charge["decline_code"]) for charge in charges],
        payment_count=len(subscribed.customer.items("payments")),
    )
