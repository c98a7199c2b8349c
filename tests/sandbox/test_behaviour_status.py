"""Which invoice decides about a subscription's status, each rule by its row in BEHAVIOUR.md."""

from itertools import product
from typing import Any

import pytest

from tests.sandbox.places import World

ACTIONS = ("nothing", "pay", "void_invoice", "mark_uncollectible")


def owing(world: World, renewal_count: int = 2) -> tuple[str, list[str]]:
    """Return a subscription with unpaid renewals, and their invoices, the oldest first."""
    world.give_card()
    started = world.subscribe()
    world.give_card("pm_card_chargeCustomerFail")
    owed = [world.renew(started.id).latest_invoice.id for _ in range(renewal_count)]
    return started.id, owed


def act(world: World, action: str, invoice_id: str) -> None:
    """Settle an invoice in one of the ways there are."""
    if action == "pay":
        card = world.api.payment_methods.attach("pm_card_visa", {"customer": world.customer}).id
        world.api.invoices.pay(invoice_id, {"payment_method": card})
    elif action != "nothing":
        getattr(world.api.invoices, action)(invoice_id)


def status(world: World, subscription_id: str) -> Any:
    return world.api.subscriptions.retrieve(subscription_id).status


def wanted(older: str, newest: str) -> str:
    """Say what two unpaid invoices come to: the newest decides, unless it is void."""
    deciding = older if newest == "void_invoice" else newest
    return "past_due" if deciding == "nothing" else "active"


@pytest.mark.parametrize("is_newest_first", [False, True])
@pytest.mark.parametrize(("older", "newest"), list(product(ACTIONS, ACTIONS)))
def test_the_newest_invoice_that_is_not_void_decides(
    older: str, newest: str, is_newest_first: bool, world: World
) -> None:
    subscription, owed = owing(world)
    steps = list(zip((older, newest), owed, strict=True))
    for action, invoice in steps[::-1] if is_newest_first else steps:
        act(world, action, invoice)
    assert status(world, subscription) == wanted(older, newest)


@pytest.mark.parametrize("action", ACTIONS)
def test_a_draft_does_not_count(action: str, world: World) -> None:
    subscription, (owed,) = owing(world, 1)
    end = world.see(subscription)["items"].data[0].current_period_end
    world.advance(to=end + 60)
    drafted = world.see(subscription)
    assert (drafted.status, drafted.latest_invoice.status) == ("past_due", "draft")
    act(world, action, owed)
    assert status(world, subscription) == wanted(action, "void_invoice")
    world.advance(to=end + 3_700)
    # Reason: the draft is finalized and its charge fails, whatever became of the one before.
    assert status(world, subscription) == "past_due"


def test_voiding_what_was_uncollectible_brings_the_older_debt_back(world: World) -> None:
    subscription, (_, newest) = owing(world)
    act(world, "mark_uncollectible", newest)
    assert status(world, subscription) == "active"
    act(world, "void_invoice", newest)
    assert status(world, subscription) == "past_due"


def test_an_invoice_made_by_hand_does_not_count(world: World) -> None:
    subscription, _ = owing(world, 1)
    extra = {"customer": world.customer, "subscription": subscription}
    world.api.invoice_items.create({**extra, "amount": 500, "currency": "usd"})
    made = world.api.invoices.create({**extra, "auto_advance": False})
    act(world, "pay", made.id)
    assert world.api.invoices.retrieve(made.id).status == "paid"
    assert status(world, subscription) == "past_due"
