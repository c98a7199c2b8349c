"""What a change of a subscription comes to: the fields it sets, and the prorations it causes."""

from dataclasses import dataclass
from typing import Any

from sandbox.stripe import errors
from sandbox.stripe.calendars import period_end
from sandbox.stripe.objects.catalog import prices, reductions
from sandbox.stripe.objects.catalog.prices import is_metered, plan_of
from sandbox.stripe.objects.customers import customer_currency
from sandbox.stripe.objects.invoices import prorations
from sandbox.stripe.objects.invoices.prorations import Proration
from sandbox.stripe.objects.subscriptions import subscription_periods
from sandbox.stripe.objects.subscriptions.subscription_shape import item as new_item
from sandbox.stripe.session import Object, Session, merged, shown


@dataclass(frozen=True)
class Change:
    """A change that is not made yet."""

    fields: dict[str, Any]
    prorations: tuple[Proration, ...]
    bills_period: bool
    is_invoiced: bool
    proration_date: int | None = None
    extras: tuple[dict[str, Any], ...] = ()


def plan(session: Session, subscription: Object, params: dict[str, Any], ending: Object) -> Change:
    """Work out what an update does to items, period and bill.

    Args:
        session: The unit of work.
        subscription: As it is.
        params: `items`, `trial_end`, `billing_cycle_anchor`, `proration_behavior`,
            `proration_date`.
        ending: The fields that a wish to end, or not to end, changes.

    Raises:
        ApiError: If the wish cannot be fulfilled.
    """
    items = _wanted_items(session, subscription, params.get("items") or [])
    behavior = params.get("proration_behavior", "create_prorations")
    date = _proration_date(session, subscription, params)
    is_prorated = behavior != "none" and subscription["status"] in {"active", "past_due", "unpaid"}
    follows = _ends_with_period({**subscription, **ending}, params)
    base = {**subscription, **({"cancel_at": None} if follows else ending)}
    restart = _restart(session, base, items, params)
    if restart is not None:
        fields = {**ending, **restart.fields, "items": restart.items}
        if follows:
            fields["cancel_at"] = restart.items["data"][0]["current_period_end"]
            session.schedule("cancel", subscription["id"], fields["cancel_at"])
        unused = _credit_all(subscription, date) if is_prorated else []
        return Change(fields, tuple(unused), restart.is_billed, restart.is_billed, date)
    wanted = {**subscription, **ending, "items": {**subscription["items"], "data": items}}
    start, old_end = subscription_periods.period_of(subscription)
    full_end = subscription_periods.full_end(subscription)
    end = subscription_periods.bounded(wanted, start, full_end)
    wanted["items"] = subscription_periods.enter_period(wanted, start, end)
    fields = dict(ending)
    if wanted["items"] != subscription["items"]:
        fields["items"] = wanted["items"]
    if not is_prorated:
        return Change(fields, (), bills_period=False, is_invoiced=False)
    entries, debits = _prorate(session, subscription, wanted, date, old_end)
    if entries:
        fields["_debits"] = debits
    is_invoiced = bool(entries) and behavior == "always_invoice"
    return Change(fields, tuple(entries), False, is_invoiced, date if entries else None)


def _ends_with_period(subscription: Object, params: dict[str, Any]) -> bool:
    """Return whether the planned end is the period's, wherever that moves in this change."""
    return bool(subscription["cancel_at_period_end"]) or isinstance(params.get("cancel_at"), str)


def _wanted_items(
    session: Session, subscription: Object, entries: list[dict[str, Any]]
) -> list[Object]:
    items = {item["id"]: dict(item) for item in subscription["items"]["data"]}
    for number, entry in enumerate(entries):
        path = f"items[{number}]"
        item_id = entry.get("id")
        if item_id is None:
            fresh = make_item(session, subscription, entry, path)
            items[fresh["id"]] = fresh
        elif item_id not in items:
            raise errors.missing("subscription_item", item_id, param=f"{path}[id]")
        elif entry.get("deleted"):
            del items[item_id]
        else:
            items[item_id] |= _item_changes(session, subscription, items[item_id], entry, path)
    if not items:
        raise errors.invalid_request(
            "A subscription must have at least one item; cancel it instead.", param="items"
        )
    check_alike([item["price"] for item in items.values()], subscription["currency"])
    return list(items.values())


