"""Generated subscriptions are billed to the cent as the oracle says, by the real route handlers."""

import calendar
import random
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Measure
from tests.sandbox.in_process import InProcess, in_process
from tests.sandbox.oracle import STEPS, Item, boundary

INTERVALS = [
    ("day", 1), ("day", 10), ("day", 45), ("week", 1), ("week", 3), ("month", 1), ("month", 1),
    ("month", 1), ("month", 2), ("month", 3), ("month", 6), ("year", 1), ("year", 1), ("year", 2),
]  # fmt: skip
CURRENCIES = ["usd", "eur", "gbp", "jpy", "krw", "clp", "kwd", "bhd", "tnd", "isk"]
KINDS = ["anchor", "cancel", "change", "change", "change", "restart"]
QUANTITIES = [0, 1, 1, 2, 3, 7, 250]


@dataclass(frozen=True)
class Case:
    """One subscription: its start, its renewals, and what changes in its last period."""

    kind: str
    start: int
    intervals: list[tuple[str, int]]
    currency: str
    prices: list[int]
    quantities: list[int]
    renewal_count: int
    moments: list[float]
    is_dated: bool

    def item(self, number: int, interval: tuple[str, int] | None = None) -> dict[str, Any]:
        """Return the parameters of the item with one of the prices and quantities."""
        name, count = interval or self.intervals[0]
        price = {
            "currency": self.currency,
            "product": "prod_oracle",
            "unit_amount": self.prices[number],
            "recurring": {"interval": name, "interval_count": count},
        }
        return {"price_data": price, "quantity": self.quantities[number]}


def generate(dice: random.Random) -> Case:
    """Return a case; every other one starts at the end of a month, many on 31 January."""
    year, month = dice.randint(2024, 2036), dice.choice([1, 1, 1, 2, *range(1, 13)])
    if dice.random() < 0.1:
        year, month = dice.choice([2024, 2028, 2032]), 2
    last = calendar.monthrange(year, month)[1]
    day = dice.choice([last, last, last, last - 1, *dice.sample(range(1, last), 3)])
    currency = dice.choice(CURRENCIES)
    step = STEPS.get(currency, 1)
    return Case(
        kind=dice.choice(KINDS),
        start=int(datetime(year, month, day, tzinfo=UTC).timestamp()) + dice.randrange(86_400),
        intervals=[dice.choice(INTERVALS), dice.choice(INTERVALS)],
        currency=currency,
        prices=[dice.choice([0, dice.randint(1, 50_000)]) * step for _ in range(3)],
        quantities=dice.choices(QUANTITIES, k=3),
        renewal_count=dice.randint(0, 2),
        moments=sorted((dice.random(), dice.random())),
        is_dated=dice.random() < 0.5,
    )


