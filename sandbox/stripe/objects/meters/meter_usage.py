"""What meters have counted for a customer, and what of it a subscription's invoice bills."""

from decimal import Decimal

from sandbox.stripe.objects.catalog import prices
from sandbox.stripe.objects.invoices import invoice_lines
from sandbox.stripe.objects.meters import meters
from sandbox.stripe.session import Object, Session

EVENT = "billing.meter_event"


def events_of(
    session: Session, meter: Object, customer_id: str, period: tuple[int, int]
) -> list[Object]:
    """Return the events of a period, its end left out, in the order of their time."""
    found = session.find(
        EVENT, _customer=customer_id, event_name=meter["event_name"], _is_canceled=0
    )
    inside = [event for event in found[::-1] if period[0] <= event["timestamp"] < period[1]]
    return sorted(inside, key=lambda event: int(event["timestamp"]))


def total(meter: Object, events: list[Object]) -> Decimal:
    """Return what a meter makes of events."""
    formula = meter["default_aggregation"]["formula"]
    if formula == "count":
        return Decimal(len(events))
    values = [Decimal(event["_value"]) for event in events]
    if formula == "last":
        return values[-1] if values else Decimal(0)
    return sum(values, Decimal(0))


def metered_items(subscription: Object) -> list[Object]:
    """Return the items that are billed for what was used."""
    return [i for i in subscription["items"]["data"] if prices.is_metered(i["price"])]


def lines(
    session: Session, subscription: Object, invoice_id: str, period: tuple[int, int]
) -> list[Object]:
    """Return one invoice line for each metered item, for what was used in a period."""
    return [
        line_of(session, subscription, invoice_id, item, period)
        for item in metered_items(subscription)
    ]


def line_of(
    session: Session,
    subscription: Object,
    invoice_id: str,
    item: Object,
    period: tuple[int, int],
) -> Object:
    """Return the invoice line for what was used of one item in a period."""
    meter = session.get(meters.KIND, item["price"]["recurring"]["meter"])
    since = (max(period[0], item["created"]), period[1])
    used = total(meter, events_of(session, meter, subscription["customer"], since))
    return invoice_lines.of_usage(session, subscription, invoice_id, item, used, period)