def make_item(session: Session, subscription: Object, entry: dict[str, Any], path: str) -> Object:
    """Return the item that an entry of `items` asks for."""
    price = price_of(session, entry, path)
    if price is None:
        raise errors.bad_parameter(
            f"Missing required param: {path}[price].", code="parameter_missing", param=path
        )
    check_quantity(price, entry, path)
    metadata = merged({}, entry.get("metadata"))
    quantity = entry.get("quantity", 1)
    item = new_item(session, subscription["id"], price, quantity, metadata=metadata)
    item["discounts"] = _item_discounts(session, subscription, item, entry, path)
    return item


def _item_discounts(
    session: Session, subscription: Object, item: Object, entry: dict[str, Any], path: str
) -> list[str]:
    return reductions.wanted(
        session,
        entry.get("discounts", []),
        {
            "currency": subscription.get("currency") or item["price"]["currency"],
            "customer": subscription["customer"],
            "discounts": item["discounts"],
        },
        param=f"{path}[discounts]",
        subscription_item=item["id"],
    )


def _item_changes(
    session: Session, subscription: Object, item: Object, entry: dict[str, Any], path: str
) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    price = price_of(session, entry, path)
    check_quantity(price or item["price"], entry, path)
    if price is not None and price["id"] != item["price"]["id"]:
        changes |= {"price": shown(price), "plan": plan_of(price)}
        if is_metered(price) != is_metered(item["price"]):
            raise errors.invalid_request(
                "An item cannot change from a licensed price to a metered one, or back.",
                param=f"{path}[price]",
            )
        if not is_metered(price):
            changes["quantity"] = 1
    if "quantity" in entry:
        changes["quantity"] = entry["quantity"]
    if "discounts" in entry:
        changes["discounts"] = _item_discounts(session, subscription, item, entry, path)
    if "metadata" in entry:
        changes["metadata"] = merged(item["metadata"], entry["metadata"])
    return changes


def check_quantity(price: Object, entry: dict[str, Any], path: str) -> None:
    """Refuse a quantity of something that is metered.

    Raises:
        ApiError: If there is one.
    """
    if is_metered(price) and "quantity" in entry:
        raise errors.invalid_request(
            "A metered price has no quantity: it is billed for what was used.",
            param=f"{path}[quantity]",
        )


def price_of(session: Session, entry: dict[str, Any], path: str) -> Object | None:
    """Return the price that an entry of `items` names or describes, if it does.

    Raises:
        ApiError: If it is unknown, inactive, or not recurring.
    """
    if "price_data" in entry:
        return prices.inline(session, entry["price_data"], f"{path}[price_data]")
    if not entry.get("price"):
        return None
    param = f"{path}[price]"
    price = session.get("price", entry["price"], param=param)
    if not price["active"]:
        raise errors.invalid_request(
            f"The price specified is inactive: {price['id']}.", param=param
        )
    if price["recurring"] is None:
        raise errors.invalid_request(
            "The price specified is set to `type=one_time` but this field only accepts prices "
            "with `type=recurring`.",
            param=param,
        )
    return price


def check_alike(prices: list[Object], currency: str | None = None, *, path: str = "items") -> None:
    """Refuse prices that cannot be billed together.

    Raises:
        ApiError: If they differ in currency or interval, or are no different prices.
    """
    check_distinct([price["id"] for price in prices])
    expected = currency or prices[0]["currency"]
    for number, price in enumerate(prices):
        customer_currency.check_price(price, expected, param=f"{path}[{number}][price]")
    kinds = {(p["recurring"]["interval"], p["recurring"]["interval_count"]) for p in prices}
    if len(kinds) != 1:
        raise errors.invalid_request("All items need prices of one interval.", param=path)


def check_distinct(price_ids: list[str]) -> None:
    """Refuse one price for two items.

    Raises:
        ApiError: If there is one.
    """
    for number, price_id in enumerate(price_ids):
        if price_id in price_ids[:number]:
            raise errors.invalid_request(
                f"Cannot add multiple subscription items with the same plan: {price_id}"
            )


@dataclass(frozen=True)
class _Restart:
    fields: dict[str, Any]
    items: Object
    is_billed: bool


