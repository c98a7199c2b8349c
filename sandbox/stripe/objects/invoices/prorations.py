"""What a change inside a period costs: credits for unused time, debits for the time that is left.

A credit is a share of what was billed before (flexible billing mode), so each item carries its
debits: `{"amount", "start", "end", "source"}`, net of discounts. Shares are reckoned to the second.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from sandbox.stripe.currencies import rounded
from sandbox.stripe.objects.catalog.reductions import Net
from sandbox.stripe.session import Object, new_id


@dataclass(frozen=True)
class Proration:
    """One line of a proration: a credit if `credits` names what it takes back."""

    id: str
    item: Object
    amount: int
    start: int
    end: int
    credits: Object | None = None
    discount_amounts: tuple[Object, ...] = ()


def share(amount: Fraction, part: tuple[int, int], whole: tuple[int, int], currency: str) -> int:
    """Return the part of an amount that falls on a part of its time."""
    ratio = Fraction(part[1] - part[0], whole[1] - whole[0])
    return rounded(amount * ratio, currency)


def take_back(
    item: Object, debits: Iterable[Object], since: int, currency: str
) -> tuple[list[Proration], list[Object]]:
    """Credit the time from `since` on.

    Args:
        item: As it was billed.
        debits: What was billed for it.
        since: From when on its time is not used.
        currency: Decides the rounding.

    Returns:
        The credits, and what remains of the debits.
    """
    taken: list[Proration] = []
    kept: list[Object] = []
    for debit in debits:
        begin, end = max(since, debit["start"]), debit["end"]
        if end <= since:
            kept.append(debit)
            continue
        whole = (debit["start"], end)
        amount = -share(Fraction(debit["amount"]), (begin, end), whole, currency)
        taken.append(Proration(new_id("ii"), item, amount, begin, end, debit["source"]))
        if begin > debit["start"]:
            kept.append({**debit, "amount": debit["amount"] + amount, "end": begin})
    return taken, kept


def give(
    item: Object, net: Net, part: tuple[int, int], whole: tuple[int, int]
) -> tuple[Proration, Object]:
    """Debit a part of a period.

    Args:
        item: As it is from now on.
        net: What it costs for the whole period.
        part: The time to bill.
        whole: The whole period.

    Returns:
        The proration, and the debit to keep.
    """
    currency = item["price"]["currency"]
    amount = share(net.amount, part, whole, currency)
    cuts = tuple(
        {"amount": share(cut, part, whole, currency), "discount": discount_id}
        for discount_id, cut in net.cuts.items()
    )
    entry = Proration(new_id("ii"), item, amount, *part, discount_amounts=cuts)
    source = {"invoice_item": entry.id}
    return entry, {"amount": amount, "start": part[0], "end": part[1], "source": source}
