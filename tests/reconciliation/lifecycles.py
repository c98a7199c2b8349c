"""Seeded lifecycles: what customers and people at the Dashboard do to subscriptions in weeks."""

import random
from dataclasses import dataclass
from typing import Any

from domain.payment_retries.lifecycle import CLOSED
from tests.api.conftest import Person
from tests.reconciliation.shop import Json, Shop

# Reason: Stripe keeps events for 30 days.
DAYS = 27
SCRIPTS = (
    ("ok",),
    ("ok", "insufficient_funds"),
    ("ok", "ok", "lost_card"),
    ("ok", "do_not_honor", "ok"),
)
ENDED = ("canceled", "incomplete_expired")


@dataclass(frozen=True)
class Deed:
    """What somebody does on a day."""

    day: int
    name: str
    number: int = 0


@dataclass(frozen=True)
class Story:
    """A lifecycle that is the same whenever it is played: the card's answers, and deeds."""

    script: tuple[str, ...]
    deeds: tuple[Deed, ...]

    @property
    def is_timed(self) -> bool:
        """Whether the end depends on how soon a debt is charged to a new card.

        Who cancels a subscription at the Dashboard, or voids its invoices, a day after a new card,
        ends another one if the card was not charged yet, because its event was late or lost.
        """
        cards = [deed.name for deed in self.deeds[:-1]].count("use_another_card")
        return bool(cards) and set(self.script) != {"ok"}


def write_story(seed: str) -> Story:
    dice = random.Random(seed)  # noqa: S311
    count = dice.randrange(4)
    days = sorted(dice.sample(range(1, DAYS), count))
    deeds = tuple(Deed(day, dice.choice(sorted(DEEDS)), dice.randint(2, 9)) for day in days)
    return Story(dice.choice(SCRIPTS), deeds)


@dataclass
class Life:
    """A customer, and the story that is played."""

    shop: Shop
    person: Person
    subscription: Json
    story: Story

    @property
    def stripe_id(self) -> str:
        return str(self.subscription["stripe_subscription_id"])

    async def do(self, day: int) -> None:
        """Do what the story has for a day, unless the subscription has ended."""
        for deed in self.story.deeds:
            if deed.day == day and (await self.at_stripe())["status"] not in ENDED:
                await DEEDS[deed.name](self, deed)

    async def at_stripe(self) -> Json:
        found: Json = await self.shop.stripe.read(f"subscriptions/{self.stripe_id}")
        return found

    async def invoices_at_stripe(self) -> list[Json]:
        listed = await self.shop.stripe.read("invoices", subscription=self.stripe_id, limit=100)
        found: list[Json] = listed["data"]
        return found

    async def ours(self) -> Json:
        found: Json = await self.person.get(f"subscriptions/{self.subscription['subscription_id']}")
        return found

    async def end(self) -> Json:
        """Return how it ended, as we see it, without what differs from play to play."""
        ours, key = await self.ours(), self.subscription["subscription_id"]
        invoices = await self.person.get(f"subscriptions/{key}/invoices", limit=200)
        payments = await self.person.get("payments", limit=200)
        retries = await self.person.get("payment-retries", limit=200)
        cards = await self.person.get("payment-methods", limit=200)
        facts = ("subscription_status", "access", "quantity", "is_parked")
        return {
            **{name: ours[name] for name in facts},
            "is_canceled": ours["canceled_at"] is not None,
            "will_end": ours["cancel_at"] is not None,
            "invoices": sorted(
                (each["invoice_status"], each["amount_due_cents"], each["amount_paid_cents"])
                for each in invoices["items"]
            ),
            "payments": sorted(
                (each["payment_status"], each["amount_cents"], each["refunded_cents"])
                for each in payments["items"]
            ),
            # Reason: what was paid before we learned of the failure never had a payment retry.
            "open_retries": sorted(
                each["retry_status"]
                for each in retries["items"]
                if each["retry_status"] not in CLOSED
            ),
            "default_cards": sum(each["is_default"] for each in cards["items"]),
            "card_count": len(cards["items"]),
        }

    async def differences(self) -> Json:
        """Return in what our view differs from Stripe."""
        ours, theirs = await self.ours(), await self.at_stripe()
        key = self.subscription["subscription_id"]
        stored = (await self.person.get(f"subscriptions/{key}/invoices", limit=200))["items"]
        pairs = {
            "status": (ours["subscription_status"], theirs["status"]),
            "quantity": (ours["quantity"], theirs["items"]["data"][0]["quantity"]),
            "will_end": (ours["cancel_at"] is not None, theirs["cancel_at"] is not None),
            "invoices": (
                sorted((each["stripe_invoice_id"], each["invoice_status"]) for each in stored),
                sorted((each["id"], each["status"]) for each in await self.invoices_at_stripe()),
            ),
        }
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


