"""The ways that a lifecycle can go. Each story enters its phases one after the other."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from tests.campaign import people
from tests.campaign.evidence import Change, Policy
from tests.campaign.life import DAY, HOUR, Life
from tests.campaign.outside import Json
from tests.campaign.phases import Phase

MONTH = 31 * DAY + 2 * HOUR
SOFT = "insufficient_funds"
WAITING = ("waiting", "charging")
ASKING = ("waiting_payment_method", "waiting_authentication")
ENDED = ("canceled", "incomplete_expired")
_LOOK_COUNT = 10
_OVER = ("recovered", "exhausted", "canceled", "written_off")

POLICIES: dict[str, tuple[Json, Policy]] = {
    "cancel": ({"last_resort": "cancel"}, Policy()),
    "pause": ({"last_resort": "pause"}, Policy(last_resort="pause")),
    "write off": (
        {"last_resort": "mark_uncollectible", "after_uncollectible": "cancel"},
        Policy(last_resort="mark_uncollectible"),
    ),
}
"""What the plans' retries go by, in seconds of real time."""


@dataclass(frozen=True)
class Order:
    """What a lifecycle is to be.

    Attributes:
        story: Which way it goes.
        policy: What its retries go by.
        decline: The decline code that its card meets.
        meanwhile: What somebody does, and when.
        webhooks: What goes wrong with events.
    """

    story: str
    policy: str = "cancel"
    decline: str = SOFT
    meanwhile: tuple[str, Phase] = ("nothing", Phase.ACTIVE)
    webhooks: str = "prompt"

    @property
    def way(self) -> str:
        """Return what decides which calls are made."""
        return f"{self.story}, {self.policy}"


Story = Callable[[Life, Order], Awaitable[None]]
WEBHOOKS: dict[str, Json] = {
    "prompt": {},
    "doubled and mixed up": {"duplicate": 3, "shuffle": True},
    "late": {"delay_seconds": 3},
    "often lost": {"drop": 0.5},
    "off": {"off": True},
}


async def _begin(life: Life, order: Order, *script: str) -> None:
    """Sign up and subscribe, until the subscription is active."""
    await life.sign_up()
    await life.give_card(*script)
    await life.subscribe()
    await life.reach_status("active")
    await _turn(life, order, Phase.ACTIVE)


async def _turn(life: Life, order: Order, phase: Phase) -> None:
    """Enter a phase, and let somebody do something in it."""
    await life.enter(phase)
    name, when = order.meanwhile
    if when is phase:
        await people.BY_NAME[name](life)


async def _fail(life: Life, order: Order) -> bool:
    """Let the renewal fail, until its retry waits; False if somebody has made an end of it."""
    await _turn(life, order, Phase.PAST_DUE) if order.meanwhile[1] is not Phase.PAST_DUE else None
    if order.meanwhile[1] is Phase.PAST_DUE:
        await life.enter(Phase.PAST_DUE)
    before = len(await life.charges())
    await life.pass_time(MONTH)
    if len(await life.charges()) == before:
        return False
    if order.meanwhile[1] is Phase.PAST_DUE:
        await people.BY_NAME[order.meanwhile[0]](life)

    async def is_known() -> bool:
        rows = await life.caller.items("payment-retries")
        view = await life.view()
        return bool(rows) or view["subscription_status"] in ENDED or view["access"] == "full"

    await life.reach("the failed renewal to be known", is_known)
    return order.meanwhile[1] is not Phase.PAST_DUE


async def _tries(life: Life, count: int) -> str:
    """Wait until so many charges have failed, or the retry waits for the customer or is over.

    Returns:
        The retry's status, "" if it has only failed.
    """

    async def look() -> str:
        rows = await life.caller.items("payment-retries")
        status = str(rows[0]["retry_status"]) if rows else ""
        if status in (*ASKING, *_OVER):
            return status
        return "failed" if len(await life.charges()) >= count else ""

    found = await life.reach(f"{count} failed charges", look)
    return "" if found == "failed" else str(found)


