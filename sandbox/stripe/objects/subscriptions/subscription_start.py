"""POST /v1/subscriptions: how a subscription begins."""

from typing import Any

from sandbox.stripe import errors
from sandbox.stripe.calendars import next_match, period_end
from sandbox.stripe.objects.catalog import reductions
from sandbox.stripe.objects.customers import customer_currency, setup_intents
from sandbox.stripe.objects.customers.customers import own_method
from sandbox.stripe.objects.invoices import invoice_drafts, invoices
from sandbox.stripe.objects.subscriptions import (
    subscription_billing,
    subscription_changes,
    subscription_cycle,
    subscription_ends,
    subscription_shape,
    subscription_updates,
)
from sandbox.stripe.objects.subscriptions import subscription_periods as periods
from sandbox.stripe.objects.subscriptions.subscription_status import ENDED
from sandbox.stripe.session import Object, Session, shown

_MAX_ITEMS = 20
_MAX_ON_TEST_CLOCK = 3


def create(session: Session, params: dict[str, Any]) -> Object:
    """POST /v1/subscriptions."""
    customer = session.get("customer", params["customer"], param="customer")
    _check_room(session, customer["id"])
    if params.get("default_payment_method"):
        param = "default_payment_method"
        own_method(session, customer["id"], params[param], param=param)
    subscription, invoice = draft(session, params)
    _require_card(customer, subscription, invoice, params)
    _ask_for_card(session, customer, subscription, invoice)
    periods.set_timers(session, subscription)
    customer_currency.use(session, customer, subscription["currency"], is_new=True)
    _bill_first(session, subscription, invoice, params)
    return shown(session.get("subscription", subscription["id"]))


def begin_scheduled(session: Session, params: dict[str, Any]) -> Object:
    """Start a subscription for its schedule: active at once, its first invoice a draft."""
    customer = session.get("customer", params["customer"], param="customer")
    _check_room(session, customer["id"])
    subscription, _ = draft(session, params)
    periods.set_timers(session, subscription)
    customer_currency.use(session, customer, subscription["currency"], is_new=True)
    _announce(session, subscription["id"])
    return session.get("subscription", subscription["id"])


def _check_room(session: Session, customer_id: str) -> None:
    """Refuse more subscriptions than a customer on a test clock can have."""
    if session.test_clock is None:
        return
    running = session.find("subscription", customer=customer_id)
    if len([each for each in running if each["status"] not in ENDED]) >= _MAX_ON_TEST_CLOCK:
        raise errors.invalid_request(
            f"A customer on a test clock has at most {_MAX_ON_TEST_CLOCK} subscriptions.",
            param="customer",
        )


def draft(session: Session, params: dict[str, Any]) -> tuple[Object, Object]:
    """Return a new subscription with its first invoice, both saved and neither announced."""
    subscription = subscription_shape.subscription(session, params)
    subscription_updates.check_collection(subscription)
    entries = params["items"]
    if not 1 <= len(entries) <= _MAX_ITEMS:
        raise errors.bad_parameter("You must pass 1 to 20 items.", param="items")
    items = [
        subscription_changes.make_item(session, subscription, entry, f"items[{number}]")
        for number, entry in enumerate(entries)
    ]
    currency = _currency(params) or items[0]["price"]["currency"]
    customer_currency.check(session, params["customer"], currency)
    subscription_changes.check_alike([i["price"] for i in items], currency)
    subscription["currency"] = items[0]["price"]["currency"]
    subscription["items"]["data"] = items
    price = sum(net.amount for net in reductions.net_prices(session, subscription).values())
    subscription["discounts"] = reductions.wanted(
        session,
        params.get("discounts", []),
        subscription,
        amount=(int(price), subscription["currency"]),
        subscription=subscription["id"],
    )
    trial_end = _trial_end(session, params)
    subscription |= _beginning(session, subscription, params, trial_end)
    end = trial_end or periods.natural_period(subscription, session.now)[1]
    subscription["items"] = periods.enter_period(subscription, session.now, end)
    terms = _terms(subscription, params, trial_end)
    subscription |= subscription_ends.wishes(session, subscription, params)
    end = periods.bounded(subscription, session.now, end)
    subscription["items"] = periods.enter_period(subscription, session.now, end)
    session.create(subscription)
    subscription_billing.write_extras(session, subscription, params.get("add_invoice_items", []))
    invoice = invoice_drafts.create(
        session,
        subscription,
        reason="subscription_create",
        period=(session.now, session.now),
        **terms,
    )
    changes = invoice_drafts.consequences(session, subscription, invoice)
    session.change(subscription, changes, is_announced=False)
    return subscription, invoice


def _currency(params: dict[str, Any]) -> str | None:
    currency: str | None = params.get("currency")
    return currency.lower() if currency else None


def _terms(subscription: Object, params: dict[str, Any], trial_end: int | None) -> dict[str, Any]:
    """Return how the first period is billed if nothing is to be prorated, or it is a trial."""
    period = periods.period_of(subscription)
    is_short = not trial_end and period != periods.natural_period(subscription, period[0])
    is_none = params.get("proration_behavior") == "none"
    return {"is_free": bool(trial_end) or (is_none and is_short), "is_whole": is_none}