def _restart(
    session: Session, subscription: Object, items: list[Object], params: dict[str, Any]
) -> _Restart | None:
    """Return how a new period begins, if one does."""
    now, trial_end = session.now, params.get("trial_end")
    is_trialing = subscription["status"] == "trialing"
    listed = {**subscription, "items": {**subscription["items"], "data": items}}
    recurring = subscription_periods.recurring_of(listed)
    fields: dict[str, Any] = {"billing_cycle_anchor_config": None}
    if isinstance(trial_end, int):
        if trial_end <= now:
            raise errors.invalid_request(
                "Invalid timestamp: must be in the future", param="trial_end"
            )
        start = subscription_periods.period_of(subscription)[0] if is_trialing else now
        trial_start = subscription["trial_start"] if is_trialing else now
        fields |= {"billing_cycle_anchor": trial_end, "status": "trialing"}
        fields |= {"trial_start": trial_start, "trial_end": trial_end}
        moved = subscription_periods.enter_period(listed, start, trial_end)
        return _Restart(fields, moved, is_billed=not is_trialing)
    leaves_trial = trial_end == "now" and is_trialing
    is_reset = params.get("billing_cycle_anchor", {}).get("type") == "now"
    is_other = recurring != subscription_periods.recurring_of(subscription)
    if not leaves_trial and (is_trialing or not (is_reset or is_other)):
        return None
    if leaves_trial:
        fields |= {"status": "active", "trial_end": now}
    fields["billing_cycle_anchor"] = now
    end = subscription_periods.bounded(subscription, now, period_end(now, *recurring))
    return _Restart(fields, subscription_periods.enter_period(listed, now, end), is_billed=True)


def _proration_date(session: Session, subscription: Object, params: dict[str, Any]) -> int:
    date: int | None = params.get("proration_date")
    if date is None:
        return session.now
    start, end = subscription_periods.period_of(subscription)
    if not start <= date <= end:
        raise errors.invalid_request(
            "Cannot specify `proration_date` outside of the current billing period.",
            param="proration_date",
        )
    return date


def _credit_all(subscription: Object, since: int) -> list[Proration]:
    """Credit the unused time of all items, leaving out what cost nothing."""
    unused = []
    for item in subscription["items"]["data"]:
        debits = subscription["_debits"].get(item["id"], [])
        entries, _ = prorations.take_back(item, debits, since, subscription["currency"])
        unused += [entry for entry in entries if entry.amount]
    return unused


def credit_unused(subscription: Object, since: int) -> Change:
    """Return a change that only credits what is left of the period."""
    return Change({"_debits": {}}, tuple(_credit_all(subscription, since)), False, False, since)


def debit_rest(
    session: Session, subscription: Object, since: int
) -> tuple[list[Proration], dict[str, list[Object]]]:
    """Return the debits for what is left of the period, where nothing of it is billed."""
    bare = {**subscription, "items": {**subscription["items"], "data": []}}
    end = subscription_periods.period_of(subscription)[1]
    return _prorate(session, bare, subscription, since, end)


def _prorate(
    session: Session, subscription: Object, wanted: Object, date: int, old_end: int
) -> tuple[list[Proration], dict[str, list[Object]]]:
    """Return the prorations between two lists of items in one period, and the debits after them."""
    end = subscription_periods.period_of(wanted)[1]
    before = {item["id"]: item for item in subscription["items"]["data"]}
    after = {item["id"]: item for item in wanted["items"]["data"]}
    all_debits = subscription["_debits"]
    nets = reductions.net_prices(session, wanted)
    entries: list[Proration] = []
    kept: dict[str, list[Object]] = {}
    for item_id in before | after:
        old, new = before.get(item_id), after.get(item_id)
        if is_metered((old or after[item_id])["price"]):
            continue
        is_same = bool(old and new and _terms(old) == _terms(new))
        since = min(end, old_end) if is_same else date
        debits = all_debits.get(item_id, [])
        if old:
            taken, debits = prorations.take_back(old, debits, since, wanted["currency"])
            entries += taken
        if new and since < end:
            whole = subscription_periods.natural_period(wanted, since)
            given, debit = prorations.give(new, nets[item_id], (since, end), whole)
            entries.append(given)
            debits = [*debits, debit]
        if new:
            kept[item_id] = debits
    return entries, kept


def _terms(item: Object) -> tuple[str, int]:
    return item["price"]["id"], item["quantity"]