async def recover(life: Life, order: Order) -> None:
    """The renewal fails, and so does the first retry; the second one is paid, and refunded."""
    await _begin(life, order, "ok", order.decline, order.decline, "ok")
    if not await _fail(life, order):
        return
    await _turn(life, order, Phase.WAIT_1)
    if order.meanwhile[1] is Phase.WAIT_1:
        return
    status = await _tries(life, 2)
    if status in ASKING:
        await _turn(life, order, Phase.ASKED)
        await life.give_card("ok")
    elif not status:
        await _turn(life, order, Phase.WAIT_2)
        if order.meanwhile[1] is Phase.WAIT_2:
            return
    await life.reach_retry("recovered")
    await _turn(life, order, Phase.RECOVERED)
    await life.reach_status("active")
    await refund(life, order)


async def refund(life: Life, order: Order) -> None:
    """An administrator refunds a part of the last payment."""
    await _turn(life, order, Phase.REFUND)
    for payment in (await life.caller.items("payments"))[:1]:
        path = f"payments/{payment['payment_id']}/refund"
        body = {"amount_cents": 500, "reason": "requested_by_customer"}
        await life.admin_command("refund", path, payment["payment_id"], **body)


async def last_resort(life: Life, order: Order) -> None:
    """Nothing is ever paid again."""
    await _begin(life, order, "ok", order.decline)
    if not await _fail(life, order):
        return
    await _turn(life, order, Phase.WAIT_1)
    if order.meanwhile[1] is Phase.WAIT_1:
        return
    if await _tries(life, 2):
        await _turn(life, order, Phase.ASKED)
        return
    await _turn(life, order, Phase.WAIT_2)
    if order.meanwhile[1] is Phase.WAIT_2:
        return
    await _tries(life, 3)
    await _turn(life, order, Phase.LAST_RESORT)
    retry = await life.reach_retry(*_OVER)
    if order.policy == "write off" and retry["retry_status"] == "exhausted":
        await _stays_out(life)
    if order.policy == "cancel" and retry["retry_status"] == "exhausted":
        # Reason: whoever pays on Stripe's page before the cancel is carried out goes on.
        await life.reach_status(*ENDED, *(["active"] if life.told.hosted else []))


async def _stays_out(life: Life) -> None:
    """Look for a while whether a write-off gives access, which makes it active at Stripe."""
    for _ in range(_LOOK_COUNT):
        if (await life.view())["access"] == "full":
            life.problems.append("what was written off gives access")
            return
        await asyncio.sleep(0.5)


async def older_debt(life: Life, order: Order) -> None:
    """A renewal fails; before its retry the next one comes, and is paid or fails too."""
    second = life.dice.choice(("ok", order.decline))
    await _begin(life, order, "ok", order.decline, second, order.decline, "ok")
    await _turn(life, order, Phase.PAST_DUE)
    await life.pass_time(MONTH)
    await life.pass_time(MONTH)
    await _turn(life, order, Phase.WAIT_1)

    async def is_auto_charged() -> bool:
        rows = await life.caller.items("payment-retries")
        return bool(rows) and all(row["retry_status"] in (*_OVER, *ASKING) for row in rows)

    await life.reach("an end of all payment retries", is_auto_charged)
    await _turn(life, order, Phase.RECOVERED)


async def lost_card(life: Life, order: Order) -> None:
    """The card is refused for good; another one is given."""
    await _begin(life, order, "ok", "lost_card")
    if not await _fail(life, order):
        return
    await life.reach_retry(*ASKING)
    await _turn(life, order, Phase.ASKED)
    await life.give_card(order.decline, "ok") if order.decline != SOFT else await life.give_card(
        "ok"
    )
    if order.decline != SOFT:
        return
    await life.reach_retry("recovered")
    await _turn(life, order, Phase.RECOVERED)
    await life.reach_status("active")


async def challenge(life: Life, order: Order) -> None:
    """The bank wants the customer to confirm a renewal."""
    await _begin(life, order, "ok", "authentication_required", "ok")
    if not await _fail(life, order):
        return
    await life.reach_retry(*ASKING)
    await _turn(life, order, Phase.ASKED)
    invoice = await life.invoice()
    paid = await life.outside.stripe.get(f"/invoices/{invoice['id']}", expand=["payments"])
    rows = paid["payments"]["data"]
    intent = rows[0]["payment"]["payment_intent"] if rows else ""
    outcome = "failed" if life.dice.random() < 0.4 else "succeeded"
    await life.outside.stripe.http.post(f"/_sandbox/3ds/{intent}", json={"outcome": outcome})
    if outcome == "failed":
        await life.give_card("ok")