def _trial_end(session: Session, params: dict[str, Any]) -> int | None:
    trial_end = params.get("trial_end")
    if trial_end == "now":
        return None
    if trial_end is not None and trial_end <= session.now:
        raise errors.invalid_request("Invalid timestamp: must be in the future", param="trial_end")
    if trial_end is not None and trial_end > period_end(session.now, "year", 2):
        raise errors.invalid_request(
            "Invalid timestamp: a trial can be at most two years long", param="trial_end"
        )
    days = params.get("trial_period_days") or 0
    return trial_end or (session.now + days * periods.DAY if days else None)


def _beginning(
    session: Session, subscription: Object, params: dict[str, Any], trial_end: int | None
) -> dict[str, Any]:
    """Return the anchor and status that a subscription begins with."""
    config = params.get("billing_cycle_anchor_config")
    anchor = params.get("billing_cycle_anchor")
    if config and anchor:
        raise errors.invalid_request(
            "You may only specify one of `billing_cycle_anchor`, `billing_cycle_anchor_config`.",
            param="billing_cycle_anchor_config",
        )
    if config:
        anchor = next_match(session.now, config)
        blank = {"hour": None, "minute": None, "month": None, "second": None}
        config = blank | config
    if anchor is not None and not trial_end:
        _check_anchor(session, subscription, anchor)
    is_sent = subscription["collection_method"] == "send_invoice"
    is_at_once = is_sent or subscription["schedule"] is not None
    return {
        "billing_cycle_anchor": anchor or trial_end or session.now,
        "billing_cycle_anchor_config": config,
        "status": "trialing" if trial_end else "active" if is_at_once else "incomplete",
        "trial_end": trial_end,
        "trial_start": session.now if trial_end else None,
    }


def _check_anchor(session: Session, subscription: Object, anchor: int) -> None:
    interval, count = periods.recurring_of(subscription)
    if not session.now <= anchor <= period_end(session.now, interval, count):
        raise errors.invalid_request(
            "billing_cycle_anchor must lie between now and the next natural billing date.",
            param="billing_cycle_anchor",
        )


def _has_card(customer: Object, subscription: Object) -> bool:
    return bool(
        subscription["default_payment_method"]
        or customer["invoice_settings"]["default_payment_method"]
    )


def _ask_for_card(
    session: Session, customer: Object, subscription: Object, invoice: Object
) -> None:
    """Make a set-up intent where nothing is to be paid yet and no card is there for later."""
    is_charged = subscription["collection_method"] == "charge_automatically"
    if is_charged and invoice["amount_due"] == 0 and not _has_card(customer, subscription):
        intent = setup_intents.of_subscription(session, subscription)
        changes = {"pending_setup_intent": intent["id"]}
        session.change(subscription, changes, is_announced=False)


def _require_card(
    customer: Object, subscription: Object, invoice: Object, params: dict[str, Any]
) -> None:
    """Refuse, as Stripe does, to charge at once where there is nothing to charge."""
    has_card = _has_card(customer, subscription)
    is_waiting = params.get("payment_behavior") == "default_incomplete"
    is_sent = subscription["collection_method"] == "send_invoice"
    if not (has_card or is_waiting or is_sent or invoice["amount_due"] == 0):
        raise errors.no_card()


def _bill_first(
    session: Session, subscription: Object, invoice: Object, params: dict[str, Any]
) -> None:
    """Open the first invoice, charge it if asked to, and announce the subscription."""
    behavior = params.get("payment_behavior", "allow_incomplete")
    if invoice["automatically_finalizes_at"] is not None:
        _announce(session, subscription["id"])
        return
    invoices.finalize(session, invoice)
    method = invoices.default_method(session, invoice)
    if invoice["status"] == "open" and behavior != "default_incomplete":
        is_off_session = params.get("off_session", False)
        intent = invoices.collect(session, invoice, method, is_off_session=is_off_session)
        if behavior == "error_if_incomplete" and intent and method:
            _undo_unless_paid(session, subscription, invoice, intent, method)
    _announce(session, subscription["id"])


def _undo_unless_paid(
    session: Session, subscription: Object, invoice: Object, intent: Object, method: Object
) -> None:
    if intent["status"] != "succeeded":
        invoices.return_balance(session, invoice)
        payments = session.find("invoice_payment", invoice=invoice["id"])
        gone = [*[p["id"] for p in payments], *invoice["discounts"]]
        session.withdraw(subscription["id"], invoice["id"], *gone)
    invoices.refuse_unless_paid(intent, method)


def _announce(session: Session, subscription_id: str) -> None:
    subscription = session.get("subscription", subscription_id)
    session.change(subscription, {"_is_announced": True}, is_announced=False)
    session.emit("customer.subscription.created", subscription)
    if subscription["status"] == "incomplete":
        due_at = session.now + subscription_cycle.INCOMPLETE_LIFETIME
        session.schedule("expire_incomplete", subscription_id, due_at)
    periods.tell_of_trial(session, subscription)
