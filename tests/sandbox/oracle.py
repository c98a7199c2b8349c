"""What periods and prorations must be: calendars and fractions, no code of the sandbox."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction

STEPS = {"kwd": 10, "bhd": 10, "tnd": 10, "isk": 100}
"""What an amount must be a multiple of, where that is not 1."""


def boundary(anchor: int, interval: str, count: int, number: int) -> int:
    """Return where period `number` begins, 0 being the one that begins at the anchor."""
    moment = datetime.fromtimestamp(anchor, UTC)
    seconds = anchor - int(datetime(moment.year, moment.month, moment.day, tzinfo=UTC).timestamp())
    steps = number * count
    if interval in {"day", "week"}:
        return anchor + steps * (7 if interval == "week" else 1) * 86_400
    months = moment.year * 12 + moment.month - 1 + steps * (12 if interval == "year" else 1)
    year, month = divmod(months, 12)
    following = date(year + month // 11, (month + 1) % 12 + 1, 1)
    last = (following - timedelta(days=1)).day
    midnight = datetime(year, month + 1, min(moment.day, last), tzinfo=UTC)
    return int(midnight.timestamp()) + seconds


def nearest(amount: Fraction, currency: str) -> int:
    """Return the nearest amount that the currency allows, halves away from zero."""
    step = STEPS.get(currency, 1)
    doubled = abs(amount) * 2
    steps = int(
        (doubled.numerator + step * doubled.denominator) // (2 * step * doubled.denominator)
    )
    return steps * step if amount >= 0 else -steps * step


@dataclass
class Item:
    """One item of a subscription, with what it was billed for the period that it is in."""

    currency: str
    price: int
    quantity: int
    period: tuple[int, int]
    whole: tuple[int, int]
    billed: int = field(init=False)
    since: int = field(init=False)

    def __post_init__(self) -> None:
        self.since = self.period[0]
        self.billed = self._share(self.price * self.quantity, self.period[0])

    def _share(self, amount: int, since: int) -> int:
        part = Fraction(self.period[1] - since, self.whole[1] - self.whole[0])
        return nearest(amount * part, self.currency)

    def credit(self, since: int) -> int:
        """Return what is given back for the time from `since` on."""
        begin = max(since, self.since)
        part = Fraction(self.period[1] - begin, self.period[1] - self.since)
        return -nearest(self.billed * part, self.currency)

    def change(self, since: int, price: int, quantity: int) -> tuple[int, int]:
        """Return the credit and the debit of a change."""
        credit = self.credit(since)
        self.price, self.quantity, self.since = price, quantity, since
        self.billed = self._share(price * quantity, since)
        return credit, self.billed