async def declined_start(life: Life, order: Order) -> None:
    """The first charge is declined; the customer pays on Stripe's page, cancels or goes away."""
    await life.sign_up()
    await life.give_card(order.decline, "ok")
    await life.subscribe()
    await life.reach("the subscription at Stripe", life.stripe_subscription)
    await life.reach_status("incomplete", "active", *ENDED)
    await _turn(life, order, Phase.ACTIVE)
    way = life.dice.choice(("pay", "cancel", "leave"))
    if way == "pay":
        await people.pay_hosted(life)
    elif way == "cancel":
        await life.cancel()
    else:
        await life.pass_time(24 * HOUR)


async def hasty(life: Life, order: Order) -> None:
    """The customer cancels before anything has an answer."""
    await life.sign_up()
    await life.give_card("ok")
    await life.subscribe()
    await life.cancel()


async def payments(life: Life, order: Order) -> None:
    """One-off payments: paid and refunded, declined, challenged and canceled."""
    await life.sign_up()
    cards = [
        await life.give_card(*script, is_default=False)
        for script in (("ok",), (order.decline,), ("authentication_required", "ok"))
    ]
    await life.enter(Phase.ACTIVE)
    made = []
    for card in cards:
        body: Json = {"amount_cents": 4_200, "currency_code": "usd", "payment_method_id": card}
        made.append(await life.command("pay", "payments", **body))
    for payment in made:
        if payment:
            await life.reach_payment(payment["payment_id"])
    if made[2]:
        await life.enter(Phase.CANCEL)
        payment_id = made[2]["payment_id"]
        await life.command("cancel payment", f"payments/{payment_id}/cancel", payment_id)
    await life.enter(Phase.REFUND)
    if made[0]:
        payment_id = made[0]["payment_id"]
        body = {"amount_cents": 1_200, "reason": "requested_by_customer"}
        await life.admin_command("refund", f"payments/{payment_id}/refund", payment_id, **body)


async def cards(life: Life, order: Order) -> None:
    """The customer keeps several cards, changes the default, and removes one."""
    await _begin(life, order, "ok")
    other = await life.give_card("ok", is_default=False)
    await life.command("default", f"payment-methods/{other}/default")
    third = await life.give_card("ok")
    await life.command(
        "payment method", f"subscriptions/{life.subscription_id}/payment-method",
        payment_method_id=third,
    )  # fmt: skip
    await life.remove_card(other)
    await life.command("set up", "payment-methods/setup-intent")
    await life.enter(Phase.PAST_DUE)
    await life.pass_time(MONTH)
    await life.reach_status("active")


async def second_thoughts(life: Life, order: Order) -> None:
    """The customer plans the end, takes it back, pauses, resumes, and wants unused money back."""
    await _begin(life, order, "ok")
    path = f"subscriptions/{life.subscription_id}"
    await life.command("end later", f"{path}/cancel", mode="at_period_end")
    await life.command("uncancel", f"{path}/uncancel")
    await life.pass_time(10 * DAY)
    await _turn(life, order, Phase.PAUSED)
    await life.command("pause", f"{path}/pause")
    await life.pass_time(5 * DAY)
    await life.command("resume", f"{path}/resume")
    await life.enter(Phase.CANCEL)
    target = life.subscription_id
    await life.command("cancel", f"{path}/cancel", target, mode="now", refund="unused")


