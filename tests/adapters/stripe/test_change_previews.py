"""What a change is said to cost is what its invoices then say, to the minor unit.

Subscriptions of every interval, from month ends and leap years on, in currencies with none, two and
three decimals, with and without discounts, balances, trials and waiting invoice items, are changed
at any moment of a period, at once or at its end.
"""

import asyncio
import calendar
import random
import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from adapters.stripe.subscriptions import StripeSubscriptions
from domain.subscriptions.previews import ChangePreview, ChangeTerms
from services.subscriptions.changes.at_once import SubscriptionChanges
from services.subscriptions.changes.previews import ChangePreviews
from services.subscriptions.changes.scheduled import ScheduledChanges
from services.subscriptions.stripe_sync import SubscriptionSync
from tests.adapters.stripe.scenes import HEADERS, Adapters, Shop, open_shop
from tests.conftest import Measure
from tests.sandbox.oracle import STEPS

INTERVALS = [
    ("day", 1), ("day", 10), ("day", 45), ("week", 1), ("week", 3), ("month", 1), ("month", 1),
    ("month", 2), ("month", 3), ("month", 6), ("year", 1), ("year", 2),
]  # fmt: skip
CURRENCIES = ["usd", "eur", "gbp", "jpy", "krw", "kwd", "bhd", "tnd"]
HOURS_OF_DRAFT = 2
KINDS = ["now", "now", "now", "at_period_end"]


@dataclass(frozen=True)
class Case:
    """A subscription and a change of it.

    Args:
        when: `now` or `at_period_end`.
        start: When the subscription begins, on a clock of its own.
        intervals: Interval before the change, and after it.
        prices: Unit amount before the change, and after it.
        quantities: Quantity before the change, and after it.
        coupon: Parameters of a coupon, if the subscription has a discount.
        balance: Balance of the customer; a credit is negative.
        waiting: Amount of an invoice item that waits for an invoice; 0 for none.
        trial_days: Length of the trial; 0 for none.
        renewal_count: Renewals before the change.
        moment: Part of the period that is over when the change is made.
        is_replaced: Whether another change waited for the end of the period before.
    """

    when: str
    start: int
    intervals: tuple[tuple[str, int], tuple[str, int]]
    currency: str
    prices: tuple[int, int]
    quantities: tuple[int, int]
    coupon: dict[str, Any] | None
    balance: int
    waiting: int
    trial_days: int
    renewal_count: int
    moment: float
    is_replaced: bool


def generate(dice: random.Random) -> Case:
    """Return a case; many begin at the end of a month."""
    year, month = dice.randint(2024, 2036), dice.choice([1, 1, 2, *range(1, 13)])
    last = calendar.monthrange(year, month)[1]
    day = dice.choice([last, last, last - 1, *dice.sample(range(1, last), 2)])
    currency = dice.choice(CURRENCIES)
    step, first = STEPS.get(currency, 1), dice.choice(INTERVALS)
    trial_days = dice.choice([0, 0, 0, 0, 10])
    is_replaced = dice.random() < 0.15
    return Case(
        when=dice.choice(KINDS),
        start=int(datetime(year, month, day, tzinfo=UTC).timestamp()) + dice.randrange(86_400),
        intervals=(first, dice.choice([first, first, dice.choice(INTERVALS)])),
        currency=currency,
        prices=(dice.randint(500, 50_000) * step, dice.randint(500, 50_000) * step),
        quantities=(dice.choice([1, 1, 2, 7, 250]), dice.choice([1, 1, 3, 10, 100])),
        coupon=_coupon(dice, currency, step) if dice.random() < 0.4 else None,
        balance=dice.choice([0, 0, 0, -700, -100_000]) * step,
        waiting=0 if is_replaced else dice.choice([0, 0, 0, 900, -900]) * step,
        trial_days=trial_days,
        renewal_count=0 if trial_days else dice.randint(0, 2),
        moment=dice.uniform(0.01, 0.95),
        is_replaced=is_replaced,
    )


def _coupon(dice: random.Random, currency: str, step: int) -> dict[str, Any]:
    off: dict[str, Any] = {"percent_off": dice.choice([10, 12.5, 33.33, 50])}
    if dice.random() < 0.3:
        off = {"amount_off": dice.randint(1, 400) * step, "currency": currency}
    duration = dice.choice(["forever", "once", "repeating"])
    months = {"duration_in_months": dice.randint(1, 14)} if duration == "repeating" else {}
    return {**off, "duration": duration, **months}


