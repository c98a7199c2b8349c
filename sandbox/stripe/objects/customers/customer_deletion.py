"""Customers that are deleted: their subscriptions end, and only their id is left."""

from typing import Any

from sandbox.stripe.objects.schedules import schedule_ends
from sandbox.stripe.objects.subscriptions import subscription_cycle
from sandbox.stripe.objects.subscriptions.subscription_status import ENDED
from sandbox.stripe.routing import Route
from sandbox.stripe.session import Object, Session, deleted


def delete(session: Session, _params: dict[str, Any], customer_id: str) -> Object:
    """DELETE /v1/customers/{id}."""
    return remove(session, session.get("customer", customer_id))


def remove(session: Session, customer: Object) -> Object:
    """Cancel a customer's subscriptions at once, let their cards go, and forget the rest."""
    for subscription in session.find("subscription", customer=customer["id"]):
        if subscription["status"] not in ENDED:
            subscription_cycle.end(session, subscription)
    for schedule in session.find(
        "subscription_schedule", customer=customer["id"], status="not_started"
    ):
        schedule_ends.finish(session, schedule, "canceled")
    for method in session.find("payment_method", customer=customer["id"]):
        changes = {"customer": None, "_is_spent": True}
        session.change(method, changes, is_announced=False)
    # Reason: ending the subscriptions can have changed the customer.
    last = session.get("customer", customer["id"])
    # Reason: faults and the log still know whom later requests are about.
    session.store.put(deleted(last) | {"_email": last["email"]})
    session.emit("customer.deleted", last)
    return deleted(last)


ROUTES = (Route("DELETE", "/v1/customers/{id}", delete),)