async def changes(life: Life, order: Order) -> None:
    """The customer upgrades after a preview, and plans a change, twice; a month passes."""
    await _begin(life, order, "ok")
    path, target = f"subscriptions/{life.subscription_id}", life.subscription_id
    await life.pass_time(10 * DAY)
    await _turn(life, order, Phase.CHANGED)
    await _upgrade(life, path)
    await _change_later(life, path, quantity=3)
    await life.command("drop change", f"{path}/cancel-scheduled-change")
    coupon = await life.outside.stripe.post(
        "/coupons", id=f"coupon_{uuid4().hex}", percent_off=10, duration="forever"
    )
    await life.admin_command("discount", f"{path}/discount", target, coupon=coupon["id"])
    await life.command("remove discount", f"{path}/remove-discount")
    planned = await _change_later(life, path, quantity=2)
    if order.meanwhile[1] is Phase.CHANGED and order.meanwhile[0] != "nothing":
        return  # it may have ended
    if planned:
        life.told.terms["quantity"] = 2
    await life.enter(Phase.RENEWED)
    await life.pass_time(MONTH)
    await life.reach_status("active")


async def _upgrade(life: Life, path: str) -> None:
    """Change to the larger plan at once, at the moment of a preview."""
    offer = {"plan_id": life.plans.larger_id}
    preview = await life.command("preview", f"{path}/preview-change", **offer)
    moment = {"proration_date": preview["proration_date"]} if preview else {}
    await life.command("change plan", f"{path}/change-plan", **offer, **moment)
    status = life.told.words[-1].status
    cents = preview["amount_due_now_cents"] if preview else None
    life.told.changes.append(Change(life.subscription_id, cents, status))
    if status == 200:
        life.told.terms["plan_id"] = offer["plan_id"]


async def _change_later(life: Life, path: str, **terms: Any) -> Json | None:
    body = terms | {"when": "at_period_end"}
    return await life.command("change later", f"{path}/change-plan", **body)


async def trial(life: Life, order: Order) -> None:
    """A trial is extended by an administrator, and ended early by the customer."""
    await life.sign_up()
    await life.give_card("ok")
    await life.subscribe(life.plans.trial_id)
    view = await life.reach_status("trialing")
    await _turn(life, order, Phase.CHANGED)
    path, target = f"subscriptions/{life.subscription_id}", life.subscription_id
    later = datetime.fromisoformat(view["trial_end"]) + timedelta(days=3)
    await life.admin_command(
        "extend trial", f"{path}/extend-trial", target, trial_end=later.isoformat()
    )
    if life.dice.random() < 0.5:
        await life.command("end trial", f"{path}/end-trial")
    if order.meanwhile[1] is Phase.CHANGED and order.meanwhile[0] != "nothing":
        return  # it may have ended
    await life.enter(Phase.RENEWED)
    await life.pass_time(18 * DAY)
    await life.reach_status("active")


async def checkout(life: Life, order: Order) -> None:
    """The customer leaves one page of Stripe's Checkout, and pays on the next one."""
    await life.sign_up()
    ways = {
        "success_url": "https://app.example/welcome",
        "cancel_url": "https://app.example/prices",
    }
    body = {"plan_id": life.plans.ids[life.policy]} | ways
    await life.order("open checkout", "checkout-sessions", **body)
    page = await life.order("open checkout", "checkout-sessions", **body)
    await life.enter(Phase.CHANGED)
    session_id = urlsplit(page["url"]).path.rpartition("/")[2]
    given = {"payment_method": await life.outside.sandbox.card("ok")}
    await life.outside.sandbox.control("POST", f"checkout/{session_id}/complete", **given)

    async def is_known() -> bool:
        path = f"subscriptions/{life.subscription_id}"
        return (await life.caller.once("GET", path)).is_success

    await life.reach("the paid subscription", is_known)
    await life.reach_status("active")
    await _turn(life, order, Phase.ACTIVE)
    await life.command("portal", "portal-sessions", return_url="https://app.example")
    if order.meanwhile[1] is Phase.ACTIVE and order.meanwhile[0] != "nothing":
        return  # it may have ended
    await life.enter(Phase.RENEWED)
    await life.pass_time(MONTH)
    await life.reach_status("active")


STORIES: dict[str, Story] = {
    story.__name__: story
    for story in (
        recover,
        last_resort,
        older_debt,
        lost_card,
        challenge,
        declined_start,
        hasty,
        payments,
        cards,
        second_thoughts,
        changes,
        trial,
        checkout,
    )
}