class Life:
    """Leads one case's life at the stand-in, by the services that the product uses."""

    def __init__(self, shop: Shop, case: Case) -> None:
        adapters: Any = Adapters(shop.recording)
        self.shop, self.case, self.subscription_id = shop, case, uuid4()
        self.subscriptions: StripeSubscriptions = adapters.subscriptions
        nowhere: Any = None  # nothing is stored here
        sync = SubscriptionSync(
            adapters.subscriptions, adapters.invoices, adapters.customers, nowhere
        )
        self.previews = ChangePreviews(adapters.subscriptions, adapters.previews, adapters.coupons)
        self.changes = SubscriptionChanges(sync, adapters.changes, adapters.invoice_items)
        self.scheduled = ScheduledChanges(adapters.subscriptions, adapters.schedules)

    async def get(self, path: str, **params: Any) -> Any:
        reply = await self.shop.http.get(f"/v1/{path}", params=params, headers=HEADERS)
        return reply.raise_for_status().json()

    async def post(self, path: str, **params: Any) -> Any:
        made = await self.shop.post(f"/v1/{path}", **params)
        assert "error" not in made, (path, params, made)
        return made

    async def price(self, number: int) -> str:
        name, count = self.case.intervals[number]
        return await self.shop.price(
            currency=self.case.currency,
            unit_amount=self.case.prices[number],
            recurring={"interval": name, "interval_count": count},
        )

    async def begin(self) -> None:
        case = self.case
        clock = await self.post("test_helpers/test_clocks", frozen_time=case.start)
        self.clock, self.now = clock["id"], case.start
        customer = await self.post("customers", test_clock=self.clock)
        self.customer = customer["id"]
        card = await self.shop.card("ok")
        await self.post(f"payment_methods/{card}/attach", customer=self.customer)
        await self.post(
            f"customers/{self.customer}", invoice_settings={"default_payment_method": card}
        )
        params: dict[str, Any] = {
            "customer": self.customer,
            "items": [{"price": await self.price(0), "quantity": case.quantities[0]}],
        }
        if case.coupon is not None:
            coupon = await self.post("coupons", **case.coupon)
            params["discounts"] = [{"coupon": coupon["id"]}]
        if case.trial_days:
            params["trial_period_days"] = case.trial_days
        made = await self.post("subscriptions", **params)
        assert made["status"] == ("trialing" if case.trial_days else "active"), made["status"]
        self.stripe_id = made["id"]

    async def go_to(self, moment: int) -> None:
        """Bring the clock to a moment, in steps that Stripe allows."""
        while self.now < moment:
            self.now = min(moment, self.now + self._longest_step())
            path = f"test_helpers/test_clocks/{self.clock}"
            await self.post(f"{path}/advance", frozen_time=self.now)
            while (await self.get(path))["status"] != "ready":  # noqa: ASYNC110 - it tells nothing
                await asyncio.sleep(0)

    def _longest_step(self) -> int:
        days = {"day": 1, "week": 7, "month": 28, "year": 365}
        return min(days[name] * count for name, count in self.case.intervals) * 86_400

    async def period(self) -> tuple[int, int]:
        item = (await self.get(f"subscriptions/{self.stripe_id}"))["items"]["data"][0]
        return item["current_period_start"], item["current_period_end"]

    async def reach_the_moment(self) -> None:
        for _ in range(self.case.renewal_count):
            _, end = await self.period()
            await self.go_to(end + HOURS_OF_DRAFT * 3_600)
        start, end = await self.period()
        await self.go_to(max(self.now, start + int((end - start) * self.case.moment)))
        if self.case.balance:
            await self.post(
                f"customers/{self.customer}/balance_transactions",
                amount=self.case.balance,
                currency=self.case.currency,
            )
        if self.case.waiting:
            await self.post(
                "invoiceitems",
                customer=self.customer,
                subscription=self.stripe_id,
                amount=self.case.waiting,
                currency=self.case.currency,
            )

    async def change(self) -> tuple[ChangePreview, str]:
        """Preview the change, make it, and return the preview and the invoice before it."""
        case = self.case
        terms = ChangeTerms(
            stripe_price_id=await self.price(1),
            quantity=case.quantities[1],
            is_at_period_end=case.when == "at_period_end",
        )
        if case.is_replaced:
            held = await self.subscriptions.status(self.stripe_id)
            other = ChangeTerms(quantity=case.quantities[0] + 1)
            await self.scheduled.plan(self.subscription_id, held, other, uuid4(), f"k{uuid4()}")
        preview = await self.previews.of_change(self.stripe_id, terms, f"p{uuid4()}")
        before = (await self.get(f"subscriptions/{self.stripe_id}"))["latest_invoice"]
        # Reason: a while passes before the customer agrees.
        _, end = await self.period()
        await self.go_to(max(self.now, min(self.now + 600, end - 60)))
        held = await self.subscriptions.status(self.stripe_id)
        key, command_id = f"k{uuid4()}", uuid4()
        if terms.is_at_period_end:
            await self.scheduled.plan(self.subscription_id, held, terms, command_id, key)
        else:
            await self.scheduled.release(self.subscription_id, held, key)
            dated = terms.model_copy(update={"proration_date": preview.proration_date})
            held = await self.subscriptions.status(self.stripe_id)
            await self.changes.change(held, dated, command_id, key)
        return preview, before

    async def check_now(self, preview: ChangePreview, before: str) -> None:
        latest = (await self.get(f"subscriptions/{self.stripe_id}"))["latest_invoice"]
        billed = 0
        if latest != before:
            invoice = await self.get(f"invoices/{latest}")
            assert invoice["status"] == "paid"
            billed = invoice["amount_due"]
            lines = (await self.get(f"invoices/{latest}/lines", limit=100))["data"]
            said = sum(line.net_cents for line in preview.lines)
            assert (invoice["total"], len(lines)) == (said, len(preview.lines))
        assert billed == preview.amount_due_now_cents, "what is due now"

    async def check_next(self, preview: ChangePreview) -> None:
        before = (await self.get(f"subscriptions/{self.stripe_id}"))["latest_invoice"]
        assert preview.next_invoice_at is not None
        at = int(preview.next_invoice_at.timestamp())
        if self.case.when == "now":
            _, end = await self.period()
            # Reason: a period that begins with the change begins when the change is made.
            assert end - 600 <= at <= end
            at = end
        await self.go_to(at + HOURS_OF_DRAFT * 3_600)
        latest = (await self.get(f"subscriptions/{self.stripe_id}"))["latest_invoice"]
        assert latest != before
        invoice = await self.get(f"invoices/{latest}")
        assert invoice["amount_due"] == preview.next_amount_cents, "what the next invoice charges"


