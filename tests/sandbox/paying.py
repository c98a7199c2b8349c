"""One-off payments, and what tests of the payment side ask of them."""

from typing import Any

from tests.sandbox.conftest import Shop
from tests.sandbox.servers import Sandbox

AUTH = {"Authorization": "Bearer sk_test_sandbox"}
CARDS = {"allowed_payment_method_types": ["card"]}


def pay(sandbox: Sandbox, card: str = "pm_card_visa", **params: Any) -> Any:
    """Make and confirm a payment intent."""
    body = {"amount": 1_000, "currency": "usd", "payment_method": card, "confirm": True}
    return sandbox.api.payment_intents.create({**body, **CARDS, **params})


def keep(shop: Shop, card: str) -> str:
    """Attach a card to the shop's customer."""
    return str(shop.sandbox.api.payment_methods.attach(card, {"customer": shop.customer}).id)


def charge_of(sandbox: Sandbox, intent: Any, *expand: str) -> Any:
    """Return an intent's charge as it is now, once its capture is done."""
    sandbox.advance()
    return sandbox.api.charges.retrieve(intent.latest_charge, {"expand": list(expand)})


def answer(sandbox: Sandbox, intent: Any, outcome: str = "succeeded") -> Any:
    """Answer a challenge as a customer would, and return the document."""
    reply = sandbox.http.post(f"/_sandbox/3ds/{intent.id}", json={"outcome": outcome})
    assert reply.is_success, reply.text
    return reply.json()


def told(sandbox: Sandbox, kind: str, *objects: Any) -> list[str]:
    """Return the types of the latest events of a kind about these objects, oldest first."""
    query = {"type": f"{kind}.*", "limit": "30"}
    events = sandbox.http.get("/v1/events", params=query, headers=AUTH).json()["data"]
    ids = {getattr(entry, "id", entry) for entry in objects}
    return [e["type"] for e in reversed(events) if e["data"]["object"].get("id") in ids]
