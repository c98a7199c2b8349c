"""What discounts do to bills: wishes become discounts, and these take off lines and prorations."""

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from sandbox.stripe import discounts
from sandbox.stripe.objects.catalog import prices, redemptions
from sandbox.stripe.params import Many, Unsettable
from sandbox.stripe.session import Object, Session


@dataclass
class Net:
    """A price with its discounts taken off, and by how much each reduces it."""

    amount: Fraction
    cuts: dict[str, Fraction] = field(default_factory=dict)


WISHES = Unsettable(Many(redemptions.WISH_OR_DISCOUNT))
"""The parameter `discounts`: a list replaces, the empty string removes, an empty list does not."""


def wanted(
    session: Session,
    wishes: list[dict[str, Any]] | None,
    owner: Object,
    *,
    param: str = "discounts",
    amount: tuple[int, str] | None = None,
    **hangs_on: str,
) -> list[str]:
    """Return the ids of the discounts that wishes ask for, redeeming what is new.

    Args:
        session: The unit of work.
        wishes: Entries of the parameter; None removes all.
        owner: Has `discounts`, `customer` and `currency`; discounts that go are announced.
        param: The parameter's path.
        amount: What the bill comes to, for promotion codes with a minimum.
        hangs_on: What new discounts belong to, by id.

    Raises:
        ApiError: If a coupon or code cannot be redeemed.
    """
    current: list[str] = owner["discounts"]
    if wishes is not None and not wishes:
        return current
    found = []
    for number, wish in enumerate(wishes or []):
        path = f"{param}[{number}]"
        if wish.get("discount"):
            kept = session.get("discount", wish["discount"], param=f"{path}[discount]")
            found.append(kept["id"])
            continue
        customer_id = owner["customer"]
        coupon, code = redemptions.check(
            session, wish, customer_id, param=path, amount=amount, currency=owner.get("currency")
        )
        found.append(redemptions.redeem(session, coupon, code, customer_id, **hangs_on)["id"])
    drop(session, [discount_id for discount_id in current if discount_id not in found])
    return found


def drop(session: Session, discount_ids: list[str]) -> None:
    """Announce that discounts are over; invoices still name them."""
    for discount in (session.get("discount", discount_id) for discount_id in discount_ids):
        if discount["subscription"]:
            session.emit("customer.discount.deleted", discount)


def in_force(session: Session, discount_ids: list[str]) -> list[Object]:
    """Return the discounts that still take something off."""
    found = [session.get("discount", discount_id) for discount_id in discount_ids]
    return [each for each in found if each["end"] is None or each["end"] > session.now]


def applied(session: Session, lines: list[Object], discount_ids: list[str]) -> Object:
    """Take discounts off lines: a line's own first, then the invoice's.

    Args:
        session: The unit of work.
        lines: Changed in place.
        discount_ids: Those of the invoice.

    Returns:
        The invoice's fields that tell of it.
    """
    shared = in_force(session, discount_ids)
    own = dict.fromkeys(each for line in lines for each in line["discounts"])
    left = {}
    for line in lines:
        line["discount_amounts"], line["pretax_credit_amounts"] = [], []
        left[line["id"]] = max(line["amount"], 0) if line["discountable"] else 0
    for discount in in_force(session, list(own)):
        _take_off(discount, [x for x in lines if discount["id"] in x["discounts"]], left)
    for discount in shared:
        _take_off(discount, lines, left)
    return _totals(lines, [discount["id"] for discount in shared])


def _take_off(discount: Object, lines: list[Object], left: dict[str, int]) -> None:
    coupon = discount["_coupon"]
    lines = [line for line in lines if _is_meant(coupon, line["pricing"])]
    amounts = [left[line["id"]] for line in lines]
    if not lines:
        return
    total = discounts.taken_off(coupon, sum(amounts), lines[0]["currency"])
    for line, part in zip(lines, discounts.spread(total, amounts), strict=True):
        left[line["id"]] -= part
        entry = {"amount": part, "discount": discount["id"]}
        line["discount_amounts"].append(entry)
        if part:
            credit = {**entry, "credit_balance_transaction": None, "type": "discount"}
            line["pretax_credit_amounts"].append(credit)


def _is_meant(coupon: Object, pricing: Object) -> bool:
    details = pricing.get("price_details")
    products = coupon.get("_products")
    return not products or bool(details and details["product"] in products)


def _totals(lines: list[Object], discount_ids: list[str]) -> Object:
    """Return what an invoice with these lines says of its discounts."""
    sums = dict.fromkeys(discount_ids, 0)
    for line in lines:
        for entry in line["discount_amounts"]:
            sums[entry["discount"]] = sums.get(entry["discount"], 0) + entry["amount"]
    entries = [{"amount": amount, "discount": each} for each, amount in sums.items()]
    source = {"credit_balance_transaction": None, "type": "discount"}
    return {
        "discounts": discount_ids,
        "total_discount_amounts": entries,
        "total_pretax_credit_amounts": [
            {**entry, **source} for entry in entries if entry["amount"]
        ],
    }


def left_over(session: Session, discount_ids: list[str], invoice: Object) -> list[str]:
    """Return the discounts that go on after an invoice; the others end with it."""
    given = {e["discount"] for e in invoice["total_discount_amounts"] if e["amount"]}
    kept = [
        discount["id"]
        for discount in in_force(session, discount_ids)
        if discount["_coupon"]["duration"] != "once" or discount["id"] not in given
    ]
    drop(session, [discount_id for discount_id in discount_ids if discount_id not in kept])
    return kept


def net_prices(session: Session, subscription: Object) -> dict[str, Net]:
    """Return what each item costs for a whole period, discounts taken off, before rounding."""
    items = [item for item in subscription["items"]["data"] if "quantity" in item]
    nets = {item["id"]: Net(prices.cost(item["price"], item.get("quantity", 0))) for item in items}
    for item in items:
        for discount in in_force(session, item["discounts"]):
            _reduce(discount, [item], nets)
    for discount in in_force(session, subscription["discounts"]):
        _reduce(discount, items, nets)
    return nets


def _reduce(discount: Object, items: list[Object], nets: dict[str, Net]) -> None:
    coupon = discount["_coupon"]
    products = coupon.get("_products")
    meant = [i for i in items if not products or i["price"]["product"] in products]
    total = sum(nets[item["id"]].amount for item in meant)
    if not total:
        return
    if coupon["percent_off"] is not None:
        taken = Fraction(str(coupon["percent_off"])) / 100
    elif coupon["currency"] == meant[0]["price"]["currency"]:
        taken = min(Fraction(coupon["amount_off"]) / total, Fraction(1))
    else:
        return
    for net in (nets[item["id"]] for item in meant):
        net.cuts[discount["id"]] = net.amount * taken
        net.amount *= 1 - taken