async def lead(shop: Shop, case: Case) -> None:
    life = Life(shop, case)
    await life.begin()
    await life.reach_the_moment()
    preview, before = await life.change()
    await life.check_now(preview, before)
    await life.check_next(preview)


async def run(data: Path, seed: int, count: int, only: Collection[int] = ()) -> str:
    dice = random.Random(seed)  # noqa: S311 - cases, no secrets
    begun, kinds = time.process_time(), Counter[str]()
    async with open_shop(data) as shop:
        for number in range(count):
            case = generate(dice)
            if only and number not in only:
                continue
            kinds[case.when] += 1
            try:
                await lead(shop, case)
            except Exception as error:
                error.add_note(f"case {number} of seed {seed}: {case}")
                raise
    seconds = time.process_time() - begun
    told = ", ".join(f"{kinds[kind]} {kind}" for kind in sorted(kinds))
    done = kinds.total()
    return f"previews against bills: {done} of {done} changes equal ({told}), {seconds:.0f} s CPU"


async def test_a_preview_is_what_is_billed(tmp_path: Path, measure: Measure) -> None:
    measure(await run(tmp_path, seed=15, count=20))


async def test_what_once_differed_is_what_is_billed(tmp_path: Path) -> None:
    """A trial's change that another one waited for, and fixed amounts off beside waiting items."""
    await run(tmp_path, seed=16, count=232, only=(7, 53, 231))


@pytest.mark.soak
async def test_a_preview_is_what_is_billed_at_length(tmp_path: Path, measure: Measure) -> None:
    measure(await run(tmp_path, seed=16, count=500))