async def _cancel_now(life: Life, _: Deed) -> None:
    await life.shop.stripe.send("DELETE", f"subscriptions/{life.stripe_id}")


async def _cancel_at_end(life: Life, _: Deed) -> None:
    await _update(life, cancel_at_period_end="true")


async def _uncancel(life: Life, _: Deed) -> None:
    await _update(life, cancel_at_period_end="false")


async def _change_quantity(life: Life, deed: Deed) -> None:
    item = (await life.at_stripe())["items"]["data"][0]["id"]
    fields = {"items[0][id]": item, "items[0][quantity]": deed.number}
    await _update(life, proration_behavior="none", **fields)


async def _update(life: Life, **fields: Any) -> None:
    await life.shop.stripe.send("POST", f"subscriptions/{life.stripe_id}", **fields)


async def _use_another_card(life: Life, _: Deed) -> None:
    """Put another card in the customer portal."""
    customer = (await life.at_stripe())["customer"]
    card = await life.shop.stripe.card("ok")
    await life.shop.stripe.send("POST", f"payment_methods/{card}/attach", customer=customer)
    fields = {"invoice_settings[default_payment_method]": card}
    await life.shop.stripe.send("POST", f"customers/{customer}", **fields)


async def _pay_open_invoices(life: Life, _: Deed) -> None:
    """Pay on Stripe's page."""
    for invoice in await life.invoices_at_stripe():
        if invoice["status"] == "open":
            card = {"payment_method": await life.shop.stripe.card("ok")}
            reply = await life.shop.stripe.http.post(f"/i/{invoice['id']}", json=card)
            assert reply.is_success, reply.text


async def _void_open_invoices(life: Life, _: Deed) -> None:
    for invoice in await life.invoices_at_stripe():
        if invoice["status"] == "open":
            await life.shop.stripe.send("POST", f"invoices/{invoice['id']}/void")


async def _refund(life: Life, deed: Deed) -> None:
    """Refund a part of the oldest payment that has no refund, at the Dashboard."""
    customer = (await life.at_stripe())["customer"]
    charges = (await life.shop.stripe.read("charges", customer=customer, limit=100))["data"]
    paid = [each for each in charges if each["paid"] and not each["amount_refunded"]]
    if paid:
        # Reason: without webhooks a debt is collected later, so the newest payment may be another
        # one; and of charges in the same second, no order is promised.
        oldest = min(paid, key=lambda each: (each["created"], each["amount"]))
        fields = {"charge": oldest["id"], "amount": 100 * deed.number}
        await life.shop.stripe.send("POST", "refunds", **fields)


async def _cancel_here(life: Life, _: Deed) -> None:
    """Cancel as the customer does, in our API."""
    path = f"subscriptions/{life.subscription['subscription_id']}/cancel"
    reply = await life.shop.post(life.person, path, mode="now")
    # Reason: the end at Stripe may be known here already, or not.
    assert reply.status_code in {200, 409}, reply.text


DEEDS = {
    "cancel_at_end": _cancel_at_end,
    "cancel_here": _cancel_here,
    "cancel_now": _cancel_now,
    "change_quantity": _change_quantity,
    "pay_open_invoices": _pay_open_invoices,
    "refund": _refund,
    "uncancel": _uncancel,
    "use_another_card": _use_another_card,
    "void_open_invoices": _void_open_invoices,
}


async def begin(shop: Shop, plan: Json, story: Story) -> Life:
    person = await shop.customer()
    subscription = await shop.subscribe(person, plan, *story.script)
    return Life(shop, person, subscription, story)