class Life:
    """Leads one case's life at the sandbox, holding all that comes back against the oracle."""

    def __init__(self, stripe: InProcess, case: Case) -> None:
        self.stripe = stripe
        self.case = case
        self.now = case.start
        self.anchor = case.start
        self.waiting: list[tuple[int, int, int]] = []

    async def begin(self) -> None:
        case = self.case
        clocks = "/v1/test_helpers/test_clocks"
        self.clock = (await self.stripe.call("POST", clocks, frozen_time=case.start))["id"]
        customer = await self.stripe.call("POST", "/v1/customers", test_clock=self.clock)
        self.customer = customer["id"]
        params: dict[str, Any] = {
            "customer": self.customer,
            "items": [case.item(0)],
            "collection_method": "send_invoice",
            "days_until_due": 90,
            "expand": ["latest_invoice"],
        }
        end = boundary(case.start, *case.intervals[0], 1)
        self.period = whole = (case.start, end)
        if case.kind == "anchor":
            self.anchor = end - int((end - case.start) * case.moments[0])
            self.period = (case.start, self.anchor)
            whole = (boundary(self.anchor, *case.intervals[0], -1), self.anchor)
            params["billing_cycle_anchor"] = self.anchor
        subscription = await self.stripe.call("POST", "/v1/subscriptions", **params)
        self.path = f"/v1/subscriptions/{subscription['id']}"
        self.item_id = subscription["items"]["data"][0]["id"]
        self.enter(subscription, whole, case.prices[0], case.quantities[0])

    def enter(self, subscription: Any, whole: tuple[int, int], price: int, quantity: int) -> None:
        """Check a period that has just begun, with the invoice that bills it."""
        self.item = Item(self.case.currency, price, quantity, self.period, whole)
        (item,) = subscription["items"]["data"]
        assert (item["current_period_start"], item["current_period_end"]) == self.period
        expected = [*self.waiting, (self.item.billed, *self.period)]
        assert _billed(subscription["latest_invoice"]["lines"]["data"]) == expected
        assert subscription["latest_invoice"]["total"] == sum(line[0] for line in expected)
        self.waiting = []

    async def go_to(self, moment: int) -> None:
        if moment > self.now:
            await self.stripe.advance(self.clock, moment)
            self.now = moment

    async def renew(self, number: int) -> None:
        interval = self.case.intervals[0]
        await self.go_to(self.period[1])
        first = 0 if self.case.kind == "anchor" else 1
        bounds = [boundary(self.anchor, *interval, first + number + i) for i in (0, 1)]
        assert bounds[0] == self.period[1]
        self.period = (bounds[0], bounds[1])
        seen = await self.stripe.call("GET", self.path, expand=["latest_invoice"])
        self.enter(seen, self.period, self.item.price, self.item.quantity)

    def moment(self, number: int) -> int:
        start, end = self.period
        return max(self.now, start + int((end - start) * self.case.moments[number]))

    async def change(self, number: int) -> None:
        """Change price and quantity inside the period."""
        moment = self.moment(number - 1)
        params: dict[str, Any] = {"items": [{"id": self.item_id, **self.case.item(number)}]}
        if self.case.is_dated:
            params["proration_date"] = moment
        else:
            await self.go_to(moment)
        await self.stripe.call("POST", self.path, **params)
        prices, quantities = self.case.prices, self.case.quantities
        amounts = self.item.change(moment, prices[number], quantities[number])
        self.waiting += [(amount, moment, self.period[1]) for amount in amounts]

    async def cancel_inside(self) -> None:
        """Plan the end inside the period: what comes after it is credited."""
        moment = max(self.moment(1), self.item.since, self.now + 1)
        if moment >= self.period[1]:
            return
        seen = await self.stripe.call("POST", self.path, cancel_at=moment)
        assert seen["items"]["data"][0]["current_period_end"] == moment
        self.waiting.append((self.item.credit(moment), moment, self.period[1]))

    async def restart(self) -> None:
        """Change to another interval: a whole new period begins now."""
        case = self.case
        await self.go_to(self.moment(1))
        if case.intervals[0] == case.intervals[1]:
            return
        item = {"id": self.item_id, **case.item(2, case.intervals[1])}
        expand = ["latest_invoice"]
        seen = await self.stripe.call("POST", self.path, items=[item], expand=expand)
        credit = (self.item.credit(self.now), self.now, self.period[1])
        self.waiting += [credit] if credit[0] else []
        self.anchor, self.period = self.now, (self.now, boundary(self.now, *case.intervals[1], 1))
        assert seen["billing_cycle_anchor"] == self.now
        self.enter(seen, self.period, case.prices[2], case.quantities[2])

    async def check_waiting(self) -> None:
        listed = await self.stripe.call(
            "GET", "/v1/invoiceitems", customer=self.customer, pending=True
        )
        found = [(i["amount"], i["period"]["start"], i["period"]["end"]) for i in listed["data"]]
        assert found[::-1] == self.waiting

    async def check_preview(self) -> None:
        path = "/v1/invoices/create_preview"
        seen = await self.stripe.call("POST", path, subscription=self.path.rpartition("/")[2])
        interval = self.case.intervals[0]
        number = self.case.renewal_count + (1 if self.case.kind == "anchor" else 2)
        period = (self.period[1], boundary(self.anchor, *interval, number))
        following = Item(self.case.currency, self.item.price, self.item.quantity, period, period)
        assert _billed(seen["lines"]["data"]) == [*self.waiting, (following.billed, *period)]


def _billed(lines: list[Any]) -> list[tuple[int, int, int]]:
    return [(line["amount"], line["period"]["start"], line["period"]["end"]) for line in lines]


async def lead(stripe: InProcess, case: Case) -> None:
    life = Life(stripe, case)
    await life.begin()
    for number in range(case.renewal_count):
        await life.renew(number)
    if case.kind == "restart":
        await life.restart()
        await life.check_waiting()
        return
    await life.change(1)
    if case.kind == "cancel":
        await life.cancel_inside()
        await life.check_waiting()
        return
    await life.change(2)
    await life.check_waiting()
    await life.check_preview()


async def run(data: Path, seed: int, count: int) -> str:
    dice = random.Random(seed)  # noqa: S311 - cases, no secrets
    begun = time.process_time()
    async with in_process(data) as stripe:
        await stripe.call("POST", "/v1/products", id="prod_oracle", name="Tea")
        for number in range(count):
            case = generate(dice)
            try:
                await lead(stripe, case)
            except AssertionError as error:
                error.add_note(f"case {number} of seed {seed}: {case}")
                raise
    seconds = time.process_time() - begun
    return f"proration and periods: {count} of {count} cases equal the oracle, {seconds:.1f} s CPU"


async def test_proration_equals_the_oracle(tmp_path: Path, measure: Measure) -> None:
    measure(await run(tmp_path, seed=1, count=500))


@pytest.mark.soak
async def test_proration_equals_the_oracle_at_length(tmp_path: Path, measure: Measure) -> None:
    measure(await run(tmp_path, seed=2, count=20_000))
